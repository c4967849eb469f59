"""Pictures show the frames and places that are bad: made so by an encoder, and known beforehand."""

from __future__ import annotations

import io
import re
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from cvqa_models.commands.score import score
from cvqa_models.corpus import ffmpeg
from cvqa_models.inference.heat import frame_with_heat, heat_maps
from cvqa_models.inference.load import load
from cvqa_models.inference.scorer import Scorer
from cvqa_models.inference.timeline import Part, Timeline
from cvqa_models.models.vsfa import Vsfa
from cvqa_models.report.drawn import heat_of
from cvqa_models.report.heat import heated, overlay, span
from cvqa_models.report.pictures import stills
from cvqa_models.report.plots import png, svg
from cvqa_models.report.timeline_plots import timeline_figure
from cvqa_models.video.reader import ReadOptions, read_views
from tests.unit.commands.test_score_maps import checkpoint_of


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds whose left half is ruined in the second one."""
    folder = tmp_path_factory.mktemp("half")
    scene = ["-f", "lavfi", "-i", "mandelbrot=s=384x256:r=10:end_scale=0.2", "-t", "2"]
    clean, bad, path = (folder / name for name in ("clean.mp4", "bad.mp4", "half.mp4"))
    ffmpeg.run([*scene, "-vf", "format=yuv420p", "-c:v", "libx264", "-crf", "8", clean])
    ffmpeg.run(["-i", clean, "-c:v", "libx264", "-crf", "51", bad])
    graph = "[1:v]crop=192:256:0:0[left];[0:v][left]overlay=0:0:enable='gte(t,1)'"
    ffmpeg.run(["-i", clean, "-i", bad, "-lavfi", graph, "-c:v", "libx264", "-crf", "8", path])
    return path


@pytest.fixture(scope="module")
def level() -> Scorer:
    return load(device="cpu")


def test_the_level_is_low_where_the_picture_is_bad(half: Path, level: Scorer) -> None:
    found = level(half, per="second")
    assert found.timeline is not None
    assert found.timeline.worst()[0].start == pytest.approx(1)
    [maps] = heat_maps(level, half, found, [4, 15]).values()
    assert maps.shape == (2, 5, 8)  # patches of 48 pixels
    left, right = maps[..., :4].mean((1, 2)), maps[..., 4:].mean((1, 2))
    assert left[1] < right[1] - 10
    assert abs(left[0] - right[0]) < abs(left[1] - right[1]) / 2


def test_a_map_needs_a_timeline(half: Path, level: Scorer) -> None:
    with pytest.raises(ValueError, match="The score has no timeline"):
        heat_maps(level, half, level(half), [0])


def test_other_systems_show_their_own_map_of_the_nearest_moment(half: Path, tmp_path: Path) -> None:
    scorer = load(checkpoint_of("cover", tmp_path), device="cpu")
    found = scorer(half, per="frame")
    assert found.timeline is not None
    moments = found.timeline.seen["technical"]
    maps = heat_maps(scorer, half, found, [0, 19])
    assert set(maps) == {"technical", "aesthetic"}, "semantic has one place"
    assert maps["technical"][0].tolist() == found.maps["technical"][0].tolist()
    assert maps["technical"][1].tolist() == found.maps["technical"][int(np.abs(moments - 19).argmin())].tolist()


def test_vsfa_shows_how_places_pull_the_score_at_the_moment_that_it_sees(half: Path, tmp_path: Path) -> None:
    scorer = load(checkpoint_of("vsfa", tmp_path), device="cpu")
    assert isinstance(scorer.model, Vsfa)
    found = scorer(half, per="frame")
    assert found.timeline is not None
    moments = found.timeline.seen["quality"].tolist()
    assert 1 not in moments
    [(name, pulls)] = heat_maps(scorer, half, found, [0, 1, 2, moments[-1]]).items()
    assert name == "pull_on_the_score"
    assert pulls.shape == (4, 2, 3)
    [view] = scorer.views.values()
    seen = read_views(half, [view], scorer.reading)[view.key]
    with torch.inference_mode():
        for pull, frame in ((pulls[0], seen[0]), (pulls[3], seen[-1])):
            np.testing.assert_allclose(pull, scorer.model.pull_of_places(frame), atol=1e-6)


@pytest.mark.parametrize("system", ["level", "cover"])
def test_one_decode_gives_the_frame_and_its_heat_as_two_do(
    half: Path, level: Scorer, tmp_path: Path, system: str
) -> None:
    scorer = level if system == "level" else load(checkpoint_of(system, tmp_path), device="cpu")
    found = scorer(half, per="second")
    picture, heat = frame_with_heat(scorer, half, found, 15, widest=192)
    [wanted] = stills(half, [15], scorer.reading, 192)
    np.testing.assert_array_equal(picture, wanted)
    assert heat is not None
    np.testing.assert_array_equal(heat, next(iter(heat_maps(scorer, half, found, [15]).values()))[0])


def test_stills_are_those_frames(half: Path) -> None:
    with av.open(str(half)) as file:
        frames = [one.to_ndarray(format="rgb24").astype(float) for one in file.decode(video=0)]
    for index, still in zip((17, 3), stills(half, [17, 3], ReadOptions()), strict=True):
        apart = [np.abs(frame - still).mean() for frame in frames]
        assert int(np.argmin(apart)) == index
    [small] = stills(half, [0], ReadOptions(), widest=100)
    assert small.shape == (66, 100, 3)


def test_a_video_of_which_nothing_is_told_has_no_heat(half: Path) -> None:
    empty = timeline("score", [float("nan")] * 2)
    assert (
        heat_of(half, empty, ReadOptions(), lambda frames: {"score": np.zeros((len(frames), 2, 2), np.float32)}) is None
    )
    assert png(timeline_figure({"half.mp4": empty}, {"half.mp4": []})).startswith(b"\x89PNG")


def test_heat_is_bright_where_scores_are_low() -> None:
    picture = np.full((40, 60, 3), 128, np.uint8)
    maps = np.array([[[10, 90, 90]]], np.float32)
    shown = heated(picture, maps[0], span(maps)).astype(int).sum(2)
    assert shown[20, 5] > shown[20, 55] + 100
    low, high = span(np.full((1, 2, 2), 50, np.float32))
    assert high - low == pytest.approx(5), "equal scores look equal"
    assert low < 50 < high


def test_an_overlay_is_a_video_with_a_picture_for_each() -> None:
    pictures = [np.full((48, 64, 3), 10 * k, np.uint8) for k in range(7)]
    maps = [np.array([[k, 9]], np.float32) for k in range(7)]
    first, second = (overlay(iter(pictures), iter(maps), (0, 9), 30000 / 1001) for _ in range(2))
    assert first == second
    with av.open(io.BytesIO(first)) as file:
        assert float(file.streams.video[0].average_rate or 0) == pytest.approx(29.97, abs=0.01)
        assert [(one.width, one.height) for one in file.decode(video=0)] == [(64, 48)] * 7


def timeline(name: str, values: list[float], **more: object) -> Timeline:
    parts = tuple(Part(k, k + 1, 10 * k, 10, value, 0, 10 * k + 5) for k, value in enumerate(values))
    given = {"cuts": (2.0,), "freezes": ((0.5, 1.5),), **more}
    return Timeline(name, "second", 60.0, 10.0, float(len(values)), parts, repeated=0, **given)  # type: ignore[arg-type]


def test_a_plot_names_its_axes_and_its_worst_seconds() -> None:
    one = timeline("compression_level", [80, 70, 20, 60, 90])
    frames = [np.zeros((30, 40, 3), np.uint8)] * 3
    drawn = timeline_figure({"a/$film_x$.mp4": one}, {"a/$film_x$.mp4": frames})
    text = svg(drawn).decode()
    assert text == svg(timeline_figure({"a/$film_x$.mp4": one}, {"a/$film_x$.mp4": frames})).decode()
    words = re.findall(r">([^<>\n]+)</text>", text)
    assert {"time, s", "compression level, 100 is clean", "per second", "still", "$film_x$"} <= set(words)
    assert {"1: 2.0 to 3.0 s, 20", "2: 3.0 to 4.0 s, 60", "3: 1.0 to 2.0 s, 70"} <= set(words)
    assert text.count("data:image/png") == 3


def test_several_videos_share_one_axis_of_time_and_keep_the_colour_of_their_codec() -> None:
    timelines = {"x265.mp4": timeline("score", [1.0, 2.0]), "x264.mp4": timeline("score", [2.0, 1.0, 3.0])}
    figure = timeline_figure(timelines, {})
    [axis] = figure.axes
    assert axis.get_xlim() == (0, 3)
    colours = [patch.get_edgecolor() for patch in axis.patches]
    assert [tuple(round(255 * part) for part in colour[:3]) for colour in colours] == [(213, 94, 0), (0, 114, 178)]
    assert png(figure).startswith(b"\x89PNG")


def test_the_command_draws_what_it_is_asked_for(half: Path, tmp_path: Path) -> None:
    assert score([half], timeline=[tmp_path / "t.svg", tmp_path / "t.png"], maps=tmp_path / "maps") == 0
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["half.mp4.mp4", "half.mp4.png", "half.mp4.safetensors"]
    assert "time, s" in (tmp_path / "t.svg").read_text()
    with Image.open(tmp_path / "t.png") as picture:
        assert picture.width == 1045
    assert load_file(tmp_path / "maps" / "half.mp4.safetensors")["compression_level"].shape[1:] == (5, 8)
    with av.open(str(tmp_path / "maps" / "half.mp4.mp4")) as file:
        assert 10 <= sum(1 for _ in file.decode(video=0)) <= 20
