"""The whole reader against the ffmpeg program, over small files of every kind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from cvqa_models.video.dense import OfficialEveryFrame
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.reader import check_video, probe, read_views
from cvqa_models.video.view import View
from tests.unit.video.matrix import FILES, REMADE

# Where our pixels may differ from the program's, in levels of 255. Both convert with the same flags; the program writes
# packed RGB and we planar, whose roundings differ by one.
ROUNDING = 1
LIKE_FFMPEG = "scale=flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make all files, many in one run of the program."""
    folder = tmp_path_factory.mktemp("matrix")
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin"]
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=0.6"]
    outputs = [word for name, options in FILES.items() for word in (*options.split(), "-threads", "1", name)]
    subprocess.run([*program, *source, *outputs], check=True, cwd=folder)
    for name, (old, options) in REMADE.items():
        if options:
            subprocess.run(
                [*program, *options.split(), "-i", f"file:{old}", "-c", "copy", f"file:{name}"], check=True, cwd=folder
            )
        else:
            shutil.copy(folder / old, folder / name)
    return folder


@pytest.mark.parametrize("name", [*FILES, *REMADE])
def test_the_reader_shows_what_the_ffmpeg_program_shows(name: str, made: Path) -> None:
    info = probe(made / name)
    view = View(OfficialEveryFrame(), Native())
    ours = read_views(made / name, [view])[view.key][:, :, 0].permute(0, 2, 3, 1).numpy()
    arguments = ["-pattern_type", "none"] if "%" in name and name.endswith(".png") else []
    # With several threads the program shows other fields of MPEG-4's B-frames than the encoder took.
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-threads", "1", *arguments]
    program += ["-i", f"file:{name}", "-an"]
    to_rgb = ["-vf", LIKE_FFMPEG, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run([*program, *to_rgb], check=True, capture_output=True, cwd=made)
    theirs = np.frombuffer(done.stdout, np.uint8).reshape(-1, info.height, info.width, 3)
    assert len(ours) == len(theirs) == info.frame_times.num_frames == check_video(made / name)
    assert np.abs(ours.astype(int) - theirs).max() <= ROUNDING
    times = np.array(info.frame_times.times)
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
