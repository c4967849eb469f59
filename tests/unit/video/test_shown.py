"""What cannot be shown is refused in one sentence, and every decoder shows the same or refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.geometry import shown
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.pyav_decoder import open_file
from cvqa_models.video.reader import ReadOptions, check_video, probe, read_views
from cvqa_models.video.view import View

Make = Callable[..., Path]
Run = Callable[..., bytes]
ALL = View(UniformClips(1, 4), Native())
EXACT = "scale=flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp"


@pytest.fixture
def plain(make: Make) -> Path:
    return make("shown.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", frames=4)


def remade(ffmpeg: Run, path: Path, source: Path, *options: object) -> Path:
    ffmpeg(*options, "-i", source, "-c", "copy", path)
    return path


@pytest.mark.parametrize(("angle", "told"), [(45, 315), (1.2, 359), (91.5, 269)])
def test_an_odd_angle_is_refused(angle: float, told: int, plain: Path, ffmpeg: Run, tmp_path: Path) -> None:
    path = remade(ffmpeg, tmp_path / "odd.mp4", plain, "-display_rotation", angle)
    with pytest.raises(ValueError, match=rf"odd.mp4' is to be shown turned by {told} degrees; only multiples of 90"):
        probe(path)


def test_colours_that_ffmpeg_does_not_convert_are_named(make: Make) -> None:
    path = make("ycgco.mkv", "-vf", "format=yuv420p,setparams=colorspace=ycgco", "-c:v", "libx264", frames=2)
    with pytest.raises(ValueError, match=r"ycgco.mkv' has YCgCo colours, which FFmpeg does not convert"):
        probe(path)


def test_a_segment_without_its_header_is_named_and_read_behind_it(plain: Path, ffmpeg: Run, tmp_path: Path) -> None:
    ffmpeg("-i", plain, "-c", "copy", "-f", "dash", tmp_path / "stream.mpd")
    segment, header = tmp_path / "chunk-stream0-00001.m4s", tmp_path / "init-stream0.m4s"
    with pytest.raises(ValueError, match=r"m4s' is one segment of a stream without the header"):
        probe(segment)
    whole = tmp_path / "whole.mp4"
    whole.write_bytes(header.read_bytes() + segment.read_bytes())
    assert torch.equal(read_views(whole, [ALL])[ALL.key], read_views(plain, [ALL])[ALL.key])


def test_a_later_segment_is_read_behind_its_header(make: Make, ffmpeg: Run, tmp_path: Path) -> None:
    long = make("long.mp4", "-c:v", "libx264", "-g", 4, "-pix_fmt", "yuv420p", frames=24)
    ffmpeg("-i", long, "-c", "copy", "-f", "dash", "-seg_duration", 0.4, tmp_path / "stream.mpd")
    whole = tmp_path / "whole.mp4"
    parts = [tmp_path / name for name in ("init-stream0.m4s", "chunk-stream0-00003.m4s")]
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert probe(whole).frame_times.num_frames == 8
    whole.write_bytes(whole.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"whole.mp4' (is truncated or damaged|has a damaged header)"):
        probe(whole)


def test_a_left_border_cut_by_the_stream_is_not_seen(plain: Path, ffmpeg: Run, tmp_path: Path) -> None:
    path = tmp_path / "cropped.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=crop_left=6:crop_top=4", path)
    ours = read_views(path, [ALL])[ALL.key]
    raw = ffmpeg("-i", path, "-vf", EXACT, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    theirs = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(4, probe(path).height, 186, 3)
    assert (ours[0].permute(1, 2, 3, 0).int() - theirs).abs().max() <= 1


def test_a_change_of_size_is_said(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = [make(f"{size}.h264", "-c:v", "libx264", "-bf", 0, size=size, frames=2) for size in ("96x64", "64x48")]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with caplog.at_level(logging.WARNING):
        assert read_views(path, [ALL])[ALL.key].shape == (1, 3, 4, 64, 96)
    assert "pictures are 64x48 from frame 2 on; all are scaled to the size of the first" in caplog.text


def test_an_impossible_cropping_is_named(plain: Path) -> None:
    with open_file(str(plain)) as container:
        first = next(container.decode(video=0))
    assert shown("x", first, "Frame Cropping: 2/4/6/8") == ((("crop", "w=iw-6:h=ih-14:x=2:y=6"),), 94, 186)
    with pytest.raises(ValueError, match=r"'x' cannot be shown as its container says \(crop w=iw-400.* of 192x108\)"):
        shown("x", first, "Frame Cropping: 200/200/0/0")


@pytest.mark.parametrize("option", ["-display_hflip", "-display_vflip"])
def test_other_decoders_show_a_mirrored_file_mirrored_or_refuse(
    option: str, plain: Path, ffmpeg: Run, tmp_path: Path
) -> None:
    path = remade(ffmpeg, tmp_path / "mirrored.mov", plain, option)
    ours = read_views(path, [ALL])[ALL.key].float()
    theirs = read_views(path, [ALL], ReadOptions("ffmpeg"))[ALL.key].float()
    assert (ours - theirs).abs().mean() < 1.5
    with pytest.raises(ValueError, match=r"is not shown by decord as it should be .* leave `decoder: auto`"):
        probe(path, ReadOptions("decord"))


def test_other_decoders_take_any_name(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clip:12.mp4", "-dash.mp4"):
        Path(name).write_bytes(plain.read_bytes())
        for decoder in ("auto", "ffmpeg", "decord"):
            assert probe(name, ReadOptions(decoder)).frame_times.num_frames == 4, (name, decoder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cut.avi", ("-c:v", "huffyuv")),
        ("cut.ivf", ("-c:v", "libvpx-vp9", "-deadline", "realtime")),
        ("cut.y4m", ("-pix_fmt", "yuv420p")),
    ],
)
def test_a_cut_that_ffmpeg_passes_over_is_named(
    name: str, options: tuple[str, ...], make: Make, tmp_path: Path
) -> None:
    whole = make(name, *options, frames=12)
    assert check_video(whole) == 12
    content = whole.read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: len(content) * 6 // 10 + 1])
    with pytest.raises(ValueError, match=f"{name}' is truncated or damaged after"):
        check_video(path)
