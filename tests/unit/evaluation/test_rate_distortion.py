"""Comparisons of encoders on tables whose answer is known."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from cvqa_models.corpus import ffmpeg
from cvqa_models.evaluation.comparison_payload import comparison_payload
from cvqa_models.evaluation.rate_distortion import compare
from tests.unit.evaluation.encodes import FACTORS, RATES, SOURCES, Row, rows, write


def test_factors_between_encoders_come_out(tmp_path: Path) -> None:
    manifest, scores = write(tmp_path, rows())
    found = compare(manifest, anchor="x264", scores=scores)
    assert found.encoders == ["x264", "old", "vvenc", "x265"]
    assert {one.encoder for one in found.worse} == {"old"}
    for one in found.means:
        assert one.percent == pytest.approx(100 * (FACTORS[one.encoder] - 1), abs=1e-6)
        assert one.low == pytest.approx(one.percent)  # all sources agree
        assert (one.score, one.preset, one.sources, one.flagged) == ("score", "", 3, 0)
    assert len(found.deltas) == 3 * 3
    assert found.left_out == ()
    gaps = dict(found.differences["score"])
    assert gaps["old", "vvenc"].value == pytest.approx(75)
    assert compare(manifest, anchor="vvenc", scores=scores).means[0].percent == pytest.approx(150)


def test_intervals_resample_sources_and_are_paired(tmp_path: Path) -> None:
    encodes = rows()
    shift = {"city": 0.8, "river": 1.0, "forest": 1.4}
    for row in encodes:
        if row["codec"] != "x264":
            row["bitrate_kbps"] = float(str(row["bitrate_kbps"])) * shift[str(row["reference"])]
    manifest, scores = write(tmp_path, encodes)
    found = compare(manifest, anchor="x264", scores=scores)
    mean = {one.encoder: one for one in found.means}["x265"]
    own = [100 * (0.7 * factor - 1) for factor in shift.values()]
    assert mean.percent == pytest.approx(np.mean(own))
    assert min(own) - 1e-9 <= mean.low < mean.percent < mean.high <= max(own) + 1e-9
    ((_, gap),) = [pair for pair in found.differences["score"] if pair[0] == ("vvenc", "x265")]
    assert gap.value == pytest.approx(-20 * np.mean(list(shift.values())))
    assert gap.high < 0  # each resample draws the same sources for both, so vvenc is ahead in every one
    assert mean.high - mean.low > gap.high - gap.low
    again = compare(manifest, anchor="x264", scores=scores)
    assert [(one.low, one.high) for one in again.means] == [(one.low, one.high) for one in found.means]
    assert all(math.isnan(one.low) for one in compare(manifest, anchor="x264", scores=scores, bootstrap=0).means)


def test_what_stands_beside_a_score_is_no_score(tmp_path: Path) -> None:
    beside = {"low": 40, "high": 60, "display": 1080, "frozen_seconds": 0.5, "repeated_frames": 3}
    manifest, scores = write(tmp_path, [{**row, **beside} for row in rows()], scores=("score", *beside))
    assert {one.score for one in compare(manifest, anchor="x264", scores=scores).means} == {"score"}


def test_settings_in_a_manifest_are_no_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A quantiser that runs the other way for one encoder would say that this encoder takes many times the rate."""
    settings = {"quality": lambda row: -row["score"] if row["codec"] == "x264" else row["score"], "gop": lambda _: 96}
    encodes = [{**row, **{name: of(row) for name, of in settings.items()}, "vmaf": row["score"]} for row in rows()]
    manifest, _ = write(tmp_path, encodes)
    found = compare(manifest, anchor="x264", scores=manifest)
    assert found.scores == ("vmaf",)
    assert not found.left_out
    assert "passed over as a setting, because the table of the videos has it, too: `quality`, `gop`;" in caplog.text
    apart = tmp_path / "apart.csv"
    apart.write_text("\n".join(["video_id,mine", *(f"{row['video_id']},{row['score']}" for row in rows())]))
    assert compare(manifest, anchor="x264", scores=apart).scores == ("mine",)
    manifest, _ = write(tmp_path, [{**row, "noise": -row["score"]} for row in rows()])
    said = compare(manifest, anchor="x264", scores=manifest, lower_is_better=["noise"])
    assert said.scores == ("noise",), "whoever names a column says that it is a score"
    with pytest.raises(ValueError, match="has no column of scores"):
        compare(manifest, anchor="x264", scores=manifest)


