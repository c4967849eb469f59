"""`cvqa compare` as a program: what it prints and writes, its limits, and one sentence for each bad input."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cvqa_models.commands.compare import compare
from tests.unit.evaluation.encodes import Row, rows, write
from tests.unit.evaluation.test_rate_distortion import PARTLY, REFUSED

ROOT = Path(__file__).resolve().parents[3]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cvqa_models", "compare", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=ROOT)


def test_everything_is_written_and_said(tmp_path: Path) -> None:
    manifest, scores = write(tmp_path, rows())
    out = tmp_path / "out"
    done = run(
        manifest, "--by", "codec", "--anchor", "x264", "--scores", scores, "--out", out, "--json", out / "a.json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "x265 takes 30.0 % less rate than x264 for the same score (95 % interval -30.0 to -30.0 %, 3 sources).\n"
        in done.stdout
    )
    assert done.stdout.endswith(f"page: {out / 'comparison.html'}\n")
    assert {path.name for path in out.iterdir()} == {
        "comparison.html", "comparison.json", "comparison.csv", "a.json", "score-rates.png", "score-curves.png",
        "score-sources.png",
    }  # fmt: skip
    content = json.loads((out / "comparison.json").read_text())
    assert content == json.loads((out / "a.json").read_text())
    assert content["anchor"] == "x264"
    assert {one["encoder"]: round(one["percent"]) for one in content["means"]} == {"x265": -30, "vvenc": -50, "old": 25}
    with (out / "comparison.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 9
    assert {row["source"] for row in table} == {"city", "river", "forest"}
    assert {round(float(row["bd_rate_percent"])) for row in table if row["encoder"] == "old"} == {25}
    assert {float(row["overlap_share"]) for row in table} == {1}


@pytest.mark.parametrize(
    ("limits", "code", "said"),
    [
        ({"fail_below": 46.0}, 0, ""),
        ({"fail_below": 47.0}, 3, "4 of 60 encodes are worse than `score` 47 (first: 'x264_fast_city_200' with 46.02)"),
        ({"fail_if_worse": True}, 3, "more rate than x264 for the same `score`: old (+25.0 %)."),
        ({"fail_below": 47.0, "fail_if_worse": True}, 3, "more rate than x264"),
    ],
)
def test_limits_end_with_a_code_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limits: dict[str, float], code: int, said: str
) -> None:
    manifest, scores = write(tmp_path, rows())
    assert compare(manifest, anchor="x264", scores=[scores], out=tmp_path / "out", **limits) == code  # type: ignore[arg-type]
    assert said in capsys.readouterr().err
    assert (tmp_path / "out" / "comparison.html").is_file()  # a limit that is not met is a result, not a failure


def test_an_encoder_that_saves_rate_meets_the_limit(tmp_path: Path) -> None:
    manifest, scores = write(tmp_path, [row for row in rows() if row["codec"] != "old"])
    assert compare(manifest, anchor="x264", scores=[scores], out=tmp_path / "out", fail_if_worse=True) == 0


def test_limits_of_a_score_of_which_lower_is_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encodes = [{**row, "lpips": 100 - float(str(row["score"]))} for row in rows()]
    manifest, scores = write(tmp_path, encodes, ("lpips",))
    assert compare(manifest, anchor="x264", scores=[scores], out=tmp_path / "out", fail_below=53.9) == 3
    assert "4 of 60 encodes are worse than `lpips` 53.9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"), [case[1:] for case in REFUSED[2:4]], ids=[case[0] for case in REFUSED[2:4]]
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, change: Callable[[list[Row]], list[Row]], message: str
) -> None:
    manifest, scores = write(tmp_path, change(rows()))
    done = run(manifest, "--anchor", "x264", "--scores", scores, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("cvqa: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("change", "sentence"), [case[1:] for case in PARTLY], ids=[case[0] for case in PARTLY])
def test_what_is_left_out_is_said_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[list[Row]], list[Row]], sentence: str
) -> None:
    manifest, scores = write(tmp_path, change(rows()))
    assert compare(manifest, anchor="x264", scores=[scores], out=tmp_path / "out", bootstrap=0) == 2
    assert sentence in capsys.readouterr().err
    assert sentence.replace("`", "`") in json.loads((tmp_path / "out/comparison.json").read_text())["left_out"]


def test_words_that_contradict_each_other_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Give either `--scores FILE` or `--checkpoint FILE`"):
        compare(tmp_path, anchor="x264", scores=[tmp_path], checkpoint=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no table or folder '.*gone'; give a manifest or a folder"):
        compare(tmp_path / "gone", anchor="x264")
