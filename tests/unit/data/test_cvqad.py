"""The CVQAD label table: the real one where it is at hand, and small ones of its format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cvqa_models.data.adapters.cvqad import Cvqad, read_cvqad

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
REAL = SHARED / "data" / "cvqad" / "Subjective_scores.csv"
needs_table = pytest.mark.skipif(not REAL.is_file(), reason=f"the real label table is not at {REAL}")

HEADER = "codec,preset,sequence,crf,standard,real_bitrate,bitrate,subjective_score\n"
SMALL = HEADER + "x264,fast,a-2019,100,h264,98.5,low,0.5\nx265,fast,a-2019,100,h265,101,low,1.5\n"


def table(tmp_path: Path, text: str = SMALL) -> str:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return str(path)


@needs_table
def test_the_real_table_has_the_published_shape() -> None:
    records = read_cvqad(str(REAL))
    sizes = Counter(Counter(record.group for record in records).values())
    assert len(records) == 1022
    assert sizes == {9: 7, 11: 1, 12: 11, 13: 2, 14: 2, 15: 6, 21: 14, 27: 14}
    assert len({record.reference for record in records}) == 36
    assert len({record.reference for record in read_cvqad(str(REAL), join_same_content=True)}) == 32
    assert Counter(record.preset for record in records) == {"offline": 605, "fast": 357, "subjective": 60}
    assert records[0].video_id == "vp9_subjective_crowd-run-2019_1000"
    assert (records[0].group, records[0].mos, records[0].bitrate_kbps) == (
        "crowd-run-2019/subjective",
        1.9528992155868885,
        1616.0,
    )


def test_videos_and_sources_are_found_by_name(tmp_path: Path) -> None:
    for name in (
        "videos/deep/enc_res_x264_fast_a-2019_100.webm",
        "videos/enc_res_x265_fast_a-2019_100.mp4",
        "src/a-2019.y4m",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = Cvqad(table(tmp_path), videos=str(tmp_path / "videos"), references=str(tmp_path / "src"))
    first, second = source.records()
    assert first.path == str(tmp_path / "videos/deep/enc_res_x264_fast_a-2019_100.webm")
    assert second.path == str(tmp_path / "videos/enc_res_x265_fast_a-2019_100.mp4")
    assert {first.reference_path, second.reference_path} == {str(tmp_path / "src/a-2019.y4m")}
    assert first.reference == "a"


def test_without_videos_there_are_no_paths(tmp_path: Path) -> None:
    records = Cvqad(table(tmp_path), join_same_content=False).records()
    assert [(record.path, record.reference) for record in records] == [(None, "a-2019")] * 2


def test_a_partial_download_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/x265_100_fast_a-2019.mp4").touch()
    options = {"videos": str(tmp_path / "videos"), "filename_template": "{codec}_{crf}_{preset}_{sequence}"}
    with pytest.raises(ValueError, match="1 of 2 labels have no video: 'x264_100_fast_a-2019'"):
        Cvqad(table(tmp_path), **options).records()
    assert [r.codec for r in Cvqad(table(tmp_path), **options, partial=True).records()] == ["x265"]


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a-2018.y4m").touch()
    with pytest.raises(ValueError, match=r"no source for 1 sequences: 'a-2019' \(near: 'a-2018'\)"):
        Cvqad(table(tmp_path), references=str(tmp_path / "src")).records()


def test_a_template_needs_the_keys(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"`filename_template` is '\{codec\}_\{crf\}'; expected exactly \{codec\}, \{preset\}"
    ):
        Cvqad(table(tmp_path), filename_template="{codec}_{crf}")


def test_duplicates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 3: 'x264_fast_a-2019_100' stands twice"):
        read_cvqad(table(tmp_path, SMALL + "x264,fast,a-2019,100,h264,98.5,low,0.7\n"))
