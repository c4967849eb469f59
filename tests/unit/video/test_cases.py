"""Files that other tools got wrong, from `../shared/cases`, beside the same picture stored plainly."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from cvqa_models.inference.load import load
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.reader import check_video, probe, read_views
from cvqa_models.video.view import View

CASES = Path(__file__).parents[4] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
pytestmark = needs_cases


def pictures(path: Path, frames: int) -> torch.Tensor:
    """Return all frames, (C, T, H, W)."""
    view = View(UniformClips(1, frames), Native())
    return read_views(path, [view])[view.key][0]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("A_hflip.mov", "A_hflip_plain.mp4"),
        ("A_sei_rot.mp4", "A_sei_rot_plain50.mp4"),
        ("D_crop.mkv", "D_crop_plain.mp4"),
        ("H_h264.avi", "base.mp4"),
    ],
)
def test_a_file_shows_what_its_plain_copy_does(name: str, plain: str) -> None:
    ours, theirs = (pictures(CASES / "video" / one, 50) for one in (name, plain))
    assert torch.equal(ours, theirs)
    assert check_video(CASES / "video" / name) == 50


def test_gray_of_limited_range_has_the_values_of_420() -> None:
    ours, theirs = (pictures(CASES / "gray" / f"B_{one}_hevc.mp4", 25) for one in ("gray", "420"))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("name", "frames"), [("E_reset.ts", 100), ("H_h264.avi", 50)])
def test_times_that_step_back_are_made_from_the_rate(name: str, frames: int, caplog: pytest.LogCaptureFixture) -> None:
    path = CASES / "video" / name
    with caplog.at_level(logging.WARNING):
        assert pictures(path, frames).shape[1] == frames
    assert "its frame times do not rise, so frame k is taken at k / 25 s" in caplog.text
    assert check_video(path) == frames


def test_the_clock_that_steps_back_is_seen_by_the_probe() -> None:
    frame_times = probe(CASES / "video" / "E_reset.ts").frame_times
    assert frame_times.times == pytest.approx([k / 25 for k in range(100)])


def test_joined_segments_are_read_whole_and_a_lost_packet_is_refused() -> None:
    joined, lost = (CASES / "video" / f"E_{name}.ts" for name in ("joined", "lost"))
    assert probe(joined).frame_times.num_frames == check_video(joined) == 50
    assert torch.equal(pictures(joined, 50), pictures(CASES / "video" / "base.mp4", 50))
    for read in (probe, check_video):
        with pytest.raises(ValueError, match=r"E_lost.ts' is truncated or damaged"):
            read(lost)


def test_hdr_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"hdr_pq.mp4' is HDR \(transfer function PQ\)"):
        pictures(CASES / "video" / "hdr_pq.mp4", 25)


def test_a_timeline_goes_by_time_not_by_frames() -> None:
    scorer = load(device="cpu")
    variable, constant = (scorer(CASES / "video" / f"W_{n}", seconds=True) for n in ("vfr.mkv", "cfr.mp4"))
    assert variable.duration == pytest.approx(constant.duration, abs=0.2)
    assert variable.seconds == pytest.approx(constant.seconds, abs=3)


def test_each_side_is_cropped_by_its_own_amount(tmp_path: Path) -> None:
    data = bytearray((CASES / "video" / "D_crop.mkv").read_bytes())
    for element, lines in {b"\x54\xcc": 8, b"\x54\xdd": 24, b"\x54\xbb": 12, b"\x54\xaa": 28}.items():
        data[data.index(element + b"\x81") + 3] = lines  # left, right, top, bottom
    path = tmp_path / "uneven.mkv"
    path.write_bytes(data)
    assert probe(path).filters == (("crop", "w=iw-32:h=ih-40:x=8:y=12"),)
    assert pictures(path, 50).shape == (3, 50, 140, 288)