def test_lower_is_better_is_turned_by_name_or_word(tmp_path: Path) -> None:
    encodes = [{**row, "lpips": 1 / float(str(row["score"])), "noise": -float(str(row["score"]))} for row in rows()]
    manifest, scores = write(tmp_path, encodes, ("score", "lpips", "noise"))
    found = compare(manifest, anchor="x264", scores=scores, lower_is_better=["noise"])
    assert found.turned == {"lpips", "noise"}
    assert found.scores == ("score", "lpips", "noise")
    for one in found.means:
        assert one.percent == pytest.approx(100 * (FACTORS[one.encoder] - 1), abs=1e-6)
    unsaid = compare(manifest, anchor="x264", scores=scores)
    assert unsaid.scores == ("score", "lpips")
    assert unsaid.left_out == (
        "`noise` falls as the rate rises in 12 of 12 curves; if lower is better, say so with "
        "`--lower-is-better noise`.",
    )
    (low,) = [one for one in found.deltas if (one.score, one.source, one.encoder) == ("lpips", "city", "x265")]
    row = next(row for row in comparison_payload(found)["deltas"] if row["score"] == "lpips")
    assert low.bd is not None
    assert row["overlap_low"] > row["overlap_high"] > 0  # the worse first, as it was given


def test_presets_compare_inside_themselves_unless_they_are_compared(tmp_path: Path) -> None:
    slow = [
        {**row, "video_id": f"slow_{row['video_id']}", "preset": "slow",
         "bitrate_kbps": float(str(row["bitrate_kbps"])) * (0.5 if row["codec"] == "x264" else 0.6)}
        for row in rows()
    ]  # fmt: skip
    manifest, scores = write(tmp_path, rows() + slow)
    found = compare(manifest, anchor="x264", scores=scores)
    means = {(one.encoder, one.preset): one.percent for one in found.means}
    assert means["x265", "fast"] == pytest.approx(-30)
    assert means["x265", "slow"] == pytest.approx(-16)
    assert means["x265", ""] == pytest.approx(-23)
    both = compare(manifest, anchor="x264/fast", by=["codec", "preset"], scores=scores)
    assert {one.encoder: one.percent for one in both.means}["x264/slow"] == pytest.approx(-50)


