"""Every example runs as its first lines say, from any folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import cvqa_models
from cvqa_models.corpus import ffmpeg
from cvqa_models.data.rows import read_rows

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "film.mp4"
    ffmpeg.write(["-f", "lavfi", "-i", "testsrc2=s=160x90:r=10:d=2", "-c:v", "libx264", "-crf", "35"], path)
    return path


def command(name: str, *words: str) -> dict:
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return {"args": [sys.executable, str(EXAMPLES / name), *words], "env": environment, "text": True}


def test_every_example_has_a_test() -> None:
    others = ("tests/docs/test_panel.py", "tests/unit/inference/test_network_export.py")
    own = Path(__file__).read_text() + "".join((ROOT / name).read_text() for name in others)
    assert all(path.name in own for path in EXAMPLES.glob("[0-9]*"))


def test_the_script_scores_and_names_the_worst_second(clip: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        **command("1_score_videos.py", str(clip)), capture_output=True, check=True, cwd=tmp_path, timeout=240
    )
    found = re.fullmatch(r"(.*): ([\d.]+), worst second ([12]) of 2: ([\d.]+)\n", done.stdout)
    assert found
    assert found[1] == str(clip)
    assert 0 < float(found[4]) < 100


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(**command("2_service.py", str(port)), stderr=subprocess.DEVNULL) as program:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        program.terminate()


def test_the_service_answers_with_a_score_or_with_the_reason(clip: Path, service: str) -> None:
    with urllib.request.urlopen(service, data=clip.read_bytes(), timeout=120) as answer:
        content = json.load(answer)
    assert 0 < content["score"] < 100
    assert "not human opinion" in content["scale"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(service, data=b"no video", timeout=120)
    with refused.value:
        assert refused.value.code == 422
        assert "the open file" in json.load(refused.value)["error"]


def below(starter: int) -> list[tuple[int, str]]:
    """Return number and command line of every process that a process started, and of those that they started."""
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(folder.name)] = (folder / "cmdline").read_text()
    found = {starter}
    while more := {number for number, parent in parents.items() if parent in found} - found:
        found |= more
    return [(number, lines.get(number, "")) for number in sorted(found)]


@pytest.mark.slow
def test_ray_scores_a_library_though_a_worker_is_killed(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    library, out = tmp_path / "library", tmp_path / "scores.jsonl"
    library.mkdir()
    for number in range(40):
        shutil.copy(clip, library / f"{number:02d}.mp4")
    (library / "bad.mp4").write_bytes(b"no video")
    words = command("5_ray.py", str(out), str(library))
    with subprocess.Popen(**words, stderr=subprocess.DEVNULL, cwd=tmp_path) as program:
        while not (out.exists() and out.stat().st_size):
            assert program.poll() is None
            time.sleep(0.1)
        actors = [number for number, line in below(program.pid) if "MapWorker" in line]
        assert len(actors) == 2
        os.kill(actors[0], signal.SIGKILL)
        assert program.wait(timeout=600) == 0
    rows = {row["video"]: row for row in read_rows(out)}
    assert len(rows) == len(out.read_text().splitlines()) == 41
    assert "fault" in rows.pop(str(library / "bad.mp4"))
    assert {row["score"] for row in rows.values()} == {cvqa_models.load("compression_level")(clip).value}
