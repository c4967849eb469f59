"""Cuts are where the ffmpeg program finds them, and pictures that it froze are found."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.video.changes import Changes, freezes, runs
from cvqa_models.video.frame_rules import FrameTimes, KeyFrames
from cvqa_models.video.in_memory import InMemory
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.reader import iter_clips, read_views, stacked
from cvqa_models.video.view import View

VIEW = View(KeyFrames(3), Native())
CLIPS = Path(__file__).resolve().parents[4] / "shared"
real = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"there are no real clips in {CLIPS}")


def changes_of(path: Path) -> Changes:
    changes = Changes()
    for _ in iter_clips(path, [VIEW], changes=changes):
        pass
    return changes


def cuts_by_program(path: Path) -> list[int]:
    graph = "scdet=sc_pass=1,metadata=mode=print:file=-"
    text = ffmpeg.run(["-i", path, *ffmpeg.LARGEST_VIDEO, "-vf", graph, "-copyts", "-f", "null", "-"])
    found = [float(time) for time in re.findall(r"pts_time:(\S+)", text)]
    with av.open(str(path)) as file:
        stream = max(file.streams.video, key=lambda one: one.width)
        times = [float(frame.pts * frame.time_base) for frame in file.decode(stream)]
    return [int(np.abs(np.array(times) - time).argmin()) for time in found]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes of 11, 7, 1 and 9 frames, as H.264 with bidirectional frames."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    sources = ["testsrc2=s=160x120:r=10", "mandelbrot=s=160x120:r=10", "color=white:s=160x120:r=10"]
    inputs = [word for source in [*sources, "rgbtestsrc=s=160x120:r=10"] for word in ("-f", "lavfi", "-i", source)]
    cut = ";".join(f"[{k}:v]trim=end_frame={n},format=yuv420p[s{k}]" for k, n in enumerate((11, 7, 1, 9)))
    graph = cut + ";[s0][s1][s2][s3]concat=n=4"
    ffmpeg.run([*inputs, "-lavfi", graph, "-c:v", "libx264", "-bf", "2", path])
    return path


def test_cuts_are_those_of_the_program(film: Path) -> None:
    found = changes_of(film)
    assert found.cuts == cuts_by_program(film)
    assert {11, 18, 19} <= set(found.cuts)
    assert found.frame_times.num_frames == 28


@real
@pytest.mark.parametrize("name", ["clips/video_2.mp4", "clips_more/nasa.mp4", "clips_more/arm.mp4"])
def test_cuts_of_real_clips_are_those_of_the_program(name: str) -> None:
    found = changes_of(CLIPS / name).cuts
    assert found == cuts_by_program(CLIPS / name)
    assert found


def test_ten_bits_and_rgb_have_the_same_cuts_and_repeats(film: Path, tmp_path: Path) -> None:
    expected = changes_of(film)
    for name, words in (("ten.mkv", ["-pix_fmt", "yuv420p10le"]), ("rgb.mkv", ["-pix_fmt", "rgb24"])):
        ffmpeg.run(["-i", film, "-c:v", "ffv1", *words, tmp_path / name])
        found = changes_of(tmp_path / name)
        assert (found.cuts, found.repeats) == (expected.cuts, expected.repeats)
    with av.open(str(film)) as file:
        frames = InMemory(np.stack([one.to_ndarray(format="rgb24") for one in file.decode(video=0)]), 10.0)
    changes = Changes()
    stacked([VIEW], frames.iter_clips([VIEW], changes))
    assert (changes.cuts, changes.repeats) == (expected.cuts, expected.repeats)


def test_who_looks_on_changes_no_pixel(film: Path) -> None:
    changes = Changes()
    seen = stacked([VIEW], iter_clips(film, [VIEW], changes=changes))
    assert seen[VIEW.key].equal(read_views(film, [VIEW])[VIEW.key])
    assert changes.repeats, "the last scene stands still"


@real
@pytest.mark.parametrize("words", [("libx264", "23"), ("libx264", "38"), ("libx265", "32")], ids=" ".join)
@pytest.mark.parametrize("name", ["clips/17734.mp4", "clips_more/structure.mp4"])
def test_a_picture_that_was_frozen_is_found(name: str, words: tuple[str, str], tmp_path: Path) -> None:
    frozen = tmp_path / "frozen.mp4"
    graph = "scale=320:-2,trim=end_frame=75,loop=loop=20:size=1:start=30,setpts=N/FRAME_RATE/TB"
    encode = ["-c:v", words[0], "-preset", "veryfast", "-crf", words[1], "-an"]
    ffmpeg.run(["-i", CLIPS / name, "-vf", graph, *encode, frozen])
    found = changes_of(frozen)
    truth = set(range(30, 50))  # what repeats, in frames
    assert len(truth & set(found.repeats)) >= 12  # the encoder still mends some of them
    assert len(set(found.repeats) - truth) <= 2
    [(first, last)] = freezes(found)
    assert 29 <= first <= 38
    assert 44 <= last <= 51


@real
def test_frames_that_were_dropped_are_found(tmp_path: Path) -> None:
    dropped = tmp_path / "dropped.mp4"
    lost = (12, 31, 32, 50)
    graph = f"scale=320:-2,trim=end_frame=60,select='not({'+'.join(f'eq(n,{k})' for k in lost)})',fps=30000/1001"
    ffmpeg.run(["-i", CLIPS / "clips/17734.mp4", "-vf", graph, "-c:v", "libx264", "-crf", "20", "-an", dropped])
    found = changes_of(dropped)
    assert tuple(found.repeats) == lost
    assert freezes(found) == [], "three pictures alike last a tenth of a second"


def test_freezes_are_long_and_end_at_cuts() -> None:
    changes = Changes()
    changes.restart(FrameTimes(40, 10.0, tuple(k / 10 for k in range(40))))
    changes.repeats = [2, 5, 6, 7, 9, 10, 11, 21, 22, 23, 25, 26, 27, 38, 39]
    changes.cuts = [24]
    assert runs(changes.repeats) == [(2, 2), (5, 7), (9, 11), (21, 23), (25, 27), (38, 39)]
    assert freezes(changes) == [(5, 11), (21, 23), (25, 27), (38, 39)]
