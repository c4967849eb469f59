"""Training data of the compression level: real encodes of small scenes, labelled with VMAF."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cvqa_models.commands import build_synthetic
from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding.encoders import ENCODERS
from cvqa_models.corpus.labels import pseudo_labels
from cvqa_models.corpus.synthetic import levels
from cvqa_models.corpus.synthetic.camera import Camera, random_camera
from cvqa_models.corpus.synthetic.footage import Window, find_footage, random_window
from cvqa_models.corpus.synthetic.levels import HEAVIEST, SHARES, VMAF_BINS, balanced, build_levels, plan
from cvqa_models.corpus.synthetic.scenes import PHOTOGRAPHS
from cvqa_models.data.manifest import read_manifest
from cvqa_models.files import sha256
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.reader import read_views
from cvqa_models.video.view import View

NAMES = {name: name for name in PHOTOGRAPHS}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes of seconds, not minutes."""
    monkeypatch.setattr(levels, "FRAMES", 10)
    monkeypatch.setattr(levels, "SIZES", ((192, 176),))
    monkeypatch.setattr(levels, "LADDERS_PER_SCENE", 2)
    monkeypatch.setattr(levels, "RUNGS", 2)
    monkeypatch.setattr(levels, "GRAINY", 0)
    ladders = {"x264": (("ultrafast",), 20, 50, 0.5), "x265": (("superfast",), 20, 50, 0.5)}
    monkeypatch.setattr(levels, "LADDERS", ladders)


def test_weights_give_every_encoder_the_same_spread_of_vmaf() -> None:
    rng = np.random.default_rng(0)
    vmaf = np.concatenate([rng.uniform(30, 100, 500), 100 - 60 * rng.beta(1, 3, 500), [100.0]])
    codec = pd.Series(["harsh"] * 500 + ["gentle"] * 500 + [""])
    weight = balanced(codec, vmaf)
    assert weight[-1] == 1
    assert weight.max() <= HEAVIEST
    for name in ("harsh", "gentle"):
        own = (codec == name).to_numpy()
        spread = np.bincount(np.digitize(vmaf[own], VMAF_BINS), weights=weight[own], minlength=len(SHARES)) / own.sum()
        # What is rarer than a quarter of its share stays rarer; all else is exact.
        found = np.bincount(np.digitize(vmaf[own], VMAF_BINS), minlength=len(SHARES)) / own.sum()
        common = found > np.array(SHARES) / HEAVIEST
        assert spread[common] == pytest.approx(np.array(SHARES)[common], abs=1e-4)
        assert common.sum() >= 5


