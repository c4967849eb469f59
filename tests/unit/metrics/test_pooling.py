"""Pooled values against those that libvmaf writes, SciPy, and a count by hand."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hmean

from cvqa_models.corpus import ffmpeg
from cvqa_models.inference.timeline import Part, Timeline
from cvqa_models.inference.timeline_files import vmaf_log, write_timelines
from cvqa_models.metrics.pooling import pooled


@pytest.fixture(scope="module")
def libvmaf(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The log of libvmaf about a clip that becomes worse."""
    log = tmp_path_factory.mktemp("vmaf") / "log.json"
    source = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=12:d=1"]
    graph = "[0:v]format=yuv420p,split[a][b];[a]noise=alls=60:allf=t:enable='gt(n,4)'[bad];"
    graph += f"[bad][b]libvmaf=log_fmt=json:log_path={log.name}"
    command = [ffmpeg.executable(), "-v", "error", *source, "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, cwd=log.parent, check=True)
    content: dict = json.loads(log.read_text())
    return content


def timeline_of(log: dict) -> Timeline:
    values = [frame["metrics"]["vmaf"] for frame in log["frames"]]
    parts = tuple(Part(k / 12, (k + 1) / 12, k, 1, value, 0, k) for k, value in enumerate(values))
    return Timeline("vmaf", "frame", 50.0, 12.0, 1.0, parts, (), (), 0)


def test_our_log_has_the_shape_and_the_pooled_values_of_libvmafs(libvmaf: dict, tmp_path: Path) -> None:
    write_timelines(tmp_path / "ours.vmaf.json", {"film.mp4": timeline_of(libvmaf)})
    ours = json.loads((tmp_path / "ours.vmaf.json").read_text())
    assert list(ours) == list(libvmaf)
    assert {name: type(value) for name, value in ours.items()} == {name: type(value) for name, value in libvmaf.items()}
    assert set(ours["frames"][0]) == set(libvmaf["frames"][0])
    assert [one["frameNum"] for one in ours["frames"]] == [one["frameNum"] for one in libvmaf["frames"]]
    theirs = libvmaf["pooled_metrics"]["vmaf"]
    assert len({frame["metrics"]["vmaf"] for frame in libvmaf["frames"]}) > 3
    assert {name: ours["pooled_metrics"]["vmaf"][name] for name in theirs} == pytest.approx(theirs, abs=2e-6)


def test_each_frame_counts_once() -> None:
    values, frames = [80.0, math.nan, 20.0, 50.0], [3, 9, 1, 2]
    every = np.array([80, 80, 80, 20, 50, 50])
    found = pooled(values, frames)
    assert found["mean"] == pytest.approx(60)
    assert found["harmonic_mean"] == pytest.approx(hmean(every + 1) - 1)
    assert (found["min"], found["max"]) == (20, 80)
    assert found["p10"] == pytest.approx(35)  # halfway between 20 and 50
    assert [found["p1"], found["p5"]] == pytest.approx([21.5, 27.5])


def test_what_has_no_harmonic_mean_has_the_rest() -> None:
    found = pooled([-2.0, 1.0], [1, 1])
    assert math.isnan(found.pop("harmonic_mean"))
    assert found["mean"] == -0.5
    assert all(math.isnan(value) for value in pooled([math.nan], [4]).values())


def test_a_log_is_of_one_video(libvmaf: dict, tmp_path: Path) -> None:
    one = timeline_of(libvmaf)
    with pytest.raises(ValueError, match=r"A VMAF log is of one video, and `.*` would be of 2; name one video"):
        write_timelines(tmp_path / "two.vmaf.json", {"a.mp4": one, "b.mp4": one})


def test_frames_without_a_score_are_left_out_of_a_log(libvmaf: dict) -> None:
    whole = timeline_of(libvmaf)
    parts = (Part(0, 0.5, 0, 6, 40.0, 0, 0), Part(0.5, 1, 6, 6, math.nan, 0, 9))
    log = vmaf_log(Timeline("score", "second", 40.0, 12.0, 1.0, parts, *(whole.cuts, whole.freezes, 0)))
    assert [one["frameNum"] for one in log["frames"]] == list(range(6))
    assert log["pooled_metrics"]["score"]["mean"] == 40
