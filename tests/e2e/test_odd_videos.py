"""Tiny systems on videos that are short, small, large or turned: a score, alone as in a batch, or one sentence."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from cvqa_models.data.dataset import load_batch
from cvqa_models.inference.scorer import Scorer
from cvqa_models.training.module import QualityModule
from cvqa_models.types import VideoRecord
from cvqa_models.video.reader import ReadOptions

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "tiny"
# Systems without sources.
SYSTEMS = ("compression_rq_vqa", "cover", "flagship", "hive", "iqa_llava", "koncept512", "linearity", "rankiqa")
SYSTEMS += ("tvqa", "vsfa")
# Name -> size and frames, at 10 a second. The tiny systems take chunks of 4 to 64 frames and two to eight segments.
VIDEOS = {
    "one frame": ("160x90", 1),
    "three frames": ("160x90", 3),
    "under a second": ("160x90", 7),
    "portrait": ("90x160", 22),
    "below the fragment grid": ("48x32", 22),
    "16 pixels": ("16x16", 12),
    "4K": ("3840x2160", 2),
}

REFUSED = {
    ("compression_rq_vqa", "below the fragment grid"): "frame of 48x32 is smaller than LIQE's window",
    ("compression_rq_vqa", "16 pixels"): "frame of 16x16 is smaller than LIQE's window",
}

# Full-reference systems that need no fitting -> score of a video that is its own source.
SAME = {"metric": 0.0, "ms_ssim": 1.0}  # GMSD counts differences
SOURCED = VIDEOS | {"one large frame": ("320x180", 1), "large portrait": ("180x320", 22)}
TOO_SMALL = {"one frame", "three frames", "under a second", "portrait", "below the fragment grid", "16 pixels"}

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("odd")

    def encode(name: str) -> Path:
        path = folder / f"{name}.mp4"
        if not path.exists():
            size, frames = SOURCED[name]
            picture = f"-nostdin -v error -f lavfi -i testsrc2=size={size}:rate=10 -frames:v {frames}"
            options = [*picture.split(), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)]
            subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *options], check=True)
        return path

    return encode


@cache
def model(system: str) -> QualityModule:
    config = yaml.safe_load((CONFIGS / f"{system}.yaml").read_text())["model"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    torch.manual_seed(0)
    built = parser.instantiate(parser.parse_object({"model": config})).model
    assert isinstance(built, QualityModule)
    return built.eval()


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_an_odd_video_gets_a_finite_score_or_one_sentence(system: str, name: str, make: Make) -> None:
    path = make(name)
    if (system, name) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[system, name]):
            Scorer(model(system), device="cpu")(path)
        return
    assert math.isfinite(Scorer(model(system), device="cpu")(path).value)


@pytest.mark.parametrize("name", SOURCED)
@pytest.mark.parametrize("system", SAME)
def test_an_odd_video_compared_with_itself_is_perfect_or_gets_one_sentence(system: str, name: str, make: Make) -> None:
    path = make(name)
    if system == "ms_ssim" and name in TOO_SMALL:
        expected = f"Frames are {SOURCED[name][0]}, but `ms_ssim` needs sides of at least 161 pixels"
        with pytest.raises(ValueError, match=expected):
            Scorer(model(system), device="cpu")(path, reference=path)
        return
    found = Scorer(model(system), device="cpu")(path, reference=path).value
    assert found == pytest.approx(SAME[system], abs=1e-6)


def records(paths: list[Path]) -> list[VideoRecord]:
    return [VideoRecord(path.stem, str(path), "g", "r") for path in paths]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_batch_that_mixes_sizes_scores_as_its_videos_alone_or_is_refused(system: str, make: Make) -> None:
    paths = [make("portrait"), make("below the fragment grid")]
    views = [branch.view for branch in model(system).each_branch().values()]
    if any(view.pixels.output_size(90, 160) != view.pixels.output_size(32, 48) for view in views):
        with pytest.raises(ValueError, match="cannot share a batch; use a view of fixed size"):
            load_batch(records(paths), model(system).demands, None, ReadOptions())
        return
    batch = load_batch(records(paths), model(system).demands, None, ReadOptions())
    with torch.inference_mode():
        together = model(system)(batch).tolist()
    alone = [Scorer(model(system), device="cpu")(path).value for path in paths]
    assert together == pytest.approx(alone, rel=1e-4, abs=1e-5)