def test_human_scores_stand_last_and_are_agreed_with(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    encodes = [{**row, "mos": float(str(row["score"])) + rng.normal(0, 1), "worthless": rng.normal() + i / 9}
               for i, row in enumerate(rows())]  # fmt: skip
    manifest, scores = write(tmp_path, encodes, ("score", "worthless"))
    found = compare(manifest, anchor="x264", scores=scores)
    assert found.scores == ("score", "worthless", "mos")
    best = found.agreements[0]
    assert (best.score, best.comparisons) == ("score", 9)
    pairs = {
        score: [one.bd.log2 for one in found.deltas if one.score == score and one.bd] for score in ("score", "mos")
    }
    assert best.rank == pytest.approx(spearmanr(pairs["score"], pairs["mos"])[0])
    assert best.error == pytest.approx(np.abs(np.subtract(pairs["score"], pairs["mos"])).mean())
    assert best.sign == np.mean(np.sign(pairs["score"]) == np.sign(pairs["mos"]))
    assert best.error_interval[0] <= best.error <= best.error_interval[1]
    assert best.rank_interval[0] <= best.rank <= best.rank_interval[1]


def test_human_scores_of_several_groups_are_not_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encodes = [{**row, "group": f"{row['reference']}/{row['preset']}", "mos": row["score"]} for row in rows()]
    slow = [{**row, "video_id": f"s{row['video_id']}", "preset": "slow", "group": f"{row['reference']}/slow"}
            for row in encodes]  # fmt: skip
    manifest, scores = write(tmp_path, encodes + slow)
    assert compare(manifest, anchor="x264", scores=scores).scores == ("score", "mos")
    assert compare(manifest, anchor="x264/fast", by=["codec", "preset"], scores=scores).scores == ("score",)
    assert "human scores of 3 sources are left out (first: 'city')" in caplog.text


def test_encodes_of_several_sizes_make_a_hull_and_a_ladder(tmp_path: Path) -> None:
    rates = (100, 200, 400, 800, 1600)
    encodes: list[Row] = [
        {"video_id": f"{codec}{lines}{rate}", "reference": "city", "codec": codec, "bitrate_kbps": rate * factor,
         "height": lines, "score": 10 * np.log2(rate) - (9 if lines == 1080 else 0) * (rate < 500)
         - (6 if lines == 360 else 0) * (rate > 500)}
        for codec, factor in (("x264", 1.0), ("x265", 0.5)) for lines in (360, 1080) for rate in rates
    ]  # fmt: skip
    manifest, scores = write(tmp_path, encodes)
    found = compare(manifest, anchor="x264", scores=scores)
    assert found.means[0].percent == pytest.approx(-50)
    ladder = found.ladders[0]
    assert [(rung.lines, rung.kbps) for rung in ladder.rungs] == [
        (360, 100),
        (360, 200),
        (360, 400),
        (1080, 800),
        (1080, 1600),
    ]
    assert {curve.sizes for curve in found.curves} == {2}
    assert json.loads(json.dumps(comparison_payload(found)))["ladders"][0]["rungs"][0]["lines"] == 360


def test_scores_of_the_command_are_found_by_the_name_of_the_file(tmp_path: Path) -> None:
    encodes = [{**row, "path": f"clips/{row['video_id']}.mp4"} for row in rows()]
    manifest, scores = write(tmp_path, encodes)
    told = [f"elsewhere/{row['video_id']}.mp4,{row['score']},odd" for row in encodes]
    scores.write_text("\n".join(["video,level,notes", *told]))
    found = compare(manifest, anchor="x264", scores=scores)
    assert found.scores == ("level",)
    assert found.means[0].percent == pytest.approx(25)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for crf in (20, 35, 50):
        source = ["-f", "lavfi", "-i", "testsrc2=s=128x96:r=10:d=1", "-c:v", "libx264", "-crf", str(crf)]
        ffmpeg.write(source, folder / f"{crf}.mp4")
    return folder


@dataclass(frozen=True)
class Level:
    value: float


def by_size(path: Path) -> Level:
    return Level(float(path.stat().st_size))


@pytest.mark.parametrize("name", ["{source}/{codec}/{crf}.mp4", "enc_res_{codec}_fast_{source}_{crf}.mp4"])
def test_a_folder_of_encodes_is_measured_and_scored(tmp_path: Path, clips: Path, name: str) -> None:
    for source in ("city", "old_town"):
        for codec in ("x264", "copy"):
            for crf in (20, 35, 50):
                target = tmp_path / name.format(source=source, codec=codec, crf=crf)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clips / f"{crf}.mp4", target)
    found = compare(tmp_path, anchor="x264", scorer=by_size, name="bytes")
    assert found.scores == ("bytes",)
    assert [one.percent for one in found.means] == [pytest.approx(0)]
    size = sum(packet for packet in packets(clips / "35.mp4"))
    assert found.videos["kbps"].median() == pytest.approx(8 * size / 1000, rel=1e-6)  # it lasts a second
    assert set(found.videos["source"]) == {"city", "old_town"}
    assert set(found.videos["lines"]) == {96}


