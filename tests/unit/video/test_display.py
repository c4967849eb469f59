"""Pictures on a screen of other lines, against the ffmpeg program; what a small encode lost is seen there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from cvqa_models.commands.score import score
from cvqa_models.inference.load import load
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.pixel_rules import Native, Resize
from cvqa_models.video.reader import ReadOptions, read_views
from cvqa_models.video.view import View


def ffmpeg(*words: str) -> bytes:
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *words], check=True, capture_output=True
    ).stdout


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """One source at 360 lines, clean, and encoded as cleanly at 90: lines -> file."""
    folder = tmp_path_factory.mktemp("ladder")
    paths = {lines: folder / f"{lines}.mp4" for lines in (360, 90)}
    for lines, path in paths.items():
        scale = f"scale={lines * 16 // 9}:{lines}:flags=bicubic"
        source = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=10:d=0.5", "-vf", scale, "-pix_fmt", "yuv420p"]
        ffmpeg(*source, "-c:v", "libx264", "-crf", "8", str(path))
    return paths


def test_a_picture_is_scaled_as_a_player_does(ladder: dict[int, Path]) -> None:
    view = View(KeyFrames(1), Native())
    (shown,) = read_views(ladder[90], [view], ReadOptions(display=270)).values()
    flags = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:param0=0:param1=0.5"
    scale = f"scale=480:270:flags={flags}:in_color_matrix=bt601"
    raw = ffmpeg("-i", str(ladder[90]), "-frames:v", "1", "-vf", scale, "-f", "rawvideo", "-pix_fmt", "gbrp", "-")
    green, blue, red = np.frombuffer(raw, np.uint8).reshape(3, 270, 480)
    np.testing.assert_array_equal(shown[0, :, 0].numpy(), np.stack([red, green, blue]))


def test_the_videos_own_lines_are_no_change(ladder: dict[int, Path]) -> None:
    view = View(KeyFrames(1), NativePatches((1, 2), 64))
    plain = read_views(ladder[360], [view])
    shown = read_views(ladder[360], [view], ReadOptions(display=360))
    assert (plain[view.key] == shown[view.key]).all()


def test_a_rule_that_scales_scales_once(ladder: dict[int, Path]) -> None:
    view = View(KeyFrames(1), Resize(64, 64))
    plain = read_views(ladder[360], [view])
    assert (plain[view.key] == read_views(ladder[360], [view], ReadOptions(display=1080))[view.key]).all()


def test_frames_in_memory_are_shown_likewise() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 90, 160, 3), np.uint8)
    scorer = load("compression_level", device="cpu", reading=ReadOptions(display=180))
    assert scorer(frames, fps=10).value != load("compression_level", device="cpu")(frames, fps=10).value


@pytest.mark.parametrize("lines", [89, 4321, 0, -1080])
def test_impossible_screens_are_refused(lines: int) -> None:
    with pytest.raises(ValueError, match=rf"`display` is {lines}; expected 90 to 4320 lines, such as 1080"):
        ReadOptions(display=lines)


def test_features_of_other_screens_are_other_features() -> None:
    keys = {ReadOptions(display=lines).key for lines in (None, 720, 1080)}
    assert len(keys) == 3


def test_a_small_encode_loses_on_the_screen_of_its_source(
    ladder: dict[int, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    score([ladder[360], ladder[90]], display=360)
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["video", "compression_level", "low", "high", "display", "notes"]
    assert [row[4] for row in rows[1:]] == ["360", "360"]
    large, small = (float(row[1]) for row in rows[1:])
    assert large > small + 10


def test_a_source_compares_with_encodes_at_fewer_lines_on_one_screen(ladder: dict[int, Path]) -> None:
    with pytest.raises(ValueError, match=r"5 frames of 160x90 but its source .* has 5 frames of 640x360"):
        load("ms_ssim", device="cpu")(ladder[90], reference=ladder[360])
    scorer = load("ms_ssim", device="cpu", reading=ReadOptions(display=360))
    same, small = (scorer(ladder[lines], reference=ladder[360]).value for lines in (360, 90))
    assert same == pytest.approx(1, abs=1e-6)
    assert 0.3 < small < 0.98
