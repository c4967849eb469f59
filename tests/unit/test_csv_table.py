"""Malformed tables, one sentence each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cvqa_models.csv_table import near_misses, numbers, read_csv, rows


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def test_reads_text_cells_as_they_are(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path / "t.csv", "\ufeff name , score\n0001, 1.5\nNA,2\n"), ["name", "score"])
    assert rows(table) == [{"name": "0001", "score": "1.5"}, {"name": "NA", "score": "2"}]
    assert numbers(table, "score", "t.csv").tolist() == [1.5, 2.0]


def test_an_index_column_is_left_out(tmp_path: Path) -> None:
    assert list(read_csv(write(tmp_path / "t.csv", ",name,score\n0,a,1\n1,b,2\n"))) == ["name", "score"]


def test_a_list_without_header(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path / "t.txt", "a.mp4, -1, -1, 3.5\n"), names=["file", "duration", "fps", "mos"])
    assert rows(table) == [{"file": "a.mp4", "duration": "-1", "fps": "-1", "mos": "3.5"}]
    with pytest.raises(ValueError, match="separated by semicolons"):
        read_csv(write(tmp_path / "t.txt", "a.mp4;-1;-1;3,5\n"), names=["file", "duration", "fps", "mos"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name;score\na;1\n", "separated by semicolons; expected commas"),
        ("name\tscore\na\t1\n", "separated by tabs; expected commas"),
        ("name|score\na|1\n", "separated by bars; expected commas"),
        ("a.mp4,3.5\n", "no column 'name', 'score'; its header is a.mp4, 3.5"),
        ("name,scores\na,1\n", r"no column 'score' \(near: 'scores'\)"),
        ("name,score,score\na,1,2\n", "names the column 'score' twice"),
        ("name,score\na,1,5\n", "line 2 has 3 cells, expected 2; quote cells that hold a comma, and write decimals"),
        ("name,score\na,1\n\n,,\nb\n", "line 5 has 1 cells, expected 2"),
        ("name,score\n,,\n", "has a header but no rows"),
        ("", "is empty"),
    ],
)
def test_malformed_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_csv(write(tmp_path / "t.csv", text), ["name", "score"])


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        read_csv(write(tmp_path / "t.csv", "name,score\nétude,1\n", "latin-1"))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        with pytest.raises(ValueError, match="is not UTF-8 text"):
            read_csv(write(tmp_path / "t.csv", "name,score\na,1\n", encoding), ["name"])
    (tmp_path / "u.csv").write_bytes(b'name,score\n"' + b"x" * 200_000 + b'",1\n')
    with pytest.raises(ValueError, match="is no CSV file"):
        read_csv(tmp_path / "u.csv")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no table .*absent\.csv"):
        read_csv(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1,5", "'1,5', expected a finite number; write decimals with a point"),
        ("nan", "'nan', expected a finite number"),
        ("inf", "'inf', expected a finite number"),
        ("good", "'good', expected a finite number"),
        ("", "'', expected a finite number"),
    ],
)
def test_numbers_name_the_row(tmp_path: Path, cell: str, message: str) -> None:
    table = read_csv(write(tmp_path / "t.csv", f'name,score\na,1\nb,"{cell}"\n'))
    with pytest.raises(ValueError, match=f"row 2: `score` is {message}"):
        numbers(table, "score", "t.csv")


def test_blank_cells_take_the_given_value(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path / "t.csv", "name,score\na,\n"))
    assert math.isnan(numbers(table, "score", "t.csv", blank=math.nan)[0])


def test_near_misses_show_the_most_similar_name() -> None:
    assert near_misses(["x264_fast"], ["x265_fast", "qqq"]) == "'x264_fast' (near: 'x265_fast')"
    assert near_misses(["a", "b", "c", "d"], []) == "'a', 'b', 'c'"
