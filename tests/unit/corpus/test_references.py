import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.references import Reference, load, prepare_clip, shoot_scene
from cvqa_models.corpus.synthetic.scenes import Box, Mover, Scene, render

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0"]


def _clip(path: Path, *filters: str, frames: int = 12, options: list[str] | None = None) -> Path:
    source = [
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=size=96x64:rate=30,{','.join(filters) or 'null'}",
        "-frames:v",
        str(frames),
    ]
    ffmpeg.write([*source, *(options or [*X264, "-pix_fmt", "yuv420p"])], path)
    return path


def _luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)])


def test_a_plain_clip_is_kept_frame_by_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = _clip(tmp_path / "plain.mp4")
    reference = prepare_clip(clip, tmp_path / "refs")
    assert (reference.width, reference.height, reference.fps, reference.frames) == (96, 64, Fraction(30), 12)
    assert (_luma(reference.path) == _luma(clip)).all()
    assert not caplog.records
    assert load(tmp_path / "refs", "plain") == reference
    again = prepare_clip(clip, tmp_path / "other")
    assert again.path.read_bytes() == reference.path.read_bytes()
    clip.unlink()
    assert prepare_clip(clip, tmp_path / "refs") == reference  # nothing is made twice


def test_size_and_length_can_be_reduced(tmp_path: Path) -> None:
    reference = prepare_clip(_clip(tmp_path / "long.mp4", frames=30), tmp_path, width=48, seconds=0.5)
    assert (reference.width, reference.height, reference.frames, reference.seconds) == (48, 32, 15, 0.5)


def test_odd_size_ten_bit_and_variable_rate_are_mended_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    odd = _clip(tmp_path / "odd.mkv", "format=yuv444p,crop=95:63", options=["-c:v", "ffv1", "-pix_fmt", "yuv444p"])
    assert prepare_clip(odd, tmp_path / "refs").width == 94
    deep = _clip(tmp_path / "deep.mkv", options=["-c:v", "ffv1", "-pix_fmt", "yuv420p10le"])
    assert ffmpeg.inspect(prepare_clip(deep, tmp_path / "refs").path).pixel_format == "yuv420p"
    jumpy = _clip(tmp_path / "jumpy.mkv", "select='not(between(n,3,8))'", options=[*X264, "-fps_mode", "passthrough"])
    reference = prepare_clip(jumpy, tmp_path / "refs")
    facts = ffmpeg.inspect(reference.path)
    assert np.ptp(np.diff(facts.times)) < 0.002
    assert reference.fps == 30
    assert [record.message.split("; ")[1] for record in caplog.records][:2] == [
        "its odd edge is cut off.",
        "it is reduced to 8 bit.",
    ]
    assert "variable frame rate" in caplog.text


def test_hdr_broken_and_missing_clips_are_refused(tmp_path: Path) -> None:
    hdr = _clip(tmp_path / "hdr.mp4", "setparams=color_trc=smpte2084", options=[*X264, "-pix_fmt", "yuv420p10le"])
    with pytest.raises(ValueError, match=r"hdr.mp4' is HDR \(smpte2084\); convert"):
        prepare_clip(hdr, tmp_path / "refs")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match=r"empty.mp4' cannot be read as video"):
        prepare_clip(tmp_path / "empty.mp4", tmp_path / "refs")
    with pytest.raises(FileNotFoundError, match=r"none.mp4' does not exist"):
        prepare_clip(tmp_path / "none.mp4", tmp_path / "refs")
    sound = tmp_path / "sound.mp4"
    ffmpeg.run(["-f", "lavfi", "-i", "sine=duration=0.2", sound])
    with pytest.raises(ValueError, match=r"sound.mp4' cannot be read as video .*it holds no video stream"):
        prepare_clip(sound, tmp_path / "refs")
    cut = tmp_path / "cut.mkv"
    whole = _clip(tmp_path / "whole.mkv").read_bytes()
    cut.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=r"cut.mkv'"):
        prepare_clip(cut, tmp_path / "refs")
    assert not list((tmp_path / "refs").glob("*.mkv")) if (tmp_path / "refs").exists() else True


