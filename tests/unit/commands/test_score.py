"""`cvqa score` without a checkpoint: any video, at once."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cvqa_models.commands.merge import merge
from cvqa_models.commands.score import score
from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.references import shoot_scene
from cvqa_models.corpus.synthetic.scenes import SCENES
from cvqa_models.inference.timeline import Part, Timeline
from cvqa_models.inference.timeline_files import write_timelines
from cvqa_models.tables import read_csv

ROOT = Path(__file__).resolve().parents[3]
HEAD = "video,start,end,compression_level,first_frame,frames,repeated_frames"
PARTS = (Part(0, 1, 0, 25, 40.0, 0, 3), Part(1, 2, 25, 25, 60.0, 0, 30))
TIMELINE = Timeline("compression_level", "second", 50.0, 25.0, 2.0, PARTS, (), (), 0)


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
    assert list(rows[0]) == ["video", "compression_level", "low", "high", "notes"]
    assert [row["video"] for row in rows] == [str(path) for path in encodes]
    levels = [float(row["compression_level"]) for row in rows]
    assert 100 > levels[0] > levels[1] > levels[2] > 0
    assert levels[0] > levels[2] + 15
    assert "not human opinion" in out.err
    assert all("not human opinion" in row["measures"] for row in json.loads((tmp_path / "levels.json").read_text()))


def test_scoring_by_the_level_imports_nothing_of_training(encodes: list[Path], tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from cvqa_models.commands.score import score
score(sys.argv[1:3])
score(sys.argv[1:3], out=Path(sys.argv[3]), workers=1)
heavy = ("pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision", "transformers", "sympy", "timm",
         "matplotlib", "scipy.stats")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    words = [sys.executable, "-c", code, *map(str, encodes[:2]), str(tmp_path / "rows.jsonl")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=240)
    assert done.stderr.splitlines()[-1] == "[]"


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
    score(encodes[1:], timeline=[tmp_path / "seconds.csv"])
    rows = [list(csv.DictReader(text.splitlines())) for text in (without, capsys.readouterr().out)]
    assert [row["compression_level"] for row in rows[1]] == [row["compression_level"] for row in rows[0]]
    score(encodes[1:], timeline=[tmp_path / "seconds.json"])
    with (tmp_path / "seconds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["start"], row["end"]) for row in rows] == [("0.0", "1.2"), ("1.2", "2.4")] * 2
    assert [row["video"] for row in rows] == [str(path) for path in encodes[1:] for _ in range(2)]
    kept = [part for video in json.loads((tmp_path / "seconds.json").read_text()) for part in video["parts"]]
    assert [str(row["compression_level"]) for row in kept] == [row["compression_level"] for row in rows]


def test_a_fall_in_quality_shows_in_its_second(encodes: list[Path], tmp_path: Path) -> None:
    both = tmp_path / "both.mp4"
    graph = "[0:v][1:v]concat=n=2:v=1"
    inputs = ["-i", str(encodes[0]), "-i", str(encodes[2])]
    ffmpeg.write([*inputs, "-lavfi", graph, "-c:v", "libx264", "-preset", "veryfast", "-crf", "12"], both)
    score([both], timeline=[tmp_path / "fall.json"])
    [told] = json.loads((tmp_path / "fall.json").read_text())
    levels = [part["compression_level"] for part in told["parts"]]
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
    assert score([bad[0], encodes[0], bad[2]], timeline=[tmp_path / "seconds.csv"]) == 2
    assert len(capsys.readouterr().out.splitlines()) == 2
    with (tmp_path / "seconds.csv").open() as file:
        assert [row["video"] for row in csv.DictReader(file)] == [str(encodes[0])] * 2


def test_files_that_are_all_bad_leave_empty_tables(
    bad: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"csv_file": tmp_path / "l.csv", "json": tmp_path / "l.json", "timeline": tmp_path / "s.csv"}
    assert score(bad, **{**files, "timeline": [files["timeline"]]}) == 2
    assert capsys.readouterr().out == ""
    texts = [path.read_text() for path in files.values()]
    assert texts == ["video,compression_level,notes\n", "[]\n", f"{HEAD}\n"]


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
    write_timelines(tmp_path / "seconds.csv", {name: TIMELINE})
    text = (tmp_path / "seconds.csv").read_bytes()
    assert text.splitlines()[0] == HEAD.encode()
    assert b"\n\"'=HYPERLINK" in text
    read = read_csv(tmp_path / "seconds.csv")
    assert list(read["video"]) == [name, name]
    assert list(read["compression_level"]) == ["40.0", "60.0"]


def test_parts_need_a_timeline(encodes: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"`--per` needs `--timeline FILE\.\.\.`"):
        score(encodes[:1], per="scene")


def test_a_video_behind_a_timeline_is_none_of_its_files(encodes: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"`--timeline` has '.*\.mp4'; expected .* and videos in front of the options"):
        score([], timeline=[Path("seconds.csv"), encodes[0]])


def test_a_library_gets_the_scores_of_a_few_files_to_the_bit(
    encodes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(list(map(str, encodes)))
    alone = {row["video"]: row["compression_level"] for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in [*encodes, encodes[0], "gone.mp4"]))
    out = tmp_path / "rows.jsonl"
    with half_a_file(encodes[0]) as address:
        assert score([str(tmp_path / "list.txt"), address], out=out, workers=2) == 2
    told = capsys.readouterr().err
    assert "3 videos scored, 0 had a row, 2 have no score" in told
    assert f"'{address}' gave" in told
    rows = {row["video"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert {name: str(row["score"]) for name, row in rows.items() if "score" in row} == alone
    assert merge(out, videos=[str(tmp_path / "list.txt")], csv_file=tmp_path / "table.csv") == 2
    assert "3 videos have a score, 2 a reason instead, 0 no row" in capsys.readouterr().out
    assert read_csv(tmp_path / "table.csv")["video_id"].tolist() == sorted(map(str, encodes))


@contextmanager
def half_a_file(path: Path) -> Iterator[str]:
    """Serve the first half of a file, which is announced whole."""

    class Half(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

        def log_message(self, *words: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Half)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/film.mp4"
    server.shutdown()


def test_what_does_not_go_with_rows_is_one_sentence(encodes: list[Path], tmp_path: Path) -> None:
    video = [str(encodes[0])]
    with pytest.raises(ValueError, match="`--out` writes rows, which `--timeline` does not go with"):
        score(video, out=tmp_path / "rows.jsonl", timeline=[tmp_path / "seconds.csv"])
    with pytest.raises(ValueError, match=r"`--workers` needs `--out FILE.jsonl`"):
        score(video, workers=2)
    with pytest.raises(ValueError, match=r"`--out` is '.*rows.csv'; expected a name that ends with .jsonl"):
        score(video, out=tmp_path / "rows.csv")
