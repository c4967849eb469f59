"""The organisers' file comes back with its scores filled and everything else as it was."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from cvqa_models.submission.templates import fill_template

SCORES = {"x264_fast_a_1": 0.25, "x265_fast_a_1": 0.5, "xin_fast_a_1": 1.0}


def fill(tmp_path: Path, name: str, content: str, column: str | None = None) -> str:
    (tmp_path / name).write_bytes(content.encode())
    out = tmp_path / f"out{Path(name).suffix}"
    fill_template(tmp_path / name, out, SCORES, column)
    return out.read_bytes().decode()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", "filename,score\nA.mp4,0\nB.mp4,0\n", "filename,score\nA.mp4,0.5\nB.mp4,0.25\n"),
        ("t.csv", "name;pred;note\r\nA;;a\r\nB;;b\r\n", "name;pred;note\r\nA;0.5;a\r\nB;0.25;b\r\n"),
        ("t.csv", "video\nA\nB\n", "video,score\nA,0.5\nB,0.25\n"),
        ("t.csv", "\ufefffile,mos\nenc_res_A.mp4,\nB,\n", "\ufefffile,mos\nenc_res_A.mp4,0.5\nB,0.25\n"),
        ("t.txt", "A.mp4 0\nB.mp4 0\n", "A.mp4 0.5\nB.mp4 0.25\n"),
        ("t.txt", "A, 0\nB, 0\n", "A, 0.5\nB, 0.25\n"),
        ("t.tsv", "id\tscore\nA\t\nB\t\n", "id\tscore\nA\t0.5\nB\t0.25\n"),
        ("t.csv", "name,note,score\nA\n\nB,x,0\n", "name,note,score\nA,,0.5\nB,x,0.25\n"),
        ("t.csv", 'note,name\n"two\nlines",A\n,B\n', 'note,name,score\n"two\nlines",A,0.5\n,B,0.25\n'),
        ("t.csv", "name,note\nA,=1+1\nB,a\x0bb\n", "name,note,score\nA,=1+1,0.5\nB,a\x0bb,0.25\n"),
        ("t.txt", "test/A.mp4\ntest/B.mp4\n", "test/A.mp4,0.5\ntest/B.mp4,0.25\n"),
    ],
)
def test_text_templates(tmp_path: Path, name: str, content: str, expected: str) -> None:
    ids = {"A": "x265_fast_a_1", "B": "x264_fast_a_1"}
    for letter, video_id in ids.items():
        content, expected = content.replace(letter, video_id), expected.replace(letter, video_id)
    assert fill(tmp_path, name, content) == expected


def test_templates_with_the_keys_of_cvqad(tmp_path: Path) -> None:
    filled = fill(tmp_path, "t.csv", "codec,preset,sequence,crf,score\nx265,fast,a,1,\nx264,fast,a,1,\n")
    assert filled == "codec,preset,sequence,crf,score\nx265,fast,a,1,0.5\nx264,fast,a,1,0.25\n"


def test_json_templates(tmp_path: Path) -> None:
    assert json.loads(fill(tmp_path, "t.json", '{"x265_fast_a_1.mp4": null, "x264_fast_a_1.mp4": 0}')) == {
        "x265_fast_a_1.mp4": 0.5,
        "x264_fast_a_1.mp4": 0.25,
    }
    rows = '[{"name": "x264_fast_a_1", "fps": 30, "score": null}, {"name": "x265_fast_a_1", "fps": 25, "score": null}]'
    assert json.loads(fill(tmp_path, "t.json", rows)) == [
        {"name": "x264_fast_a_1", "fps": 30, "score": 0.25},
        {"name": "x265_fast_a_1", "fps": 25, "score": 0.5},
    ]


def test_xlsx_templates(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    for row in (["filename", "score"], ["x265_fast_a_1.mp4", None], ["x264_fast_a_1.mp4", None]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    assert fill_template(tmp_path / "t.xlsx", tmp_path / "out.xlsx", SCORES) == 2
    filled = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    assert list(filled.iter_rows(values_only=True))[1:] == [
        ("x265_fast_a_1.mp4", 0.5),
        ("x264_fast_a_1.mp4", 0.25),
    ]


def test_a_workbook_keeps_its_texts_and_whole_numbers(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    for row in (["video", "note", "score"], [7.0, "a", None], [8, "b", 0]):
        book.active.append(row)
    book.active["B2"].value = "=1+1"
    book.active["B2"].data_type = "s"  # a text that looks like a formula
    book.save(tmp_path / "t.xlsx")
    fill_template(tmp_path / "t.xlsx", tmp_path / "out.xlsx", {"7": 0.5, "8": 0.25})
    filled = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    assert [filled["C2"].value, filled["C3"].value] == [0.5, 0.25]
    assert (filled["B2"].value, filled["B2"].data_type) == ("=1+1", "s")


def test_a_workbook_that_claims_more_than_memory_holds_is_refused(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    book.active["XFD1048576"] = 1
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match="says that it has 1048576 rows and 16384 columns"):
        fill_template(tmp_path / "t.xlsx", tmp_path / "out.xlsx", SCORES)
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(300_000_000))
    with pytest.raises(ValueError, match="would unpack to 300000000 bytes"):
        fill_template(tmp_path / "t.xlsx", tmp_path / "out.xlsx", SCORES)


def test_xlsx_without_its_package_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(ValueError, match="needs the package openpyxl"):
        fill(tmp_path, "t.xlsx", "")


def test_the_score_column_may_be_named(tmp_path: Path) -> None:
    content = "name,mos,score\nx265_fast_a_1,,\nx264_fast_a_1,,\n"
    with pytest.raises(ValueError, match=r"several columns for a score \(mos, score\); choose one"):
        fill(tmp_path, "t.csv", content)
    assert fill(tmp_path, "t.csv", content, "score") == "name,mos,score\nx265_fast_a_1,,0.5\nx264_fast_a_1,,0.25\n"
    with pytest.raises(ValueError, match="has no column 'quality'"):
        fill(tmp_path, "t.csv", content, "quality")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            "name,score\nx266_fast_a_1,\nx264_fast_a_1,\n",
            r"1 of 2 rows of '.*t\.csv' have no score: 'x266_fast_a_1 ?'",
        ),
        ("t.txt", "x266_fast_a_1.mp4\nx264_fast_a_1.mp4\n", "1 of 2 rows of .* have no score"),
        ("t.csv", "name,score\nx264_fast_a_1,\nx264_fast_a_1.mp4,\n", "names 'x264_fast_a_1' twice"),
        ("t.csv", "", "is empty"),
        ("t.json", "[1", "is no JSON"),
        ("t.json", "[" * 100_000, "is no JSON"),
        ("t.csv", "x" * 200_000, "is no table"),
        ("t.xlsx", "PK", "is no workbook"),
        ("t.json", "[]", "holds neither an object of names nor a list of objects"),
        ("t.doc", "x", "is no .csv, .txt, .tsv, .json or .xlsx file"),
    ],
)
def test_templates_that_cannot_be_filled_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fill(tmp_path, name, content)
    assert not (tmp_path / f"out{Path(name).suffix}").exists()


def test_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no template"):
        fill_template(tmp_path / "absent.csv", tmp_path / "out.csv", SCORES)
    (tmp_path / "t.csv").write_bytes(b"name\n\xff\n")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        fill_template(tmp_path / "t.csv", tmp_path / "out.csv", SCORES)
    with pytest.raises(ValueError, match=r"`out` is '.*out\.txt', expected a \.csv file"):
        fill_template(tmp_path / "t.csv", tmp_path / "out.txt", SCORES)
