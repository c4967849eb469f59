"""The page of a comparison: whole by itself, names as they are, stills where there are files."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from cvqa_models.corpus import ffmpeg
from cvqa_models.evaluation.rate_distortion import compare
from cvqa_models.report.colours import looks
from cvqa_models.report.comparison import write_comparison
from cvqa_models.report.stills import still
from tests.unit.evaluation.encodes import rows, write

PICTURE = re.compile(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]+)">')


def pictures(page: str) -> dict[str, Image.Image]:
    return {unescape(name): Image.open(io.BytesIO(base64.b64decode(data))) for name, data in PICTURE.findall(page)}


def test_the_page_holds_all_and_refers_to_nothing(tmp_path: Path) -> None:
    encodes = [{**row, "mos": float(str(row["score"])) / 20, "lpips": 1 / float(str(row["score"]))} for row in rows()]
    manifest, scores = write(tmp_path, encodes, ("score", "lpips"))
    page = write_comparison(compare(manifest, anchor="x264", scores=scores), tmp_path / "out").read_text()
    assert not re.search(r"""(?:src|href)=(?!["']?data:)""", page)
    assert "<script" not in page
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles == [
        "By score", "By mos", "All scores", "Encoders against each other", "Each source, by score", "Worst cases",
        "Agreement with people", "How to read this",
    ]  # fmt: skip
    assert "<li>x265 takes 30.0 % less rate than x264 for the same score" in page
    assert "lpips (lower is better)" in page
    found = pictures(page)
    assert len(found) == 6
    assert all(image.size[0] > 500 for image in found.values())
    assert (tmp_path / "out/people-sources.png").read_bytes().startswith(b"\x89PNG")


def test_names_from_outside_are_shown_as_they_are(tmp_path: Path) -> None:
    hostile = {"x264": "<script>alert(1)</script>", "x265": "$\\frac{1}{$", "vvenc": "=cmd|' /C calc'!A0", "old": "a_b"}
    encodes = [
        {**row, "codec": hostile[str(row["codec"])], "reference": f"<img src=x>{row['reference']}"} for row in rows()
    ]
    manifest, scores = write(tmp_path, encodes)
    result = compare(manifest, anchor=hostile["x264"], scores=scores)
    page = write_comparison(result, tmp_path / "out").read_text()
    assert "<script" not in page
    assert "<img src=x>" not in page
    assert "&lt;img src=x&gt;city" in page
    cells = (tmp_path / "out/comparison.csv").read_text()
    assert "'=cmd|" in cells  # no spreadsheet runs it


def test_the_worst_cases_stand_side_by_side(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    ffmpeg.write(["-f", "lavfi", "-i", "testsrc2=s=960x240:r=5:d=1", "-c:v", "libx264"], film)
    encodes = [{**row, "path": "film.mp4" if row["codec"] != "vvenc" else "gone.mp4"} for row in rows()]
    for row in encodes:
        if (row["reference"], row["codec"]) == ("river", "x265"):
            row["bitrate_kbps"] = 3 * float(str(row["bitrate_kbps"]))
    for number, row in enumerate(encodes):
        row["path"] = f"{number}.mp4"
        if row["codec"] != "vvenc":
            (tmp_path / f"{number}.mp4").hardlink_to(film)
    manifest, scores = write(tmp_path, encodes)
    page = write_comparison(compare(manifest, anchor="x264", scores=scores), tmp_path / "out").read_text()
    worst = page.split("<h2>Worst cases</h2>")[1].split("<h2>")[0]
    assert re.findall("<h3>(.*?)</h3>", worst)[0] == "river fast: x265 +110.0 %"
    shown = list(pictures(worst).values())
    assert [image.size for image in shown] == [(480, 120)] * 6
    ours, theirs = re.findall("<figcaption>x26[45], ([0-9]+) kb/s, score [0-9.]+</figcaption>", worst)[:2]
    assert 1 / 1.25 <= int(ours) / int(theirs) <= 1.25
    assert still(tmp_path / "gone.mp4") is None


def test_without_files_the_worst_cases_are_told_in_words(tmp_path: Path) -> None:
    manifest, scores = write(tmp_path, rows())
    page = write_comparison(compare(manifest, anchor="x264", scores=scores), tmp_path / "out").read_text()
    worst = page.split("<h2>Worst cases</h2>")[1].split("<h2>")[0]
    assert "<img" not in worst
    assert worst.count("<figcaption>") == 6


def test_encoders_of_sources_without_common_rates_have_no_mean_curve(tmp_path: Path) -> None:
    encodes = rows()
    for row in encodes:
        if row["reference"] == "forest":
            row["bitrate_kbps"] = 100 * float(str(row["bitrate_kbps"]))
    manifest, scores = write(tmp_path, encodes)
    page = write_comparison(compare(manifest, anchor="x264", scores=scores), tmp_path / "out").read_text()
    assert "The sources share no rates, so there is no mean curve." in page
    assert not (tmp_path / "out/score-curves.png").exists()


def test_one_codec_looks_alike_everywhere_and_two_never_do() -> None:
    assert looks(["x264", "zz"])["x264"] == looks(["a", "H.264", "x264"])["x264"] == looks(["libx264"])["libx264"]
    assert looks(["AV1"])["AV1"] == looks(["svt-av1", "x265"])["svt-av1"]
    for names in (
        ["x264", "h264", "avc", "x265"],
        [f"mine{number}" for number in range(8)],
        ["x264", "a", "b", "hevc"],
    ):
        assert len(set(looks(names).values())) == len(names)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    manifest, scores = write(tmp_path, rows())
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        write_comparison(compare(manifest, anchor="x264", scores=scores), tmp_path / "file")
