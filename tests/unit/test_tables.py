"""Malformed tables, one sentence each."""

from __future__ import annotations

import csv
import io
import logging
import math
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvqa_models import csv_dialect
from cvqa_models.csv_dialect import Dialect, say_once
from cvqa_models.tables import csv_text, frame_text, near_misses, number, numbers, read_csv, rows


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
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
    table = read_csv(write(tmp_path / "u.txt", "a.mp4;-1;-1;3,5\n"), names=["file", "duration", "fps", "mos"])
    assert rows(table) == [{"file": "a.mp4", "duration": "-1", "fps": "-1", "mos": "3.5"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name;scores\na;1\n", r"no column 'score' \(near: 'scores'\); its header is name, scores"),
        ("name;score\na;1;2\n", "line 2 has 3 cells, expected 2"),
        ("a.mp4,3.5\n", "no column 'name', 'score'; its header is a.mp4, 3.5"),
        ("name,scores\na,1\n", r"no column 'score' \(near: 'scores'\)"),
        ("name,score,score\na,1,2\n", "names the column 'score' twice"),
        ("name,score\na,1,5\n", "line 2 has 3 cells, expected 2; quote cells that hold the separator, and write"),
        ("name,score\na,1\n\n,,\nb\n", "line 5 has 1 cells, expected 2"),
        ("name,score\n,,\n", "has a header but no rows"),
        ("", "is empty"),
        ('name,score\na,1\nb,"2\nc,3\n', "is no CSV file .unexpected end of data"),
        ("name,score\na,3,5\nb,4,5\n", "line 2 has 3 cells, expected 2"),
    ],
)
def test_malformed_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_csv(write(tmp_path / "t.csv", text), ["name", "score"])


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        read_csv(write(tmp_path / "t.csv", "name,score\nétude,1\n", "latin-1"))
    for encoding in ("utf-16-le", "utf-16-be", "utf-32"):
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
        ("-Infinity", "'-Infinity', expected a finite number"),
        ("1e999", "'1e999', expected a finite number"),
        ("3_5", "'3_5', expected a finite number"),
        ("1_000", "'1_000', expected a finite number"),
        ("0x10", "'0x10', expected a finite number"),
        ("\uff13.\uff15", "'\uff13.\uff15', expected a finite number"),  # full-width digits, which Python takes
        ("\u0663", "'\u0663', expected a finite number"),
        ("1 5", "'1 5', expected a finite number"),
        ("12%", "'12%', expected a finite number"),
        ("1,234.5", "'1,234.5', expected a finite number; write decimals with a point, and thousands without a mark"),
        ("x" * 200, f"'{'x' * 60}\\.\\.\\.', expected a finite number"),
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


@pytest.mark.parametrize("cell", ["7", "-1.5", "+3", ".5", "5.", "1e5", "1E-3", "007"])
def test_numbers_of_every_program_are_read(cell: str) -> None:
    assert number(cell) == float(cell)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "text",
    [
        "name;score;sd\na;3,5;0,25\nb;4;-0,1\n",
        "name\tscore\tsd\na\t3,5\t0,25\nb\t4\t-0,1\n",
        "sep=;\nname;score;sd\na;3,5;0,25\nb;4;-0,1\n",
        "name|score|sd\na|3.5|.25\nb|4|-0.1\n",
        "name,score,sd\na,3.5,.25\nb,4,-0.1\n",
        "name,score,sd,,\na,3.5,.25,,\nb,4,-0.1\n,,,,\n",  # blank columns and rows at the end
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, text: str, end: str, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.replace("\n", end).encode(encoding))
    table = read_csv(tmp_path / "t.csv", ["name", "score"])
    assert table["name"].tolist() == ["a", "b"]
    assert numbers(table, "score", "t.csv").tolist() == [3.5, 4.0]
    assert numbers(table, "sd", "t.csv").tolist() == [0.25, -0.1]


def test_another_separator_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    say_once.cache_clear()
    path = write(tmp_path / "t.csv", "name;score\na;3,5\n")
    with caplog.at_level(logging.WARNING):
        read_csv(path)
        read_csv(path)
    assert caplog.messages == [
        f"'{path}' writes decimals with a comma, and is read so.",
        f"'{path}' is separated by semicolons, and is read so.",
    ] or caplog.messages == [
        f"'{path}' is separated by semicolons, and is read so.",
        f"'{path}' writes decimals with a comma, and is read so.",
    ]


def test_a_comma_that_may_mark_thousands_is_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "name;rate\na;1,234\nb;2,500\n")
    with pytest.raises(ValueError, match="'1,234', expected a finite number; write decimals with a point, and thou"):
        numbers(read_csv(path), "rate", path)
    assert numbers(read_csv(path, dialect=Dialect(decimal=",")), "rate", path).tolist() == [1.234, 2.5]
    # Beside it, 0,5 says that commas are decimal marks, and then 1.234 is a thousand or not a number of this table.
    write(path, "name;rate;mos\na;1,234;0,5\n")
    assert numbers(read_csv(path), "rate", path).tolist() == [1.234]
    write(path, "name;rate;mos\na;1.234;3,5\n")
    with pytest.raises(ValueError, match=r"so that '1.234' in `rate` may mean thousands; write all numbers alike"):
        read_csv(path)


