"""`cvqa import`: every data set's own table becomes the canonical one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from cvqa_models.commands.import_table import import_table
from cvqa_models.data.adapters import nvc
from cvqa_models.data.adapters.cvqad import read_cvqad
from cvqa_models.data.manifest import Manifest, read_manifest
from cvqa_models.types import VideoRecord

TABLES = {
    "cvqad": "codec,preset,sequence,crf,real_bitrate,bitrate,subjective_score\nx264,fast,a-2019,100,98,low,1.5\n",
    "leha": "sequence,preset,codec,crf,comparison,real_bitrate,MOS\na,fast,x264,100,a_fast_1,98,1.5\n",
    "kvq": "filename,score\ntrain/0001.mp4,1.5\n",
    "dover-txt": "sub/v1.mp4, -1, -1, 1.5\n",
    "konvid": "file_name,MOS\n123.mp4,1.5\n",
    "ytugc": "vid,category,resolution,MOSFull,MOSChunk00\nGaming_720P-1,Gaming,720,1.5,1.4\n",
    "lsvq": "name,height,width,mos,is_test\nyfcc/1_540s,360,640,1.5,True\n",
    "maxwell": "v1.mp4, 0.2, 0.3, 1.5\n",
    "qalign-json": '[{"img_path": "sub/v1.mp4", "gt_score": 1.5}]',
}
EXPECTED = {
    "cvqad": ("x264_fast_a-2019_100", "a-2019/fast", "a", ""),
    "leha": ("x264_fast_a_100", "a_fast_1", "a", ""),
    "kvq": ("train/0001.mp4", "src", "train/0001.mp4", ""),
    "dover-txt": ("sub/v1", "src", "sub/v1", ""),
    "konvid": ("123", "src", "123", ""),
    "ytugc": ("Gaming_720P-1", "src", "Gaming_720P-1", ""),
    "lsvq": ("yfcc/1_540s", "src", "yfcc/1_540s", "test"),
    "maxwell": ("v1", "src", "v1", ""),
    "qalign-json": ("sub/v1", "src", "sub/v1", ""),
}
FILES = {
    "cvqad": "x/enc_res_x264_fast_a-2019_100.webm",
    "leha": "enc_res_x264_fast_a_100.mp4",
    "kvq": "train/0001.mp4",
    "dover-txt": "sub/v1.mp4",
    "konvid": "123_centercrop_960x540_8s.mp4",
    "ytugc": "Gaming_720P-1.mkv",
    "lsvq": "yfcc/1_540s.mp4",
    "maxwell": "v1.mp4",
    "qalign-json": "sub/v1.mp4",
}


def convert(tmp_path: Path, format: str, text: str, **options: object) -> list[VideoRecord]:
    src = tmp_path / "src.csv"
    src.write_text(text)
    import_table(format, src, out=tmp_path / "out" / "manifest.csv", **options)  # type: ignore[arg-type]
    return read_manifest(tmp_path / "out" / "manifest.csv")


@pytest.mark.parametrize("format", TABLES)
def test_every_format(tmp_path: Path, format: str) -> None:
    video = tmp_path / "videos" / FILES[format]
    video.parent.mkdir(parents=True)
    video.touch()
    (record,) = convert(tmp_path, format, TABLES[format], videos=tmp_path / "videos")
    assert (record.video_id, record.group, record.reference, record.split) == EXPECTED[format]
    assert record.mos == 1.5
    assert record.path is not None
    assert Path(record.path).resolve() == video.resolve()


def test_other_targets_stay_in_the_table(tmp_path: Path) -> None:
    convert(tmp_path, "maxwell", TABLES["maxwell"])
    (record,) = Manifest(str(tmp_path / "out/manifest.csv"), target="technical").records()
    assert record.mos == 0.3


def test_any_csv_by_its_columns(tmp_path: Path) -> None:
    text = "name,DMOS,scene,enc,std\na,30,s1,x264,2\nb,60,s1,x265,3\nc,,s2,x265,3\n"
    columns = ["video_id=name", "mos=DMOS", "reference=scene", "codec=enc", "std=std"]
    records = convert(tmp_path, "csv", text, columns=columns, higher_is_better=False, group_by=["scene"])
    assert [(r.video_id, r.mos, r.group, r.codec) for r in records[:2]] == [
        ("a", -30.0, "s1", "x264"),
        ("b", -60.0, "s1", "x265"),
    ]
    assert math.isnan(records[2].mos)
    assert [r.std for r in records] == [2.0, 3.0, 3.0]
    assert (tmp_path / "out/manifest.csv").read_text().splitlines()[0].endswith("split,weight,std,name,DMOS,scene,enc")


def test_a_set_without_groups_is_one_group_with_a_name(tmp_path: Path) -> None:
    (record,) = convert(tmp_path, "maxwell", TABLES["maxwell"], name="maxwell")
    assert record.group == "maxwell"


PANEL = "video_id,reference,preset,mos\n" + "".join(
    f"{source}{rung},{source},fast,{rung}\n" for source in ("a", "b", "c") for rung in range(3)
)


@pytest.mark.parametrize(
    ("text", "options", "typed"),
    [
        (PANEL, {}, "--group-by reference preset`"),
        (PANEL.replace("fast", ""), {}, "--group-by reference`"),
        ("video_id,mos\na,1\nb,2\n", {}, "`--columns reference=COLUMN`, and type `--group-by reference`"),
        (PANEL, {"group_by": ["reference", "preset"]}, None),
    ],
    ids=["presets", "no presets", "scenes", "grouped"],
)
def test_a_group_of_several_references_is_said_with_what_to_type(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, options: dict, typed: str | None
) -> None:
    records = convert(tmp_path, "csv", text, **options)
    said = [line for line in caplog.messages if "references, so that videos of different sources are compared" in line]
    if typed is None:
        assert not said
        assert {record.group for record in records} == {"a/fast", "b/fast", "c/fast"}
        return
    assert len(said) == 1
    assert typed in said[0]
    assert said[0].startswith(f"group 'src' holds {len({record.reference for record in records})} references")
    # What it says to type is taken, and puts an end to it.
    caplog.clear()
    if "COLUMN" not in typed:
        convert(tmp_path, "csv", text, group_by=typed.removesuffix("`").split()[1:])
        assert not caplog.messages


def test_the_summary_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(tmp_path, "kvq", "filename,score\na.mp4,1\nb.mp4,\n")
    assert "2 videos in 1 groups, 2 references; 0 have a file, 1 have no score" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("format", "text", "options", "message"),
    [
        ("kvqq", "", {}, r"The format is 'kvqq' \(near: 'kvq'\); expected one of avt, cvqad, dover-txt, konvid"),
        ("kvq", "filename,score\na,1\na,2\n", {}, "row 2: 'a' stands twice in group 'src'. Correct the table"),
        ("kvq", 'filename,score\na,"1,5"\n', {}, "row 1: `mos` is '1,5', expected a finite number; write decimals"),
        ("dover-txt", "a.mp4, -1, -1, 3,5\n", {}, "line 1 has 5 cells, expected 4"),
        ("konvid", "name,MOS\na,1\n", {}, "no column 'file_name'"),
        ("qalign-json", '[{"image": "a"}]', {}, "is no list of objects with `img_path`"),
        ("csv", "name,x\na,1\n", {"columns": ["mos=x"]}, "no column 'video_id'; its header is name, x; say which"),
        (
            "csv",
            "name,x\na,1\n",
            {"columns": ["video_id=name", "score=x"]},
            "expected NAME=COLUMN with the names video_id, path",
        ),
        ("csv", "name,x\na,1\n", {"columns": ["video_id"]}, "expected NAME=COLUMN"),
        ("csv", "name,x\na,1\n", {"columns": ["video_id=nam"]}, r"no column 'nam' \(near: 'name'\)"),
        ("csv", "video_id,split\na,training\n", {}, "row 1: `split` is 'training', expected train, val, test"),
        ("csv", "video_id,weight\na,-1\n", {}, "row 1: `weight` is -1.0, expected a number that is not negative"),
        ("csv", "video_id,std\na,x\nb,y\n", {}, "row 1: `std` is 'x', expected a finite number; 2 of 2 rows have"),
        ("csv", "video_id,mos\n,1\n", {}, "row 1: `video_id` is empty"),
        ("votes", "left,right,answer\na,b,left\n", {}, r"lack the columns \['group'\]"),
        ("votes", "left,right,answer,group\na,b,A,g\n", {}, r"answers \['A'\]"),
        ("votes", "left,right,answer,group\na,b,left,g\nc,d,left,g\n", {}, "no group could be scored"),
        ("kvq", "filename,score\na,1\n", {"group_by": ["scene"]}, "`--group-by` names 'scene'"),
    ],
)
def test_bad_tables_are_refused(
    tmp_path: Path, format: str, text: str, options: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        convert(tmp_path, format, text, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("format", "text", "options"),
    [
        ("kvq", "filename;score\na.mp4;3,5\nb.mp4;4\n", {}),
        ("kvq", "filename\tscore\r\na.mp4\t3,5\r\nb.mp4\t4\r\n", {}),
        ("kvq", "filename;score\na.mp4;3.5\nb.mp4;4\n", {}),
        ("csv", "name;x;y\na.mp4;3,5;1\nb.mp4;4;2\n", {"columns": ["video_id=name", "mos=x"]}),
        ("dover-txt", "a.mp4;-1;-1;3,5\nb.mp4;-1;-1;4\n", {}),
        ("kvq", 'filename,score\na.mp4,"3,5"\nb.mp4,4\n', {"decimal": ","}),
        ("kvq", "filename|score\na.mp4|3.5\nb.mp4|4\n", {"delimiter": "|"}),
    ],
)
def test_tables_as_spreadsheets_write_them(
    tmp_path: Path, format: str, text: str, options: dict[str, list[str]]
) -> None:
    assert [record.mos for record in convert(tmp_path, format, text, **options)] == [3.5, 4.0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.json"):
        import_table("qalign-json", tmp_path / "absent.json", out=tmp_path / "m.csv")


def test_videos_that_do_not_match_are_refused_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/0001.mp4").touch()
    text = "filename,score\n0001.mp4,1\n0002.mp4,2\n"
    with pytest.raises(ValueError, match=r"1 of 2 labels have no video: '0002'"):
        convert(tmp_path, "kvq", text, videos=tmp_path / "videos")
    assert [r.video_id for r in convert(tmp_path, "kvq", text, videos=tmp_path / "videos", partial=True)] == [
        "0001.mp4"
    ]


def test_bad_rows_can_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = 'filename,score\na.mp4,1\nb.mp4,good\na.mp4,2\n,3\nc.mp4,"4,5"\nd.mp4,4\n'
    records = convert(tmp_path, "kvq", text, partial=True)
    assert [(r.video_id, r.mos) for r in records] == [("a.mp4", 1.0), ("d.mp4", 4.0)]
    assert "4 of 6 rows are left out (first: row 2: `mos` is 'good', expected a finite number)" in caplog.text
    with pytest.raises(ValueError, match=r"has no row without a fault \(first: row 1: `mos` is 'x'"):
        convert(tmp_path, "kvq", "filename,score\na,x\n", partial=True)


def test_a_table_with_canonical_names_needs_no_columns_and_keeps_its_paths(tmp_path: Path) -> None:
    (record,) = convert(tmp_path, "csv", "video_id,path,mos\na,clips/a.mp4,1\n")
    assert record.path is not None
    assert Path(record.path).resolve() == tmp_path / "clips/a.mp4"


@pytest.mark.parametrize("column", ["group", "test_case"])
def test_votes_become_scores(tmp_path: Path, column: str) -> None:
    rows = ["park,a,b,left"] * 3 + ["park,b,a,left", "lake,a,c,equal"]
    records = convert(tmp_path, "votes", "\n".join([f"{column},left,right,answer", *rows]))
    assert [(r.video_id, r.group, r.reference) for r in records] == [
        ("a", "park", "park"), ("b", "park", "park"), ("a", "lake", "lake"), ("c", "lake", "lake")
    ]  # fmt: skip
    assert records[0].mos == pytest.approx(math.log(3), abs=0.01)
    # One free difference: its variance is 1 / (n p q), and each score has a quarter of it about their mean.
    assert records[0].std == pytest.approx(math.sqrt(1 / (4 * 0.75 * 0.25)) / 2, rel=0.01)


def test_the_real_label_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = Path(__file__).parents[4] / "shared" / "data" / "cvqad" / "Subjective_scores.csv"
    if not labels.is_file():
        pytest.skip("needs ../shared/data/cvqad/Subjective_scores.csv")
    import_table("cvqad", labels, out=tmp_path / "m.csv")
    assert "1022 videos in 57 groups, 32 references; 0 have a file, 0 have no score" in capsys.readouterr().out
    ours, theirs = read_manifest(tmp_path / "m.csv"), read_cvqad(str(labels), join_same_content=True)
    assert [replace(one, std=0) for one in ours] == [replace(one, std=0) for one in theirs]


def avt(root: Path, test: str, source: str) -> Path:
    """Write what AVT-VQDB-UHD-1 has of a test: two encodes of a source, of which all viewers agreed on one."""
    folder = root / test
    folder.mkdir(parents=True)
    names = [f"{source}_200kbps_360p_60fps_h264.mp4", f"{source}_900kbps_720p_60fps_h264.mp4"]
    facts = "src,video_name,video_height,video_frame_rate,video_bitrate,video_codec\n"
    facts += "".join(f"{source},{name},{360 * n},59.94,{200.5 * n},h264\n" for n, name in enumerate(names, 1))
    (folder / "metadata.csv").write_text(facts)
    scores = f"src,video_name,MOS,CI\n{source},{names[0]},1.0,0.0\n{source},{names[1]},2.5,0.196\n"
    (folder / "mos_ci.csv").write_text(scores)
    measured = "".join(f"{source},{name},{30 + n},{n}\n" for n, name in enumerate(reversed(names)))
    (folder / "objective_scores.csv").write_text(f"src,video_name,vmaf_score,video_bitrate\n{measured}")
    return folder


def test_both_tests_of_avt_with_frames_in_the_place_of_videos(tmp_path: Path) -> None:
    root, out = tmp_path / "avt", tmp_path / "manifest.csv"
    avt(root, "test_1", "water")
    avt(root, "test_2", "water_8s")
    frames = tmp_path / "frames"
    frames.mkdir()
    for test, source in (("test_1", "water"), ("test_2", "water_8s")):
        for rate in ("200kbps_360p", "900kbps_720p"):
            (frames / f"{test}_{source}_{rate}_60fps_h264.jpg").touch()
    import_table("avt", root, out=out, videos=frames)
    records = read_manifest(out)
    assert [record.group for record in records] == ["test_1/water/h264"] * 2 + ["test_2/water_8s/h264"] * 2
    assert {record.reference for record in records} == {"water"}, "a cut of a source is the same content"
    assert [record.mos for record in records[:2]] == [1.0, 2.5]
    assert [record.bitrate_kbps for record in records[:2]] == [200.5, 401.0]
    assert records[1].std == pytest.approx(0.1)
    assert math.isnan(records[0].std), "no viewer disagreed, which is no certainty"
    assert Path(str(records[3].path)).name == "test_2_water_8s_900kbps_720p_60fps_h264.jpg"
    assert [record.mos for record in Manifest(str(out), target="vmaf_score").records()[:2]] == [31.0, 30.0]


@pytest.mark.parametrize("source", ["test_1", "test_1/mos_ci.csv"])
def test_one_test_of_avt(tmp_path: Path, source: str) -> None:
    avt(tmp_path, "test_1", "water")
    (tmp_path / "test_1" / "objective_scores.csv").unlink()
    import_table("avt", tmp_path / source, out=tmp_path / "manifest.csv")
    assert len(read_manifest(tmp_path / "manifest.csv")) == 2


def test_avt_without_its_tables_is_refused(tmp_path: Path) -> None:
    folder = avt(tmp_path, "test_1", "water")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no `mos_ci\.csv` in '.*empty' or its folders; give the folder"):
        import_table("avt", tmp_path / "empty", out=tmp_path / "manifest.csv")
    facts = folder / "metadata.csv"
    facts.write_text(facts.read_text().replace("200kbps", "250kbps"))
    with pytest.raises(ValueError, match=r"scores without metadata: 'water_200kbps"):
        import_table("avt", tmp_path, out=tmp_path / "manifest.csv")


def test_nvc(tmp_path: Path) -> None:
    row = {"name": "sparks_av1_q48", "source": "sparks", "codec": "AV1", "bitrate": 874343.2, "mos": 3.25, "vmaf": 79.5}
    src, out = tmp_path / "results.json", tmp_path / "manifest.csv"
    src.write_text(json.dumps([row]))
    import_table("nvc", src, out=out)
    (record,) = read_manifest(out)
    assert (record.group, record.reference, record.codec) == ("sparks/AV1", "sparks", "AV1")
    assert (record.bitrate_kbps, record.mos) == (pytest.approx(874.3432), 3.25)
    assert Manifest(str(out), target="vmaf").records()[0].mos == 79.5
    for content in ("[{}]", "{", '[{"name": 1}]', '"text"', json.dumps([row | {"bitrate": "fast"}])):
        src.write_text(content)
        with pytest.raises(ValueError, match="is no list of objects with `name`, `source`, `codec`, `bitrate`, `mos`"):
            import_table("nvc", src, out=out)
    with pytest.raises(FileNotFoundError, match=r"no file '.*absent\.json'; give `results\.json`"):
        nvc.read(tmp_path / "absent.json")
