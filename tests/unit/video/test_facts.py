"""The facts of a file, as they were asked of the encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cvqa_models.video.facts import read_facts
from cvqa_models.video.reader import ReadOptions, probe

Make = Callable[..., Path]
Run = Callable[..., bytes]


def test_facts_are_what_the_encoder_was_asked_for(make: Make, ffmpeg: Run, tmp_path: Path) -> None:
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv,setsar=4/3"
    path = tmp_path / "facts.mp4"
    made = make("tagged.mp4", "-vf", f"format=yuv422p10le,{tags}", "-c:v", "libx264", frames=10)
    ffmpeg("-display_rotation", 90, "-i", made, "-c", "copy", path)
    facts = read_facts(probe(path))
    assert facts is not None
    assert (facts.codec, facts.pixel_format, facts.depth) == ("h264", "yuv422p10le", 10)
    assert (facts.width, facts.height, facts.stored_width, facts.stored_height) == (108, 192, 192, 108)
    assert (facts.frames, facts.fps, facts.streams) == (10, 20.0, 1)
    assert (facts.range, facts.matrix, facts.primaries, facts.transfer) == ("limited", "bt709", "bt709", "bt709")
    assert (facts.orientation, facts.crop, facts.interlacing) == ("transpose=cclock", "", "progressive")
    assert facts.aspect_ratio == 4 / 3
    assert "mp4" in facts.container


def test_interlaced_and_telecined_streams_are_named(make: Make) -> None:
    interlaced = make("fields.ts", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", rate=25, frames=10)
    assert probe(interlaced).notes == ("interlaced",)
    facts = read_facts(probe(interlaced))
    assert facts is not None
    assert (facts.interlacing, facts.notes) == ("interlaced", ("interlaced",))
    # Two and three fields in turn, as the flags of a soft telecine time it.
    film = "settb=1/60000,setpts='(floor(N/2)*5+mod(N,2)*2)*1001'"
    made = make(
        "film.mkv", "-vf", film, "-fps_mode", "passthrough", "-enc_time_base", "1/60000", "-c:v", "libx264", frames=20
    )
    assert probe(made).notes == ("telecined",)


def test_the_largest_of_several_streams_is_seen_unless_another_is_asked_for(
    make: Make, ffmpeg: Run, tmp_path: Path
) -> None:
    small, large = (make(f"{size}.mp4", "-c:v", "libx264", size=size, frames=5) for size in ("96x54", "192x108"))
    path = tmp_path / "two.mkv"
    ffmpeg("-i", small, "-i", large, "-map", "0:v", "-map", "1:v", "-c", "copy", "-disposition:v", 0, path)
    assert probe(path).width == 192
    assert probe(path, ReadOptions(stream=0)).width == 96
    facts = read_facts(probe(path))
    assert facts is not None
    assert facts.streams == 2
    with pytest.raises(ValueError, match=r"two.mkv' holds 2 video streams; `stream` is 2"):
        probe(path, ReadOptions(stream=2))