def test_the_user_overrules_what_is_found_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'name,score\na;b,"3,5"\n')
    with pytest.raises(ValueError, match="'3,5', expected a finite number"):  # in a table of commas none is guessed
        numbers(read_csv(path), "score", path)
    assert numbers(read_csv(path, dialect=Dialect(",", ",")), "score", path).tolist() == [3.5]
    write(path, "name,other;score\na,b;1\n")
    assert list(read_csv(path)) == ["name", "other;score"]
    assert list(read_csv(path, dialect=Dialect(";"))) == ["name,other", "score"]
    write(path, "name\tscore\na\t3,5\n")
    with pytest.raises(ValueError, match="'3,5', expected a finite number"):
        numbers(read_csv(path, dialect=Dialect("tab", ".")), "score", path)
    for wrong in (Dialect, lambda mark: Dialect(decimal=mark)):
        with pytest.raises(ValueError, match="is 'x'; expected"):
            wrong("x")


def test_names_are_composed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", unicodedata.normalize("NFD", "name,Größe\nété,1\n"))
    assert rows(read_csv(path)) == [{"name": "\u00e9t\u00e9", "Gr\u00f6ße": "1"}]
    # The Greek question mark is composed to a semicolon, which must not split the cell.
    assert rows(read_csv(write(path, "name;score\na\u037eb;1\n"))) == [{"name": "a;b", "score": "1"}]


RUN = "=cmd|' /C calc'!A0"
NAMES = [
    RUN, "+1+1", "-clip", "@SUM(A1)", "=1", "-1.5", "+3", "'-1.5", "''=x", "a;=x", "a; '=x", "it's", "'", "''",
    "\uff1dx", "a\n=x", "a\r=x", "a\t\t=x", "a,-b", '"=x"', "x\n\n=y", "-inf", "nan", "=", "'=",
    "07.05.2026", "1e5", "#x", "sep=;",
]  # fmt: skip


def test_formulas_are_harmless_and_read_back(tmp_path: Path) -> None:
    text = csv_text([["video_id", RUN, "score"], *([name, "=x", -1.5] for name in NAMES)])
    table = read_csv(write(tmp_path / "t.csv", text))
    assert list(table) == ["video_id", RUN, "score"]
    assert table["video_id"].tolist() == NAMES
    assert numbers(table, "score", "t.csv").tolist() == [-1.5] * len(NAMES)
    # A spreadsheet sees the quoted cells; some split at semicolons and tabs, whatever the quotes say.
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            for part in cell.replace("\t", ";").replace("\r", ";").replace("\n", ";").split(";"):
                assert number(part) is not None or part.lstrip(" ")[:1] not in tuple("=+-@\uff1d\t\r")


def test_a_table_of_values_is_written_with_full_precision(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"name": ["=a", None], "score": [-0.1 + 0.2, math.nan], "count": [1, 2], "kept": [True, False]}
    )
    assert frame_text(table) == f"name,score,count,kept\n'=a,{-0.1 + 0.2!r},1,True\n,,2,False\n"


def test_near_misses_show_the_most_similar_name() -> None:
    assert near_misses(["x264_fast"], ["x265_fast", "qqq"]) == "'x264_fast' (near: 'x265_fast')"
    assert near_misses(["a", "b", "c", "d"], []) == "'a', 'b', 'c'"


def test_near_misses_look_at_case_and_at_large_tables() -> None:
    assert near_misses(["Video_ID"], ["video_id", "vid"]) == "'Video_ID' (near: 'video_id')"
    names = [f"x264_fast_clip{number}_{number % 7}" for number in range(100_000)]
    assert near_misses(["x264_fast_clip4242_x"], names) == "'x264_fast_clip4242_x' (near: 'x264_fast_clip4242_0')"


@given(st.text(st.sampled_from("ab1.;, \n\r\t'é\x1f"), max_size=40), st.sampled_from([",", ";"]))
@settings(max_examples=300, deadline=None)
def test_a_text_without_quotes_is_split_as_the_csv_module_does(text: str, delimiter: str) -> None:
    columns = csv_dialect._plain_columns(text, delimiter)
    if columns is not None:
        lines = [
            line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if "".join(line).strip()
        ]
        assert [list(line) for line in zip(*columns, strict=True)] == lines


def test_plain_text_is_split_at_once_and_other_text_is_not() -> None:
    assert csv_dialect._plain_columns("a,b\r\n1,2\r\n", ",") == [["a", "1"], ["b", "2"]]
    for text in ('a,b\n"1",2\n', "a,b\n1\n", "a,b\n , \n1,2\n", "a,b\n1,\r2\n", "a,é\n1,2\n", ""):
        assert csv_dialect._plain_columns(text, ",") is None