def packets(path: Path) -> list[int]:
    """Return the bytes of each packet, as the ffmpeg program tells them."""
    lines = ffmpeg.run(["-i", path, "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]).splitlines()
    return [int(line.split(",")[4]) for line in lines if not line.startswith("#")]


def test_a_file_that_cannot_be_read_costs_itself_alone(tmp_path: Path, clips: Path) -> None:
    for codec in ("a", "b"):
        (tmp_path / "city" / codec).mkdir(parents=True)
        for crf in (20, 35, 50):
            shutil.copy(clips / f"{crf}.mp4", tmp_path / "city" / codec / f"{crf}.mp4")
    (tmp_path / "city" / "b" / "9.mp4").write_bytes(b"nothing")

    def scorer(path: Path) -> Level:
        if path.name == "20.mp4" and path.parent.name == "b":
            raise ValueError("the picture is upside down.")
        return by_size(path)

    found = compare(tmp_path, anchor="a", scorer=scorer)
    assert len(found.left_out) == 2
    assert "9.mp4' yields no frames" in found.left_out[0]
    assert found.left_out[1].endswith("20.mp4': the picture is upside down.")
    assert abs(found.means[0].percent) < 10  # two of the three points of `b` are left


def changed(change: Callable[[Row], object]) -> Callable[[list[Row]], list[Row]]:
    return lambda encodes: [{**row, **(change(row) or {})} for row in encodes]  # type: ignore[dict-item]


REFUSED: list[tuple[str, Callable[[list[Row]], list[Row]], str]] = [
    ("one rate per curve", lambda all_: [row for row in all_ if str(row["video_id"]).endswith("_400")],
     r"No curve can be drawn: old of city, preset fast, by `score` has 1 rate; a curve needs at least 2"),
    ("no overlap", changed(lambda row: {"score": float(str(row["score"])) + 1000 * (row["codec"] == "x264")}),
     r"Nothing can be compared: old of city, preset fast, by `score` has no overlap with the anchor"),
    ("equal rates", changed(lambda row: {"bitrate_kbps": 500}),
     r"No curve can be drawn: old of city, preset fast, by `score` has two points at the rate 500"),
    ("negative rates", changed(lambda row: {"bitrate_kbps": -float(str(row["bitrate_kbps"]))}),
     r"`bitrate_kbps` of 'x264_fast_city_200' is -200; expected a positive number"),
    ("lower is better", changed(lambda row: {"score": -float(str(row["score"]))}),
     r"No curve can be drawn: `score` falls as the rate rises in 12 of 12 curves; if lower is better, say so with"),
    ("no anchor beside any", changed(lambda row: {"reference": f"{row['reference']}{row['codec']}"}),
     r"Nothing can be compared: old of cityold, preset fast, by `score` has no x264 beside it"),
    ("constant scores", changed(lambda row: {"score": 50}), r"does not rise with the rate"),
    ("only the anchor has scores", changed(lambda row: {} if row["codec"] == "x264" else {"score": "inf"}),
     r"Nothing can be compared: '.*scores.csv' has no finite `score` for 45 of 60 videos"),
    ("one encoder", lambda all_: [row for row in all_ if row["codec"] == "x264"],
     r"All 15 encodes are of 'x264'; a comparison needs another encoder"),
    ("another anchor", changed(lambda row: {"codec": f"{row['codec']}!"}),
     r"`anchor` is 'x264' \(near: 'x264!'\), but codec is one of old!, vvenc!"),
    ("no reference", lambda all_: [{k: v for k, v in row.items() if k != "reference"} for row in all_],
     r"has no column `reference`; add one that names the source of each encode"),
    ("no rate", changed(lambda row: {"bitrate_kbps": ""}),
     r"No encode of '.*' has a rate: 'x264_fast_city_200' has no rate: fill `bitrate_kbps`, or `path`"),
    ("a video twice", lambda all_: [*all_, {**all_[0], "group": "other"}], r"stands twice"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_table_without_a_comparison_is_refused(
    tmp_path: Path, change: Callable[[list[Row]], list[Row]], message: str
) -> None:
    manifest, scores = write(tmp_path, change(rows()))
    with pytest.raises(ValueError, match=message):
        compare(manifest, anchor="x264", scores=scores)


def without_anchor(row: Row) -> bool:
    return (row["reference"], row["codec"]) == ("river", "x264")


PARTLY: list[tuple[str, Callable[[list[Row]], list[Row]], str]] = [
    ("a source without the anchor", lambda all_: [row for row in all_ if not without_anchor(row)],
     "x265 of river, preset fast, by `score` has no x264 beside it; encode this source with the anchor too, or leave "
     "it out."),
    ("one rate of one", lambda all_: [row for row in all_ if (row["reference"], row["codec"]) != ("river", "x265")
                                      or "_400" in str(row["video_id"])],
     "x265 of river, preset fast, by `score` has 1 rate; a curve needs at least 2, better 4."),
    ("equal rates of one", changed(lambda row: {"bitrate_kbps": 500} if row["reference"] == "river" else {}),
     "x265 of river, preset fast, by `score` has two points at the rate 500; expected different rates, so keep one of "
     "them."),
    ("no overlap of one", changed(lambda row: {"score": 1000 + float(str(row["score"]))}
                                  if (row["reference"], row["codec"]) == ("river", "x265") else {}),
     "x265 of river, preset fast, by `score` has no overlap with the anchor, and nothing is extrapolated; add rates "
     "between (they span 1051 to 1075 and 51.02 to 75.1)."),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), [case[1:] for case in PARTLY], ids=[case[0] for case in PARTLY])
def test_what_is_wrong_with_one_source_costs_the_others_nothing(
    tmp_path: Path, change: Callable[[list[Row]], list[Row]], sentence: str
) -> None:
    manifest, scores = write(tmp_path, change(rows()))
    found = compare(manifest, anchor="x264", scores=scores)
    assert sentence in found.left_out
    mean = {one.encoder: one for one in found.means}["x265"]
    assert (mean.percent, mean.sources) == (pytest.approx(-30), 2)


def test_curves_that_cross_or_fall_are_flagged(tmp_path: Path) -> None:
    def bent(row: Row) -> Row:
        rate = float(str(row["score"]))
        if (row["reference"], row["codec"]) == ("river", "x265"):
            return {"score": rate * 1.2 - 15}
        if (row["reference"], row["codec"], str(row["video_id"])[-4:]) == ("city", "x265", "_800"):
            return {"score": rate - 9}
        return {}

    manifest, scores = write(tmp_path, changed(bent)(rows()))
    found = compare(manifest, anchor="x264", scores=scores)
    flags = {one.source: one.flags for one in found.deltas if one.encoder == "x265"}
    assert flags["river"][0].startswith("curves cross at ")
    assert flags["city"] == ("not monotone, 1 points passed over",)
    assert flags["forest"] == ()


def test_few_points_and_a_small_overlap_are_flagged(tmp_path: Path) -> None:
    kept = [row for row in rows() if not (row["codec"] == "x265" and float(str(row["score"])) < 64)]
    manifest, scores = write(tmp_path, kept)
    found = compare(manifest, anchor="x264", scores=scores)
    flags = [flag for one in found.deltas if one.encoder == "x265" for flag in one.flags]
    assert "only 2 points" in flags
    assert any(flag.startswith("overlap is only ") for flag in flags)


def test_scores_that_lack_a_video_are_named(tmp_path: Path) -> None:
    manifest, scores = write(tmp_path, rows())
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join([*lines[:3], lines[3].split(",")[0] + ",", *lines[5:]]))
    found = compare(manifest, anchor="x264", scores=scores)
    (sentence,) = found.left_out
    assert "has no finite `score` for 2 of 60 videos, which its curves do without: 'x264_fast_city_800'" in sentence
    assert len(RATES) - 2 == len(next(curve for curve in found.curves if curve.encoder == "x264").points.rate)
    assert len(SOURCES) == found.means[0].sources


def test_scores_that_are_no_table_of_these_videos_are_refused(tmp_path: Path) -> None:
    manifest, scores = write(tmp_path, rows())

    def told(text: str) -> None:
        (tmp_path / "other.csv").write_text(text)
        compare(manifest, anchor="x264", scores=tmp_path / "other.csv")

    with pytest.raises(ValueError, match="has no column `video_id`; add one that names the videos, or `video`"):
        told("name,score\na,1\n")
    with pytest.raises(ValueError, match="scores none of the 60 videos, but 'x264_fast_city_20'"):
        told("video_id,score\nx264_fast_city_20,1\n")
    with pytest.raises(ValueError, match="has no column of scores; its header is video_id, bitrate_kbps"):
        told("video_id,bitrate_kbps\nx264_fast_city_200,1\n")
    with pytest.raises(ValueError, match="scores 'x264_fast_city_200' twice; keep one row per video"):
        told("video_id,score\nx264_fast_city_200,1\nx264_fast_city_200,2\n")
    with pytest.raises(ValueError, match="and a table before it both have 'score'; rename one"):
        compare(manifest, anchor="x264", scores=[scores, scores])
    with pytest.raises(ValueError, match=r"`--lower-is-better` names 'scor' .near: 'score'.; expected some of score"):
        compare(manifest, anchor="x264", scores=scores, lower_is_better=["scor"])
    with pytest.raises(ValueError, match="Nothing says how good the encodes are"):
        compare(manifest, anchor="x264")
    with pytest.raises(ValueError, match="`bootstrap` is -1; expected a number of resamples"):
        compare(manifest, anchor="x264", scores=scores, bootstrap=-1)
    with pytest.raises(
        ValueError, match=r"`by` names 'codecs' .near: 'codec'., which '.*' has not; expected some of codec"
    ):
        compare(manifest, anchor="x264", by="codecs", scores=scores)
    with pytest.raises(ValueError, match="No encode has a file to be scored"):
        compare(manifest, anchor="x264", scorer=by_size)
    with pytest.raises(FileNotFoundError, match=r"There is no table or folder '.*gone'"):
        compare(tmp_path / "gone", anchor="x264")


def test_a_folder_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"film\.mp4' does not tell its source and encoder; put it into a folder"):
        compare(tmp_path, anchor="x264", scorer=by_size)
