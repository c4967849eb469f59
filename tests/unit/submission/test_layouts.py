"""The layouts of submissions."""

from __future__ import annotations

import csv
import math
import zipfile
from pathlib import Path

import pytest

from cvqa_models.submission.layouts import check_scores, write_cvqad, write_generic, write_kvq, write_text_layout

SCORES = {"x264_fast_a_1": 0.1, "x265_fast_a_1": 1 / 3}
TABLE = "codec,preset,sequence,crf,standard,subjective_score\n" + "".join(
    f"{codec},fast,{name},1,h26,{row}\n"
    for row, (codec, name) in enumerate([("x265", "a"), ("x264", "a"), ("x264", "b")])
)


def table(tmp_path: Path) -> Path:
    (tmp_path / "labels.csv").write_text(TABLE)
    return tmp_path / "labels.csv"


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": 1.0}, r"1 of 2 videos have no score: 'b'"),
        ({"a": 1.0, "b": math.nan}, r"The score of 'b' is nan \(1 in all\)"),
        ({"a": 1.0, "b": math.inf}, r"The score of 'b' is inf"),
        ({"a": 1.0, "b": 1.0}, "All 2 scores are 1.0; a constant ranks nothing"),
    ],
)
def test_bad_scores_are_refused(scores: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_scores(scores, ["a", "b"])


def test_generic_layout(tmp_path: Path) -> None:
    write_generic(tmp_path / "s.csv", SCORES)
    assert (tmp_path / "s.csv").read_text() == "filename,score\nx264_fast_a_1,0.1\nx265_fast_a_1,0.3333333333333333\n"


def test_cvqad_layout_merges_into_its_table(tmp_path: Path) -> None:
    write_cvqad(tmp_path / "s.csv", SCORES, table(tmp_path))
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["codec"], row["sequence"], float(row["score"])) for row in rows] == [
        ("x265", "a", 1 / 3),
        ("x264", "a", 0.1),
    ]
    assert list(rows[0]) == ["codec", "preset", "sequence", "crf", "standard", "score"]


def test_cvqad_layout_takes_whole_groups_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 of 2 videos have no score: 'x265_fast_a_1'"):
        write_cvqad(tmp_path / "s.csv", {"x264_fast_a_1": 0.1}, table(tmp_path))
    with pytest.raises(ValueError, match=r"lacks 1 predicted videos: 'x266_fast_a_1' \(near: 'x26._fast_a_1'\)"):
        write_cvqad(tmp_path / "s.csv", {**SCORES, "x266_fast_a_1": 0.1}, table(tmp_path))
    assert not (tmp_path / "s.csv").exists()


def test_kvq_layout(tmp_path: Path) -> None:
    write_kvq(tmp_path / "s.zip", {"test/0001.mp4": 1.0, "test/0002": 2.0})
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.namelist() == ["prediction.csv"]
        assert archive.read("prediction.csv") == b"filename,score\ntest/0001.mp4,1.0\ntest/0002.mp4,2.0\n"


RUN = "=cmd|' /C calc'!A0"


def test_names_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    scores = {RUN: 1.0, "-1+1": 2.0, "plain": -3.0}
    write_generic(tmp_path / "s.csv", scores)
    assert (tmp_path / "s.csv").read_text() == f"filename,score\n'{RUN},1.0\n'-1+1,2.0\nplain,-3.0\n"
    with pytest.raises(ValueError, match=r"would run the name .=cmd.* as a formula .2 in all.*; rename the video"):
        write_kvq(tmp_path / "s.zip", scores)
    assert not (tmp_path / "s.zip").exists()


@pytest.mark.parametrize("name", ["a,9\nb", "a,9", "a\rb"])
def test_a_name_may_not_add_lines_to_the_text_layout(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"holds a comma or a line break .1 in all.*; rename the video"):
        write_text_layout(tmp_path / "s.zip", {name: 1.0}, seconds_per_video=None, extra_data=False, device="cpu")


def test_text_layout(tmp_path: Path) -> None:
    for name in ("s.zip", "again.zip"):
        write_text_layout(tmp_path / name, SCORES, seconds_per_video=1.5, extra_data=True, device="cpu")
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.read("output.txt") == b"x264_fast_a_1,0.1\nx265_fast_a_1,0.3333333333333333\n"
        readme = archive.read("readme.txt").decode()
    assert "runtime per video [s] : 1.500\nCPU[1] / GPU[0] : 1\nExtra Data [1] / No Extra Data [0] : 1\n" in readme
    assert (tmp_path / "s.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
