"""How programs end, each in a process of its own: signals, readers that leave, closed streams, full disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys, time
from cvqa_models import ending

def wait():
    # In many short pieces: a signal just before a sleep begins is seen after it.
    for _ in range(1200):
        time.sleep(0.05)

def command():
{body}

ending.run("cvqa", command)
"""

WAITS = """
    try:
        print("row", flush=True)
        wait()
    finally:
        print("kept")
"""


def start(body: str, **options: object) -> subprocess.Popen[str]:
    program = PROGRAM.format(body=body)
    pipe = subprocess.PIPE
    streams: dict[str, object] = {"stdout": pipe, "stderr": pipe, **options}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", program], text=True, cwd=ROOT, **streams
    )


@pytest.mark.parametrize(
    ("given", "turns"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_spin_for_a_short_time_unless_the_user_says_otherwise(given: dict[str, str], turns: str) -> None:
    body = """
    import os
    assert "torch" not in sys.modules  # it reads the variable when it is imported
    print(os.environ.get("GOMP_SPINCOUNT"))
    """
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    others = {name: value for name, value in os.environ.items() if name not in ours}
    with start(body, env={**others, **given}) as program:
        assert program.communicate(timeout=60) == (f"{turns}\n", "")


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_in_one_line_and_what_was_done_is_kept(number: signal.Signals, code: int, name: str) -> None:
    # Two of them at once, as `timeout` sends them, are one.
    with start(WAITS) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "row\n"
        program.send_signal(number)
        program.send_signal(number)
        out, err = program.communicate(timeout=60)
    assert program.returncode == code
    assert out == "kept\n"
    assert err == f"cvqa: stopped by {name}; what was complete is kept.\n"


def test_a_signal_is_heard_where_the_shell_had_it_ignored() -> None:
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with start(WAITS, **ignored) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=60)
    assert program.returncode == 130


def test_a_second_signal_ends_what_hangs_while_closing() -> None:
    body = """
    try:
        print("row", flush=True)
        wait()
    finally:
        print("closing", flush=True)
        time.sleep(ending.AT_ONCE + 0.1)
        print("still closing", flush=True)
        wait()
"""
    with start(body) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        program.stdout.readline()
        assert program.stdout.readline() == "still closing\n"
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=60) == -signal.SIGTERM


def test_a_forked_worker_leaves_ctrl_c_to_its_parent_and_dies_of_a_termination() -> None:
    body = """
    import os, signal
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGINT)
        print("alive", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status)
"""
    with start(body) as program:
        out, err = program.communicate(timeout=60)
    assert (program.returncode, out, err) == (signal.SIGTERM, "alive\n", "")


def test_a_reader_that_leaves_is_no_mistake() -> None:
    body = """
    try:
        while True:
            print("row", flush=True)
    finally:
        print("kept", file=sys.stderr)
"""
    with start(body) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr is not None
        assert program.stderr.read() == "kept\n"
        assert program.wait(timeout=60) == 141


def test_closed_streams_take_nothing_and_lend_their_numbers_to_no_file(tmp_path: Path) -> None:
    body = f"""
    with open({str(tmp_path / "kept.txt")!r}, "w") as file:
        print("row", flush=True)
        sys.stderr.write("hello")
        file.write("kept")
"""
    program = PROGRAM.format(body=body)
    done = subprocess.run(["bash", "-c", '"$0" -c "$1" >&- 2>&-', sys.executable, program], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert (tmp_path / "kept.txt").read_text() == "kept"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_behind_the_output_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full, start('    print("row")', stdout=full) as program:
        _, err = program.communicate(timeout=60)
    assert program.returncode == 2
    assert err.count("\n") == 1
    assert "(No space left on device)" in err


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("ValueError('a\\nb')", "cvqa: a b\n"),
        ("MemoryError()", "cvqa: memory ran out; close"),
        ("RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried')", "cvqa: memory ran out; close"),
        ("RecursionError()", "cvqa: a file is nested too deeply"),
    ],
)
def test_a_mistake_is_one_sentence_after_what_was_printed(raised: str, said: str) -> None:
    with start(f'    print("row")\n    raise {raised}') as program:
        out, err = program.communicate(timeout=60)
    assert program.returncode == 2
    assert out == "row\n"
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with start('    raise KeyError("x")') as program:
        _, err = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "Traceback" in err


def test_odd_bytes_of_a_name_are_printed_by_their_codes() -> None:
    with start('    print("bad\\udcff.mp4")') as program:
        out, _ = program.communicate(timeout=60)
    assert (program.returncode, out) == (0, "bad\\udcff.mp4\n")
