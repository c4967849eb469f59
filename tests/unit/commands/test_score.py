"""`cvqa score` without a checkpoint: any video, at once."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cvqa_models.build import ffmpeg
from cvqa_models.build.references import shoot_scene
from cvqa_models.build.scenes import SCENES
from cvqa_models.commands import score as module
from cvqa_models.commands.score import score
from cvqa_models.commands.timeline import Timeline, write_timelines
from cvqa_models.csv_table import read_csv

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def encodes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A photograph in motion for 2.4 s, from good to bad."""
    folder = tmp_path_factory.mktemp("encodes")
    source = shoot_scene(SCENES[6], folder, width=320, height=180, fps=25, seconds=2.4)
    paths = []
    for crf in (22, 38, 49):
        paths.append(folder / f"palace {crf}.mp4")
        ffmpeg.write([*source.inputs, "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf)], paths[-1])
    return paths


def test_a_better_encode_gets_a_higher_level(
    encodes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(encodes, json=tmp_path / "levels.json")
    out = capsys.readouterr()
    rows = list(csv.DictReader(out.out.splitlines()))
    assert list(rows[0]) == ["video", "compression_level", "notes"]
    assert [row["video"] for row in rows] == [str(path) for path in encodes]
    levels = [float(row["compression_level"]) for row in rows]
    assert 100 > levels[0] > levels[1] > levels[2] > 0
    assert levels[0] > levels[2] + 15
    assert "not human opinion" in out.err
    assert all("not human opinion" in row["measures"] for row in json.loads((tmp_path / "levels.json").read_text()))


def test_two_processes_write_the_same_bytes(encodes: list[Path], tmp_path: Path) -> None:
    outs = []
    for threads in ("1", "2"):
        command = [sys.executable, "-m", "cvqa_models", "score", *map(str, encodes[: int(threads)])]
        command += ["--timeline", str(tmp_path / f"{threads}.csv")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads}
        done = subprocess.run(command, capture_output=True, check=True, env=environment, timeout=120)
        outs.append((done.stdout.splitlines()[1], (tmp_path / f"{threads}.csv").read_bytes().splitlines()[:3]))
    assert outs[0] == outs[1]


def test_a_timeline_has_a_value_per_second_and_the_same_score(
    encodes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(encodes[1:])
    without = capsys.readouterr().out
    score(encodes[1:], timeline=tmp_path / "seconds.csv")
    assert capsys.readouterr().out == without
    score(encodes[1:], timeline=tmp_path / "seconds.json")
    with (tmp_path / "seconds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["start"], row["end"]) for row in rows] == [("0.0", "1.2"), ("1.2", "2.4")] * 2
    assert [row["video"] for row in rows] == [str(path) for path in encodes[1:] for _ in range(2)]
    kept = json.loads((tmp_path / "seconds.json").read_text())
    assert [str(row["compression_level"]) for row in kept] == [row["compression_level"] for row in rows]


def test_a_fall_in_quality_shows_in_its_second(encodes: list[Path], tmp_path: Path) -> None:
    both = tmp_path / "both.mp4"
    graph = "[0:v][1:v]concat=n=2:v=1"
    inputs = ["-i", str(encodes[0]), "-i", str(encodes[2])]
    ffmpeg.write([*inputs, "-lavfi", graph, "-c:v", "libx264", "-preset", "veryfast", "-crf", "12"], both)
    score([both], timeline=tmp_path / "fall.json")
    levels = [row["compression_level"] for row in json.loads((tmp_path / "fall.json").read_text())]
    assert len(levels) == 5
    assert min(levels[:2]) > max(levels[3:]) + 8


@pytest.fixture
def bad(encodes: list[Path], tmp_path: Path) -> list[Path]:
    """A cut file, an empty one, one that is missing, and a link to itself."""
    paths = [tmp_path / name for name in ("cut.mp4", "empty.mp4", "gone.mp4", "loop.mp4")]
    paths[0].write_bytes(encodes[0].read_bytes()[:3000])
    paths[1].touch()
    paths[3].symlink_to("loop.mp4")
    return paths


def test_bad_files_cost_no_good_ones(
    encodes: list[Path], bad: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [bad[0], encodes[0], bad[1], encodes[0], bad[2], bad[3], encodes[1]]
    files = {"csv_file": tmp_path / "levels.csv", "json": tmp_path / "levels.json"}
    assert score(asked, **files) == 2
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["video"] for row in rows] == [str(encodes[0]), str(encodes[0]), str(encodes[1])]
    assert rows[0] == rows[1]
    assert files["csv_file"].read_text() == out
    assert [row["video"] for row in json.loads(files["json"].read_text())] == [row["video"] for row in rows]
    count, *named = err.splitlines()[-5:]
    assert count == "4 of 6 files have no score:"
    assert all(line.startswith("cvqa: ") and str(path) in line for path, line in zip(bad, named, strict=True))
    assert score(encodes[:1]) == 0
    assert capsys.readouterr().out.splitlines()[1] == out.splitlines()[1]


def test_bad_files_cost_no_good_ones_in_a_timeline(
    encodes: list[Path], bad: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score([bad[0], encodes[0], bad[2]], timeline=tmp_path / "seconds.csv") == 2
    assert len(capsys.readouterr().out.splitlines()) == 2
    with (tmp_path / "seconds.csv").open() as file:
        assert [row["video"] for row in csv.DictReader(file)] == [str(encodes[0])] * 2


def test_files_that_are_all_bad_leave_empty_tables(
    bad: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"csv_file": tmp_path / "l.csv", "json": tmp_path / "l.json", "timeline": tmp_path / "s.csv"}
    assert score(bad, **files) == 2
    assert capsys.readouterr().out == ""
    texts = [path.read_text() for path in files.values()]
    assert texts == ["video,compression_level,notes\n", "[]\n", "video,start,end,compression_level\n"]


def test_ctrl_c_keeps_the_rows_that_are_done(encodes: list[Path], tmp_path: Path) -> None:
    many = encodes * 20
    command = [sys.executable, "-m", "cvqa_models", "score", *map(str, many), "--csv-file", str(tmp_path / "l.csv")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as program:
        assert program.stdout is not None
        first = [program.stdout.readline() for _ in range(2)]
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=120)
    assert program.returncode == 130
    assert err.splitlines()[-1] == "cvqa: stopped by Ctrl-C; what was complete is kept."
    assert "Traceback" not in err
    assert (tmp_path / "l.csv").read_text() == "".join(first) + out
    assert 2 <= len((tmp_path / "l.csv").read_text().splitlines()) < len(many)


def test_a_timeline_is_a_table_that_no_spreadsheet_runs(tmp_path: Path) -> None:
    name = '=HYPERLINK("x"),\rb.mp4'
    write_timelines(tmp_path / "seconds.csv", {name: Timeline(50.0, 2.0, [40.0, 60.0])})
    text = (tmp_path / "seconds.csv").read_bytes()
    assert text.splitlines()[0] == b"video,start,end,compression_level"
    assert b"\n\"'=HYPERLINK" in text
    read = read_csv(tmp_path / "seconds.csv")
    assert list(read["video"]) == [name, name]
    assert list(read["compression_level"]) == ["40.0", "60.0"]


def test_score_maps_and_a_timeline_exclude_each_other(encodes: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`--maps` and `--timeline` exclude each other"):
        score(encodes[:1], maps=tmp_path / "maps", timeline=tmp_path / "seconds.csv")


def test_a_timeline_needs_a_level(encodes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_model", lambda *_: SimpleNamespace(demands={}))
    with pytest.raises(
        ValueError, match="`timeline` needs a compression level, but the checkpoint holds a SimpleNamespace"
    ):
        score(encodes[:1], checkpoint=tmp_path / "last.ckpt", timeline=tmp_path / "seconds.csv")
