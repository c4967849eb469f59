"""Frames of a file of which little is decoded are those of a full decode to the bit; where in doubt, all is decoded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from cvqa_models.video import packet_bits
from cvqa_models.video.frame_rules import KeyFrames, UniformClips
from cvqa_models.video.groups import Groups
from cvqa_models.video.info import UnprovenError, VideoInfo
from cvqa_models.video.packet_bits import Bits
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.pyav_decoder import frames_pyav, probe_pyav
from cvqa_models.video.reader import check_video, iter_clips, probe, read_views
from cvqa_models.video.view import View

Make = Callable[..., Path]
Run = Callable[..., bytes]
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "superfast", "-pix_fmt", "yuv420p", "-x265-params")
SIZE = {"frames": 60, "size": "96x64"}
PROVEN = {
    "h264.mp4": X264,
    "h264.mkv": (*X264, "-bf", "3", "-b_strategy", "0"),
    "h264.ts": X264,
    "h264.flv": (*X264, "-bf", "0"),
    "h264-10bit.mkv": (*X264[:-1], "yuv422p10le"),
    "openh264.mp4": ("-c:v", "libopenh264", "-g", "12", "-pix_fmt", "yuv420p"),
    "hevc-open.mp4": (*X265, "log-level=0:keyint=12:min-keyint=12:bframes=4:b-adapt=0"),
    "hevc-open.ts": (*X265, "log-level=0:keyint=12:min-keyint=12"),
    "hevc-closed.mkv": (*X265, "log-level=0:keyint=12:open-gop=0:bframes=4:radl=2"),
    "hevc-layers.mp4": (*X265, "log-level=0:keyint=12:temporal-layers=3:bframes=4:b-adapt=0"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-g", "12", "-cpu-used", "5", "-pix_fmt", "yuv420p"),
    "vp9.mp4": ("-c:v", "libvpx-vp9", "-g", "12", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p"),
    "av1.mp4": ("-c:v", "libsvtav1", "-preset", "12", "-g", "12", "-svtav1-params", "lp=1", "-pix_fmt", "yuv420p"),
    "av1.mkv": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "12", "-pix_fmt", "yuv420p"),
}
UNPROVEN = {
    "interlaced.mp4": (*X264, "-flags", "+ilme+ildct", "-x264-params", "tff=1"),
    "no-times.264": X264,
    "times-of-decoding.avi": (*X264, "-bf", "2"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-g", "12", "-bf", "2"),
    "vp8.webm": ("-c:v", "libvpx", "-g", "12", "-cpu-used", "8"),
    "ffv1.mkv": ("-c:v", "ffv1", "-g", "12"),
    "open.mp4": (*X264, "-x264-params", "open-gop=1:intra-refresh=1"),
}
Pictures = dict[int, npt.NDArray[np.uint8]]


def pictures(info: VideoInfo, wanted: Sequence[int]) -> Pictures:
    return {index: frame.to_ndarray() for index, frame in frames_pyav(info, wanted)}


def fed(info: VideoInfo, wanted: Sequence[int]) -> int:
    assert info.groups is not None
    assert info.stamps is not None
    return len(info.groups.needed({info.stamps[index] for index in wanted}))


@pytest.mark.parametrize("name", PROVEN)
def test_frames_are_those_of_a_full_decode_to_the_bit(name: str, make: Make) -> None:
    info = probe_pyav(str(make(f"groups-{name}", *PROVEN[name], **SIZE)))
    count = info.frame_times.num_frames
    truth = pictures(replace(info, groups=None), range(count))
    assert list(truth) == list(range(60))
    drawn, spared = random.Random(0), 0
    wishes = [[index] for index in range(count)] + [sorted(drawn.sample(range(count), n)) for n in (2, 3, 5, 8, 30)]
    for wanted in wishes:
        found = pictures(info, wanted)
        assert list(found) == wanted
        assert all(np.array_equal(found[index], truth[index]) for index in wanted)
        spared += count - fed(info, wanted)
    assert spared > 0.5 * count * len(wishes)


@pytest.mark.parametrize("name", [name for name in PROVEN if name.startswith(("h264", "hevc", "openh264"))])
def test_what_nobody_refers_to_is_what_ffmpeg_discards_as_such(name: str, make: Make) -> None:
    path = make(f"groups-{name}", *PROVEN[name], **SIZE)
    groups = probe_pyav(str(path)).groups
    assert groups is not None
    pairs = list(zip(groups.stamps, groups.bits, strict=True))
    # FFmpeg's switch discards pictures of lower layers, too, which higher ones may refer to: `Groups` does not.
    assert {stamp for stamp, bits in pairs if not bits.free} == shown(path, "NONREF")
    assert (max(bits.layer for bits in groups.bits) > 0) == (name == "hevc-layers.mp4")
    assert {stamp for stamp, bits in pairs if bits.start} == shown(path, "NONKEY")


def shown(path: Path, discard: str) -> set[int | None]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = discard  # type: ignore[assignment]
        return {frame.pts for frame in container.decode(stream)}


@pytest.mark.parametrize("name", UNPROVEN)
def test_what_proves_nothing_is_decoded_from_end_to_end(name: str, make: Make) -> None:
    path = make(f"unproven-{name}", *UNPROVEN[name], **SIZE)
    groups = probe(path).groups
    assert groups is None or sum(bits.start for bits in groups.bits) == 1


def test_an_edit_list_is_read_from_end_to_end(make: Make, ffmpeg: Run, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    ffmpeg("-ss", "0.5", "-i", make("groups-h264.mp4", *PROVEN["h264.mp4"], **SIZE), "-c", "copy", path)
    assert probe(path).groups is None


def test_a_stream_whose_header_changes_is_read_from_end_to_end(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    parts = [make(f"part-{crf}.ts", *X264, "-crf", crf, "-bf", bf, **SIZE) for crf, bf in ((20, 0), (40, 3))]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert probe(path).groups is None


def test_doubt_while_decoding_ends_in_a_full_decode(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make("groups-h264.mp4", *PROVEN["h264.mp4"], **SIZE)
    view = View(UniformClips(4, 2), Native())
    right = read_views(path, [view])[view.key]
    needed = Groups.needed
    monkeypatch.setattr(Groups, "needed", lambda self, wanted: dict(list(needed(self, wanted).items())[:-1]))
    info = probe(path)
    with pytest.raises(UnprovenError):
        pictures(info, [3, 50])
    assert len(list(iter_clips(path, [view]))) > 4  # some come twice
    assert np.array_equal(read_views(path, [view])[view.key], right)


def test_damage_that_no_wanted_frame_needs_is_for_check_to_find(make: Make, tmp_path: Path) -> None:
    whole = make("groups-h264.mkv", *PROVEN["h264.mkv"], **SIZE)
    path, view = tmp_path / "damaged.mkv", View(KeyFrames(1), Native())
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        late = list(container.demux(video=0))[40]
    assert late.pos is not None
    place = data.index(bytes(late)[8:], late.pos) + 4
    data[place : place + 40] = random.Random(0).randbytes(40)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged\.mkv' is truncated or damaged after") as told:
        check_video(path)
    assert np.array_equal(read_views(path, [view])[view.key], read_views(whole, [view])[view.key])
    with pytest.raises(ValueError, match=r"damaged\.mkv' is truncated or damaged after") as same:
        read_views(path, [View(UniformClips(20, 3), Native())])
    assert str(same.value) == str(told.value)


# Arithmetic ----------------------------------------------------------------------------------------------------------

KEY, CLEAN, P, B, JOINED = Bits(True), Bits(True, open=True), Bits(), Bits(free=True), Bits(joined=True, free=True)
CASES = {
    "nothing but the first": ([KEY, P, KEY, P], [0], {0: False}),
    "a group up to the wanted one": ([KEY, P, P, KEY, P, P], [4], {0: False, 3: False, 4: False}),
    "less what nobody refers to": ([KEY, B, P, B, P], [3], {0: False, 2: False, 3: False}),
    "an emptied decoder for an open start": ([KEY, P, CLEAN, JOINED, P], [4], {0: False, 2: True, 4: False}),
    "the group before, for what is joined": (
        [KEY, P, B, CLEAN, JOINED, JOINED, P],
        [4],
        {0: False, 1: False, 3: False, 4: False},
    ),
    "two groups in a row": ([KEY, P, KEY, P], [1, 3], {0: False, 1: False, 2: False, 3: False}),
    "lower layers may be referred to": (
        [KEY, Bits(free=True), Bits(free=True, layer=1), P],
        [3],
        {0: False, 1: False, 3: False},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_packets_that_are_needed(case: str) -> None:
    bits, wanted, expected = CASES[case]
    assert Groups(tuple(range(len(bits))), tuple(bits)).needed(wanted) == expected


BROKEN = {
    "a length beyond the end": ("h264", 4, b"\0\0\0\x09\x65\x88"),
    "no start code": ("h264", 0, b"\x65\x88\x80"),
    "a unit beyond the end": ("libdav1d", 0, b"\x32\x7f\x10"),
    "an index of more than there is": ("vp9", 0, b"\x82\x49\x83\x42\xc1\xff\xff\xc1"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_packets_that_do_not_add_up_are_refused(case: str) -> None:
    codec, size, data = BROKEN[case]
    read = (lambda data: packet_bits._h264(data, size)) if codec == "h264" else packet_bits.reader(codec, b"")
    assert read is not None
    with pytest.raises(
        ValueError, match=r"longer than its packet|no start code|not the usual header|more than there is"
    ):
        read(data)


def test_a_header_that_never_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than it may be"):
        packet_bits._Bits(b"").number()
