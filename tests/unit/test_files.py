"""Files that are whole or absent: several writers, killed writers, disks that are full, read-only or out of names."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cvqa_models import files
from cvqa_models.files import sha256, sole_owner, whole, write_bytes, write_text

# Writes `size` bytes of its own letter under each of a few names, again and again.
WRITER = """
import sys
from cvqa_models.files import write_bytes
folder, letter, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True); sys.stdin.readline()
failed = 0
for number in range(count):
    try:
        write_bytes(f"{folder}/{number % 5}", letter.encode() * size)
    except ValueError as error:
        failed += 1
print(failed)
"""
# Stops for good while its temporary file is whole, but has no name yet.
HANGS = """
import sys, time
from cvqa_models import files
def hang(part, target):
    print(part.name, flush=True); time.sleep(60)
files.install = hang
files.write_bytes(sys.argv[1], b"never")
"""


def _start(code: str, *words: object) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], text=True, stdin=pipe, stdout=pipe)


def test_two_writers_of_the_same_files_do_not_disturb_each_other(tmp_path: Path) -> None:
    writers = [_start(WRITER, tmp_path, letter, 100, 3000 + number) for number, letter in enumerate("ab")]
    for one in writers:
        assert one.stdout is not None
        one.stdout.readline()
    assert [one.communicate("go\n")[0] for one in writers] == ["0\n", "0\n"]
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(left) == set("01234")
    assert set(left.values()) <= {b"a" * 3000, b"b" * 3001}


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    failed: list[str] = []

    def work(letter: str) -> None:
        try:
            for _ in range(50):
                write_bytes(tmp_path / "one", letter.encode() * 1000)
        except ValueError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    killed, alive = _start(HANGS, tmp_path / "a"), _start(HANGS, tmp_path / "b")
    parts = []
    for one in (killed, alive):
        assert one.stdout is not None
        parts.append(one.stdout.readline().strip())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (tmp_path / ".out.bin.12345.part").write_bytes(b"of an older version")
    (tmp_path / ".mine.part").write_bytes(b"none of ours")
    try:
        write_bytes(tmp_path / "out.bin", b"whole")
        assert {path.name for path in tmp_path.iterdir()} == {"out.bin", parts[1], ".mine.part"}
    finally:
        alive.kill()
        alive.communicate()


def test_a_stopped_writer_clears_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    write_text(tmp_path / "a", "old")
    monkeypatch.setattr(files, "install", stop)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    write_text(tmp_path / "a", "old")

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(ValueError, match=rf"a' cannot be written \({os.strerror(number)}\); free space"):
        write_text(tmp_path / "a", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_file_that_may_not_grow_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    code = (
        "import resource, signal, sys; from cvqa_models.files import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_bytes(sys.argv[1], bytes(100_000))\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True)
    assert "a' cannot be written (File too large)" in done.stdout
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_folder_in_the_way_and_a_folder_that_is_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"folder' cannot be written \(Is a directory\)"):
        write_text(tmp_path / "folder", "new")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"below' cannot be written \(File exists|Not a directory\)"):
        write_text(tmp_path / "file" / "below", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file"}


def test_a_link_is_followed_and_a_device_or_pipe_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "text"
    (tmp_path / "null").symlink_to("/dev/null")
    write_text(tmp_path / "null", "text")
    assert Path("/dev/null").is_char_device()
    code = "from cvqa_models.files import write_text; write_text('/dev/stdout', 'text')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"text"


def test_the_longest_name_that_a_disk_takes_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "text")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["text"]


def test_a_file_gets_the_rights_that_any_new_file_gets(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "ours", "text")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_disk_without_locks_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / f".{'0' * 16}.part").touch()  # whose owner, dead or alive, cannot be told
    monkeypatch.setattr(files.fcntl, "flock", none)
    write_text(tmp_path / "a", "text")
    with sole_owner(tmp_path / "lock", "busy"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"a", "lock", f".{'0' * 16}.part"}


def test_a_lock_has_one_owner_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "made" / "lock"
    with sole_owner(lock, "busy"), pytest.raises(ValueError, match=r"^busy$"), sole_owner(lock, "busy"):
        pass
    with sole_owner(lock, "busy"):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match=r"file' cannot be written \(.*\); free"),
        sole_owner(tmp_path / "file" / "lock", ""),
    ):
        pass


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def write_half() -> None:
        with whole(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_a_temporary_file_lost_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = files.fcntl.flock, []

    def late(file: int, how: int) -> None:
        if not calls:  # another process clears the folder between opening and locking
            next(tmp_path.glob(".*.part")).unlink()
        calls.append(how)
        real(file, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    write_text(tmp_path / "a", "text")
    assert (len(calls), [path.read_text() for path in tmp_path.iterdir()]) == (2, ["text"])


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    (tmp_path / "f").write_bytes(content)
    assert sha256(tmp_path / "f") == hashlib.sha256(content).hexdigest()