def test_scenes_become_groups_with_vmaf_and_a_rerun_makes_nothing(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, result = tmp_path / "root", tmp_path / "result.json"
    assert build_synthetic.levels(root, references=2, workers=2, json=result) == 0
    assert json.loads(result.read_text()) == {"manifest": str(root / "manifest.csv"), "failures": {}}
    records = read_manifest(root / "manifest.csv")
    assert len(records) == 10
    assert all(Path(str(one.path)).is_file() for one in records)
    table = pd.read_csv(root / "manifest.csv", keep_default_na=False)
    for _, scene in table.groupby("group"):
        assert len(set(scene["reference"])) == 1
        assert scene["mos"].between(0, 100).all()
        # The source itself is the best, and of a ladder's rungs of one height that of the lower CRF is the better one.
        source = scene["codec"] == ""
        assert source.sum() == 1
        assert scene.loc[source, "mos"].item() >= scene["mos"].max() - 0.5
        assert set(scene.loc[~source, "codec"]) == {"x264", "x265"}
        rung = scene.loc[~source, "video_id"].str.extract(r"_(?P<crf>\d+)(?P<scale>_s0\.\d+)?$").fillna("")
        rungs = scene[~source].assign(crf=rung["crf"].astype(float), scale=rung["scale"])
        for _, ladder in rungs.groupby(["codec", "scale"]):
            assert ladder.sort_values("crf")["mos"].is_monotonic_decreasing

    before = (root / "manifest.csv").read_bytes()
    monkeypatch.setattr(ffmpeg, "write", lambda *_: pytest.fail("encoded again"))
    build_levels(root, None, 2)
    assert (root / "manifest.csv").read_bytes() == before


def test_a_source_that_was_compressed_before_is_measured_against_itself(small: None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = levels._scene("worn", "coffee", ["cat"], rng)
    camera = Camera(("gblur=sigma=0.5",), "x264", "veryfast", 40.0, 0.5, ("unsharp=5:5:0.5",))
    rungs = (levels.Rung("x265", "superfast", 20, True), levels.Rung("x264", "ultrafast", 48, False))
    take = levels.Take(scene.name, scene, "coffee", (192, 176), 25, "caption", camera, rungs, 1)
    rows = {str(row["codec"]): row for row in levels._make(take, tmp_path)}
    assert rows[""]["mos"] > 90
    assert rows["x265"]["mos"] > rows["x264"]["mos"] + 15
    assert ffmpeg.inspect(tmp_path / str(rows["x265"]["path"])).pixel_format == "yuv420p10le"
    assert ffmpeg.inspect(tmp_path / str(rows["x264"]["path"])).pixel_format == "yuv420p"


def test_a_source_may_be_an_enlargement_that_nobody_compressed(small: None, tmp_path: Path) -> None:
    scene = levels._scene("soft", "coffee", ["cat"], np.random.default_rng(0))
    take = levels.Take(scene.name, scene, "coffee", (192, 176), 25, "", Camera(scale=0.4), (), 1)
    soft = levels._film(take, tmp_path)
    sharp = levels._film(replace(take, name="sharp", camera=Camera()), tmp_path)
    assert (soft.width, soft.height, soft.frames) == (sharp.width, sharp.height, sharp.frames) == (192, 176, 10)
    assert pseudo_labels.measure(soft.path, sharp.path, tmp_path / "card.json", ())["vmaf"] < 90


def test_an_encode_below_its_size_is_kept_as_a_player_shows_it(small: None, tmp_path: Path) -> None:
    scene = levels._scene("sharp", "coffee", ["cat"], np.random.default_rng(0))
    rungs = tuple(levels.Rung("x264", "ultrafast", 20, False, scale) for scale in (1.0, 0.5))
    take = levels.Take(scene.name, scene, "coffee", (192, 176), 25, "", Camera(), rungs, 1)
    rows = {str(row["video_id"]): row for row in levels._make(take, tmp_path)}
    whole, half = rows["sharp_x264_ultrafast_20"], rows["sharp_x264_ultrafast_20_s0.5"]
    facts = ffmpeg.inspect(tmp_path / str(half["path"]))
    assert (facts.width, facts.height, len(facts.times)) == (192, 176, 10)
    assert half["mos"] < whole["mos"] - 3  # what was lost in scaling stays lost
    assert half["bitrate_kbps"] < 0.6 * whole["bitrate_kbps"]  # of the stream, not of the lossless file
    assert {path.suffix for path in (tmp_path / "videos" / "sharp").iterdir()} == {".mp4", ".mkv"}
    assert not list((tmp_path / "videos").glob(".partial-*"))


def test_some_videos_come_a_second_time_under_grain_with_their_label(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "GRAINY", 1)
    scene = levels._scene("calm", "coffee", ["cat"], np.random.default_rng(0))
    rungs = (levels.Rung("x264", "ultrafast", 40, False),)
    take = levels.Take(scene.name, scene, "coffee", (192, 176), 25, "", Camera(), rungs, 1)
    rows = levels._make(take, tmp_path)
    view = View(UniformClips(10, 1), Native())
    assert len(rows) == 4  # source and encode, and both under grain
    for plain, grainy in zip(rows[:2], rows[2:], strict=True):
        assert str(grainy["video_id"]).startswith(f"{plain['video_id']}_grain")
        assert {**grainy, "video_id": 0, "path": 0} == {**plain, "video_id": 0, "path": 0}
        before, after = (read_views(tmp_path / str(row["path"]), [view])[view.key][:, :, 0] for row in (plain, grainy))
        assert before.shape == after.shape
        added = after.numpy().astype(float) - before.numpy()
        assert added.std() > 1
        assert abs(added.mean()) < 0.5
        assert np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1] < 0.2, "grain differs from frame to frame"
    first = {str(row["path"]): sha256(tmp_path / str(row["path"])) for row in rows[2:]}
    again = levels.under_grain(rows[:2], Fraction(25), tmp_path, 1)
    assert again == rows[2:]
    for path in first:
        (tmp_path / path).unlink()
    levels.under_grain(rows[:2], Fraction(25), tmp_path, 1)
    assert {path: sha256(tmp_path / path) for path in first} == first


def test_some_ladders_have_rungs_of_several_heights_and_change_no_other_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = [plan(number, 0, NAMES, tmp_path) for number in range(200)]
    ladders = [[one.scale for one in take.rungs if one.encoder == name] for take in takes for name in levels.LADDERS]
    adaptive = [scales for scales in ladders if min(scales, default=1) < 1]
    # One in 250 of the adaptive ladders draws the full height four times.
    assert len(adaptive) / sum(map(bool, ladders)) == pytest.approx(levels.REDUCED, abs=0.04)
    assert {scale for scales in adaptive for scale in scales} == set(levels.HEIGHTS)
    assert np.mean([len(set(scales)) > 1 for scales in adaptive]) > 0.9
    monkeypatch.setattr(levels, "REDUCED", 0)
    for number, take in enumerate(takes):
        rungs = tuple(replace(rung, scale=1.0) for rung in take.rungs)
        assert plan(number, 0, NAMES, tmp_path) == replace(take, rungs=rungs)


def test_drawings_of_every_kind_are_among_the_scenes(tmp_path: Path) -> None:
    references = [plan(number, 0, NAMES, tmp_path).reference for number in range(400)]
    kinds = [name.partition("-")[0] for name in references if name.partition("-")[0] in levels.DRAWINGS]
    assert set(kinds) == set(levels.DRAWINGS)
    assert len(kinds) / len(references) == pytest.approx(levels.DRAWN, abs=0.06)


def test_a_plan_depends_on_its_number_and_seed_alone(tmp_path: Path) -> None:
    assert plan(7, 0, NAMES, tmp_path) == plan(7, 0, NAMES, tmp_path)
    assert plan(7, 0, NAMES, tmp_path) != plan(7, 1, NAMES, tmp_path)
    assert plan(7, 0, NAMES, tmp_path) != plan(8, 0, NAMES, tmp_path)


def test_plans_vary_and_leave_the_test_encoder_out(tmp_path: Path) -> None:
    takes = [plan(number, 0, NAMES, tmp_path) for number in range(200)]
    codecs = {rung.encoder for take in takes for rung in take.rungs}
    assert codecs == set(levels.LADDERS)
    assert "openh264" not in codecs
    assert {take.overlay for take in takes} == {"", "caption", "sparks"}
    assert {take.size for take in takes} == set(levels.SIZES)
    assert 0.3 < np.mean([bool(take.camera.encoder) for take in takes]) < 0.55
    assert 0.15 < np.mean([take.camera.scale < 1 for take in takes]) < 0.3
    assert any(take.camera.scale < 1 and not take.camera.encoder for take in takes)
    assert any(take.shown.start == take.shown.end for take in takes)
    assert any(rung.deep for take in takes for rung in take.rungs)
    for take in takes:
        for rung in take.rungs:
            assert rung.speed in ENCODERS[rung.encoder].speeds


def test_every_camera_filter_is_one_that_ffmpeg_takes(tmp_path: Path) -> None:
    filters: dict[str, str] = {}
    for seed in range(60):
        camera = random_camera(np.random.default_rng(seed), 10)
        filters |= {one.split("=")[0]: one for one in (*camera.before, *camera.after)}
    assert len(filters) >= 9
    source = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-frames:v", "10", "-vf"]
    packets = ffmpeg.write([*source, ",".join(["format=yuv420p", *filters.values()])], tmp_path / "all.mkv")
    assert len(packets) == 10


def test_photographs_come_from_a_folder(tmp_path: Path) -> None:
    from PIL import Image

    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*photos'; give one with photographs"):
        build_levels(tmp_path / "root", tmp_path / "photos", 1)
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match=r"'.*photos' holds no photograph; expected \.jpg"):
        build_levels(tmp_path / "root", tmp_path / "photos", 1)
    Image.new("RGB", (300, 200), (9, 99, 199)).save(tmp_path / "photos" / "blue.png")
    assert levels._pictures(tmp_path / "photos") == {"blue": str(tmp_path / "photos" / "blue.png")}


