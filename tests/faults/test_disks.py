"""Disks that are full, read-only or out of names, and several writers: one sentence, and the old file intact."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.files import write_bytes
from tests.faults.conftest import TRIES
from tests.faults.processes import finish, start, wait

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore")]

WRITER = """
import sys, torch
from cvqa_models.data.feature_store import FeatureStore
store, value, failed = FeatureStore(sys.argv[1], ""), float(sys.argv[2]), 0
print("ready", flush=True); sys.stdin.readline()
for number in range(int(sys.argv[3])):
    try:
        store.write("key", f"v{number % 20}", torch.full((50, 100), value), {})
    except ValueError as error:
        failed += 1
print(failed)
"""


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small disk in memory; skip the test where that is not allowed."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", options, "cvqa-fault", folder]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("small disks are mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _refusals(folder: Path, sizes: list[int]) -> int:
    """Write over a file in sizes that a disk refuses, and return how often it said so and was intact."""
    intact = 0
    for size in sizes:
        with pytest.raises(ValueError, match=r"cannot be written \((No space left|Read-only)"):
            write_bytes(folder / "file", os.urandom(size))
        names = {path.name for path in folder.iterdir()}
        intact += (folder / "file").read_bytes() == b"old" and names <= {"file", "filler"}
    return intact


def test_a_full_disk(tmp_path: Path, count: Callable[[str, int, int], None]) -> None:
    with disk(tmp_path / "disk", "size=256k") as folder:
        write_bytes(folder / "file", b"old")
        sizes = [260_000 + 1000 * number for number in range(TRIES)]
        count("full disk, write over a file", TRIES, _refusals(folder, sizes))


def test_a_disk_without_names_for_more_files(tmp_path: Path, count: Callable[[str, int, int], None]) -> None:
    with disk(tmp_path / "disk", "nr_inodes=3") as folder:
        write_bytes(folder / "file", b"old")
        (folder / "filler").touch()
        count("no inodes left, write over a file", TRIES, _refusals(folder, [10] * TRIES))


def test_a_disk_that_is_read_only(tmp_path: Path, count: Callable[[str, int, int], None]) -> None:
    with disk(tmp_path / "disk", "size=256k") as folder:
        write_bytes(folder / "file", b"old")
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        count("read-only disk, write over a file", TRIES, _refusals(folder, [10] * TRIES))


COMMANDS = {
    "export": ["export", "{here}/last.ckpt", "--out", "{there}/weights.safetensors"],
    "submit": ["submit", "{here}/predictions.csv", "--out", "{there}/prediction.zip", "--layout", "kvq"],
    "report": [
        "report", "--run", "{there}", "--scores", "{here}/scores.csv", "--predictions", "{here}/predictions.csv",
    ],
    "build encode": [
        "build", "encode", "--references", "{here}/clips", "--ladder", "{here}/ladder.yaml", "--root", "{there}",
    ],
    "extract": ["extract", "--from-table", "{here}/scores.csv", "--columns", "mos", "--store", "{there}"],
}  # fmt: skip


def is_whole(path: Path) -> bool:
    """Return whether a file ends where one of its kind ends; kinds that the commands do not write are not whole."""
    content = path.read_bytes()
    if path.suffix == ".lock":
        return True
    try:
        if path.suffix == ".json":
            return json.loads(content) is not None
        if path.suffix == ".safetensors":
            return bool(safetensors.torch.load(content))
    except (ValueError, SafetensorError):
        return False
    ends = {".png": b"IEND\xaeB`\x82", ".csv": b"\n", ".html": b"</html>\n"}
    return path.suffix in ends and content.endswith(ends[path.suffix])


@pytest.mark.parametrize("suffix", [".json", ".safetensors", ".png", ".csv", ".html", ".mp4", ".part"])
@pytest.mark.parametrize("content", [b"", b"[1, 2", b"\0" * 100])
def test_a_file_that_is_cut_is_not_whole(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content)
    assert not is_whole(path)


@pytest.mark.parametrize("options", ["size=64k", "nr_inodes=1", "ro"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_so_in_one_sentence(
    tmp_path: Path, count: Callable[[str, int, int], None], name: str, options: str
) -> None:
    from tests.faults.test_kills import LADDER, _clip, _table

    _table(tmp_path)
    _clip(tmp_path / "clips" / "one.mkv")
    (tmp_path / "ladder.yaml").write_text(LADDER)
    torch.save({"state_dict": {"layer": torch.zeros(500, 1000)}}, tmp_path / "last.ckpt")
    with disk(tmp_path / "disk", options) as folder:
        if "size" in options:
            (folder / "filler").write_bytes(bytes(64 * 1024))
        code = wait(start([word.format(here=tmp_path, there=folder) for word in COMMANDS[name]], tmp_path / "log"))
        said = (tmp_path / "log").read_text()
        told = [line for line in said.splitlines() if line.startswith("cvqa: ")]
        left = [path for path in folder.rglob("*") if path.is_file() and path.name != "filler"]
        broken = [path.name for path in left if not is_whole(path)]
        survived = code == 2 and len(told) == 1 and "Traceback" not in said and not broken
        print(f"{name}, {options}: {said[-500:]}, half-written {broken}")  # shown where the count is not full
        count(f"{name} on a disk with {options}", 1, int(survived))


def test_two_writers_of_one_store(tmp_path: Path, count: Callable[[str, int, int], None]) -> None:
    pipe = subprocess.PIPE
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*words, value, str(4 * TRIES)], text=True, stdin=pipe, stdout=pipe) for value in ("1", "2")
    ]
    for one in writers:
        assert one.stdout is not None
        one.stdout.readline()
    failed = sum(int(one.communicate("go\n")[0]) for one in writers)
    store = FeatureStore(tmp_path, "")
    assert all(store.read("key", f"v{number}").unique().tolist() in ([1.0], [2.0]) for number in range(20))
    assert len(list((tmp_path / "key").iterdir())) == 20
    count("two writers of one store", 8 * TRIES, 8 * TRIES - failed)


def test_three_extractions_into_one_store(tmp_path: Path, count: Callable[[str, int, int], None]) -> None:
    from tests.faults.test_kills import _extract, _visible

    words = _extract(tmp_path).words
    finish([word.format(out=tmp_path / "alone") for word in words], tmp_path / "log")
    tries, survived = max(TRIES // 10, 1), 0
    for number in range(tries):
        together = tmp_path / f"together{number}"
        run = [word.format(out=together) for word in words]
        codes = [wait(child) for child in [start(run, tmp_path / f"log{n}") for n in range(3)]]
        survived += codes == [0, 0, 0] and _visible(together) == _visible(tmp_path / "alone")
    count("three `extract` into one store", tries, survived)


def test_errors_that_disks_give_are_those_meant_here() -> None:
    assert os.strerror(errno.ENOSPC).startswith("No space left")
    assert os.strerror(errno.EROFS).startswith("Read-only")
