"""Scores over time of every tiny system: they add up to the score, or the system says why it has none."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cvqa_models.commands.score import score
from cvqa_models.corpus import ffmpeg
from cvqa_models.inference.load import load
from cvqa_models.inference.scorer import Scorer
from tests.unit.commands.test_score_maps import checkpoint_of


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds: two scenes of 1.2 and 1.8 s, the second of which an encoder has ruined."""
    folder = tmp_path_factory.mktemp("film")
    bad, path = folder / "bad.mp4", folder / "film.mp4"
    scene = ["-f", "lavfi", "-i", "testsrc2=s=192x144:r=10:d=1.8"]
    ffmpeg.run([*scene, "-vf", "hue=h=90,noise=alls=20", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf", "51", bad])
    good = ["-f", "lavfi", "-i", "mandelbrot=s=192x144:r=10", "-i", bad]
    graph = "[0:v]trim=end_frame=12,format=yuv420p[a];[a][1:v]concat=n=2"
    ffmpeg.run([*good, "-lavfi", graph, "-c:v", "libx264", "-crf", "10", path])
    return path


@pytest.fixture(scope="module")
def level() -> Scorer:
    return load(device="cpu")


def test_the_level_falls_at_the_cut(film: Path, level: Scorer) -> None:
    found = {per: level(film, per=per) for per in ("frame", "second", "scene")}
    for one in found.values():
        assert one.value == level(film).value
        assert one.timeline is not None
        assert one.timeline.cuts == (1.2,)
        assert one.timeline.parts[0].start == 0
        assert one.timeline.parts[-1].end == pytest.approx(3)
        assert sum(part.frames for part in one.timeline.parts) == 30
    frames, seconds, scenes = (found[per].timeline for per in found)
    values = np.array([part.value for part in frames.parts])
    assert [part.first for part in frames.parts] == list(range(30))
    assert values[:12].min() > values[12:].max() + 3, "no frame is mixed of two scenes"
    assert values[12] == values[13], "the first frame of a scene has the next pair"
    assert [(part.first, part.frames) for part in scenes.parts] == [(0, 12), (12, 18)]
    assert scenes.parts[1].value == pytest.approx(values[12:].mean(), abs=3)
    assert found["second"].seconds == tuple(part.value for part in seconds.parts)
    assert found["frame"].seconds == ()
    assert frames.worst()[0].worst == int(values.argmin())
    assert scenes.worst()[0] is scenes.parts[1]


@pytest.mark.parametrize("system", ["cover", "evqa", "metric", "uvq", "vsfa"])
def test_moments_average_to_the_score(system: str, film: Path, tmp_path: Path) -> None:
    scorer = load(checkpoint_of(system, tmp_path), device="cpu")
    found = scorer(film, per="frame", reference=film if scorer.compares else None)
    assert found.timeline is not None
    values = [part.value for part in found.timeline.parts]
    assert len(values) > 1
    assert np.mean(values) == pytest.approx(found.value, abs=1e-5)


@pytest.mark.parametrize("system", ["dover", "fastvqa"])
def test_moments_of_other_systems_lie_about_the_score(system: str, film: Path, tmp_path: Path) -> None:
    scorer = load(checkpoint_of(system, tmp_path), device="cpu")
    plain, found = scorer(film), scorer(film, per="second")
    assert (found.value, dict(found.details)) == (plain.value, dict(plain.details))
    values = [value for value in found.seconds if value == value]
    assert values
    assert min(values) - 0.5 <= found.value <= max(values) + 0.5


def test_a_system_that_reads_the_order_has_no_moments(film: Path, tmp_path: Path) -> None:
    scorer = load(checkpoint_of("tvqa", tmp_path), device="cpu")
    with pytest.raises(ValueError, match=r"A score of Tvqa depends on the order of what it sees, so no moment has one"):
        scorer(film, per="second")


def test_a_system_that_sees_all_at_once_has_no_moments(film: Path, tmp_path: Path) -> None:
    scorer = load(checkpoint_of("flagship", tmp_path), device="cpu")
    with pytest.raises(ValueError, match=r"`motion` of MultiBranch has 1 tokens of all of the video at once, so none"):
        scorer(film, per="second")


def test_the_row_says_what_the_files_say(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("t.csv", "t.json", "t.vmaf.json")]
    score([film], timeline=files, per="scene")
    [row] = csv.DictReader(capsys.readouterr().out.splitlines())
    [told] = json.loads(files[1].read_text())
    log = json.loads(files[2].read_text())
    pooled = {name: value for name, value in told["pooled"].items() if name != "max"}
    assert {name: float(row[name]) for name in pooled} == pooled
    assert log["pooled_metrics"]["compression_level"] == told["pooled"]
    assert (told["cuts"], told["per"]) == ([1.2], "scene")
    assert float(row["frozen_seconds"]) == told["frozen_seconds"]
    assert int(row["repeated_frames"]) == told["repeated_frames"]
    assert row["compression_level"] == str(told["compression_level"])
    parts = list(csv.DictReader(files[0].open()))
    assert [float(part["compression_level"]) for part in parts] == [one["compression_level"] for one in told["parts"]]
    assert len(log["frames"]) == 30
    assert log["frames"][12]["metrics"]["compression_level"] == told["parts"][1]["compression_level"]