def test_when_nothing_can_be_made_the_reason_is_said(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("the disk is full")

    monkeypatch.setattr(levels, "_film", broken)
    with pytest.raises(ValueError, match="No scene could be made: the disk is full"):
        build_levels(tmp_path, None, 1)


def test_windows_of_footage_are_scenes_that_show_its_own_pixels(small: None, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    film = ["-f", "lavfi", "-i", "testsrc2=size=512x384:rate=24", "-pix_fmt", "yuv420p"]
    ffmpeg.write([*film, "-frames:v", "40", "-c:v", "ffv1"], clips / "film.mkv")
    ffmpeg.write([*film, "-frames:v", "4", "-c:v", "ffv1"], clips / "short.mkv")
    (clips / "broken.mp4").write_bytes(b"no video")
    ffmpeg.write([*film, "-vf", "setparams=color_trc=smpte2084", "-frames:v", "40", "-c:v", "ffv1"], clips / "hdr.mkv")
    result = tmp_path / "result.json"
    found = build_synthetic.levels(tmp_path / "root", references=1, footage=clips, windows=2, workers=2, json=result)
    assert found == 2
    failures = json.loads(result.read_text())["failures"]
    assert sorted(failures) == ["broken", "hdr", "short"]
    assert failures["hdr"].endswith("is HDR (smpte2084); convert it to SDR first.")
    assert failures["short"].endswith("has 4 frames; a scene needs 10.")
    table = pd.read_csv(tmp_path / "root" / "manifest.csv", keep_default_na=False)
    assert set(table["reference"]) > {"film"}
    assert table[table["reference"] == "film"].groupby("group").size().tolist() == [5, 5]


def test_a_window_is_the_cut_that_it_says(tmp_path: Path) -> None:
    film = ["-f", "lavfi", "-i", "testsrc2=size=512x384:rate=24", "-pix_fmt", "yuv420p"]
    ffmpeg.write([*film, "-frames:v", "40", "-c:v", "ffv1"], tmp_path / "film.mkv")
    (piece,), _ = find_footage(tmp_path, 10)
    assert (piece.width, piece.height, piece.fps, piece.frames) == (512, 384, 24, 40)
    cut = Window(piece, 7, 1.0, 0.5, 0.25).filters(192, 176, 10)
    ours = ffmpeg.run(["-i", piece.path, "-vf", cut, "-f", "rawvideo", "-f", "md5", "-"])
    theirs = "select='between(n,7,16)',crop=192:176:160:52"
    options = ["-vf", theirs, "-fps_mode", "passthrough", "-f", "rawvideo", "-f", "md5", "-"]
    assert ours == ffmpeg.run(["-i", piece.path, *options])
    scales = [random_window(piece, (192, 176), 10, np.random.default_rng(seed)) for seed in range(50)]
    assert all(0.458 <= one.scale <= 1 and 0 <= one.first <= 30 for one in scales)


def test_a_folder_without_footage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"holds no footage that can be used: '.*broken.mp4' cannot be read as video"):
        build_levels(tmp_path / "root", None, 1, footage=tmp_path)