def test_a_scene_becomes_a_reference_tagged_bt709(reference: Reference) -> None:
    assert (reference.width, reference.height, reference.frames, reference.seconds) == (128, 96, 20, 0.8)
    with av.open(str(reference.path)) as container:
        frame = next(container.decode(video=0))
    assert ffmpeg.inspect(reference.path).transfer == "bt709"
    first = next(iter(render(_scene(), 96, 128, 20)))
    weights = np.array([0.2126, 0.7152, 0.0722])
    expected = 16 + (first @ weights) * 219 / 255
    assert abs(frame.to_ndarray()[:96] - expected).mean() < 1


def _scene():
    disc = Mover("flower", 0.2, (0, 0.2), (1.5, 0.9))
    return Scene("cat", "cat", Box(0.4, 0.5, 0.6), Box(0.6, 0.5, 0.6), movers=(disc,))


def test_a_scene_is_shot_once(reference: Reference, tmp_path: Path) -> None:
    size = {"width": 64, "height": 48, "fps": 10, "seconds": 0.3}
    first = shoot_scene(_scene(), tmp_path, **size)
    stamp = first.path.stat().st_mtime_ns
    assert shoot_scene(_scene(), tmp_path, **size) == first
    assert first.path.stat().st_mtime_ns == stamp


def test_the_largest_stream_of_a_file_becomes_the_reference(tmp_path: Path) -> None:
    small, large = _clip(tmp_path / "small.mp4", "scale=64:48"), _clip(tmp_path / "large.mp4")
    both = tmp_path / "both.mkv"
    ffmpeg.run(["-i", small, "-i", large, "-map", "0:v", "-map", "1:v", "-c", "copy", "-disposition:v", "0", both])
    reference, alone = (prepare_clip(path, tmp_path / path.stem) for path in (both, large))
    assert (reference.width, reference.height) == (alone.width, alone.height)
    assert ffmpeg.frame_hash(reference.path) == ffmpeg.frame_hash(alone.path)


def test_a_damaged_clip_is_named_and_never_used(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "broken.mkv", frames=40, options=["-c:v", "ffv1", "-level", "3", "-slicecrc", "1"])
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(255 - byte for byte in data[middle : middle + 40])
    clip.write_bytes(data)
    with pytest.raises(ValueError, match=r"broken.mkv' is truncated or damaged after"):
        prepare_clip(clip, tmp_path / "refs")
    assert load(tmp_path / "refs", "broken") is None


@pytest.mark.parametrize("deep", ["", "10le"])
def test_gray_of_limited_range_keeps_its_luma(tmp_path: Path, deep: str) -> None:
    x265 = ["-c:v", "libx265", "-x265-params", "lossless=1:log-level=0:range=limited"]
    colour = _clip(tmp_path / "colour.mkv", "format=yuv420p,hue=s=0", options=["-c:v", "ffv1"])
    gray = tmp_path / "gray.mp4"
    # The luma alone, bit for bit: a conversion of the program would stretch it to full range.
    same = f"format=yuv420p{deep},extractplanes=y"
    ffmpeg.run(["-i", colour, "-vf", same, *x265, "-pix_fmt", f"gray{deep}", gray])
    assert ffmpeg.inspect(gray).pixel_format == f"gray{deep}"
    reference = prepare_clip(gray, tmp_path / "refs")
    assert np.abs(_luma(reference.path).astype(int) - _luma(colour)).max() <= bool(deep)


def test_a_clip_to_be_shown_at_an_odd_angle_is_refused_as_in_scoring(tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg.run(["-display_rotation", "30", "-i", _clip(tmp_path / "plain.mp4"), "-c", "copy", turned])
    with pytest.raises(ValueError, match=r"turned.mp4' is to be shown turned by \d+ degrees; only multiples of 90"):
        prepare_clip(turned, tmp_path / "refs")
