"""One verdict on damage: what `check_video` refuses, `read_views` refuses, and what is whole passes both."""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.video import decoders, libav_log
from cvqa_models.video.damage import plain_library_errors
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.info import UnopenableError
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.pyav_decoder import open_file
from cvqa_models.video.reader import ReadOptions, check_video, probe, read_views
from cvqa_models.video.view import View

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "video"
FIRST = [View(KeyFrames(1), Resize(32, 32))]  # asks for one frame near the start

X264 = ["-c:v", "libx264", "-preset", "veryfast", "-g", "8"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=0:keyint=8"]
CODECS = {
    "h264.mp4": X264,
    "h264.ts": X264,
    "open.ts": [*X264, "-x264-params", "open-gop=1:bframes=3"],
    "inter.ts": [*X264, "-flags", "+ilme+ildct", "-x264-params", "tff=1"],
    "hevc.mkv": X265,
    "hevc.ts": X265,
    "ffv1.mkv": ["-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-slices", "4"],
    "alt.webm": ["-c:v", "libvpx", "-b:v", "80k", "-auto-alt-ref", "1", "-lag-in-frames", "16"],
}
Make = Callable[[str], bytes]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("damage")

    def make_one(name: str) -> bytes:
        path = folder / name
        if not path.exists():
            picture = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2,noise=alls=8:allf=t", "-pix_fmt", "yuv420p"]
            ffmpeg.write([*picture, *CODECS[name]], path)
        return path.read_bytes()

    return make_one


def verdicts(path: Path) -> list[str]:
    """Return what `check_video` and `read_views` say; empty where they take the file."""
    return [said_by(lambda: check_video(path)), said_by(lambda: read_views(path, FIRST))]


def said_by(read: Callable[[], object]) -> str:
    try:
        read()
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", CODECS)
def test_whole_files_pass(name: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(make(name))
    assert verdicts(path) == ["", ""]


@pytest.mark.parametrize("name", ["h264.ts", "open.ts", "hevc.ts"])
def test_streams_joined_or_begun_inside_a_group_pass(name: str, make: Make, tmp_path: Path) -> None:
    whole = make(name)
    path = tmp_path / name
    path.write_bytes(whole + whole)
    assert verdicts(path) == ["", ""]
    path.write_bytes(whole[len(whole) // 188 // 3 * 188 :])
    assert verdicts(path) == ["", ""]


@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mkv", "ffv1.mkv", "h264.ts"])
def test_zeros_near_the_end_are_found_by_a_reader_that_asks_for_the_start(
    name: str, make: Make, tmp_path: Path
) -> None:
    data = bytearray(make(name))
    data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 2)
    path = tmp_path / name
    path.write_bytes(data)
    said = verdicts(path)
    assert said[0] == said[1]
    assert f"{name}' is truncated or damaged after" in said[0]


def test_a_flipped_byte_that_only_the_log_tells_of_is_damage(make: Make, tmp_path: Path) -> None:
    data = bytearray(make("ffv1.mkv"))
    data[len(data) // 2] ^= 64
    path = tmp_path / "ffv1.mkv"
    path.write_bytes(data)
    assert "(ffv1: slice CRC mismatch" in verdicts(path)[0]


def test_a_stream_without_a_known_codec_is_one_sentence(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "h264.mp4"
    path.write_bytes(make("h264.mp4").replace(b"avc1", b"zzzz"))
    assert "yields no frames (pyav: " in verdicts(path)[0]


def test_no_fallback_conceals_what_pyav_finds_damaged(make: Make, tmp_path: Path) -> None:
    data = bytearray(make("hevc.mkv"))
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path = tmp_path / "hevc.mkv"
    path.write_bytes(data)
    for decoder in ("auto", "ffmpeg", "pyav"):
        with pytest.raises(ValueError, match=r"hevc\.mkv'"):
            read_views(path, FIRST, ReadOptions(decoder))


@pytest.mark.parametrize(
    "error", [AttributeError("x"), KeyError("x"), ZeroDivisionError(), AssertionError(), EOFError()]
)
def test_whatever_a_library_raises_is_one_sentence(error: Exception) -> None:
    with (
        pytest.raises(ValueError, match=r"^'a\.mp4' is damaged, or its decoder fails \(\w+: "),
        plain_library_errors("a.mp4"),
    ):
        raise error


def test_our_own_sentences_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match=r"^ours$"), plain_library_errors("a.mp4"):
        raise ValueError("ours")


def test_the_log_of_one_file_is_not_blamed_on_the_next(make: Make, tmp_path: Path) -> None:
    data = bytearray(make("ffv1.mkv"))
    data[len(data) // 2] ^= 64
    for name in ("bad.mkv", "same.mkv"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "good.mkv").write_bytes(make("ffv1.mkv"))
    level = libav_log.av.logging.get_level()
    said = [verdicts(tmp_path / name)[0] for name in ("bad.mkv", "good.mkv", "same.mkv")]
    assert [bool(text) for text in said] == [True, False, True]
    assert libav_log.av.logging.get_level() == level


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared cases beside the project")
@pytest.mark.parametrize("name", ["hevc_zero.mkv", "mjpeg_zero.mkv", "E_lost.ts"])
def test_pictures_dropped_in_silence_are_damage(name: str) -> None:
    said = verdicts(CASES / name)
    assert all("is truncated or damaged after" in text for text in said)


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared cases beside the project")
@pytest.mark.parametrize("name", ["hevc.mkv", "mjpeg.mkv", "E_joined.ts", "E_reset.ts", "H_h264.avi", "W_vfr.mkv"])
def test_odd_but_whole_cases_pass(name: str) -> None:
    assert verdicts(CASES / name) == ["", ""]


def test_another_decoder_is_held_to_the_stream_that_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    sizes = [f"testsrc2=s={size}:r=25:d=1,noise=alls=8:allf=t,format=yuv420p" for size in ("64x48", "256x192")]
    inputs = [word for size in sizes for word in ("-f", "lavfi", "-i", size)]
    ffmpeg.write([*inputs, "-map", "0:v", "-map", "1:v", "-disposition:v", "0", *CODECS["ffv1.mkv"]], path)
    assert check_video(path, ReadOptions("ffmpeg")) == check_video(path) == 25
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 1  # in a late picture of the second stream, which is the largest
    path.write_bytes(data)
    assert check_video(path, ReadOptions(stream=0)) == 25
    for options in (ReadOptions(), ReadOptions("ffmpeg")):
        with pytest.raises(ValueError, match=r"two.mkv' is truncated or damaged"):
            check_video(path, options)


def test_fewer_frames_than_an_avi_announces_is_damage(tmp_path: Path) -> None:
    one, whole = tmp_path / "one.avi", tmp_path / "whole.avi"
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-c:v", "mpeg4"]
    ffmpeg.write([*picture], whole)
    ffmpeg.write([*picture, "-frames:v", "1"], one)
    assert verdicts(whole) == verdicts(one) == ["", ""]
    data, header = bytearray(one.read_bytes()), whole.read_bytes()
    for chunk, offset in ((b"avih", 24), (b"strh", 40)):  # numbers of frames: of the file, and of the stream
        here, there = data.index(chunk) + offset, header.index(chunk) + offset
        data[here : here + 4] = header[there : there + 4]
    one.write_bytes(data)
    assert all("is truncated or damaged after 1 of 25 announced frames" in text for text in verdicts(one))


@pytest.mark.parametrize("name", ["still.ogv", "still.avi"])
def test_empty_packets_in_the_middle_are_whole(name: str, tmp_path: Path) -> None:
    """Theora writes one for a picture that repeats; the ffmpeg program passes over them, and so do we."""
    path, raw = tmp_path / name, tmp_path / "raw.rgb"
    moving, still = "testsrc2=s=64x48:r=25:d=0.2", "color=gray:s=64x48:r=25:d=0.6"
    filters = ["-f", "lavfi", "-i", moving, "-f", "lavfi", "-i", still, "-filter_complex", "[0][1][0]concat=n=3"]
    ffmpeg.write([*filters, "-pix_fmt", "yuv420p", "-c:v", "libtheora" if name.endswith("ogv") else "mpeg4"], path)
    ffmpeg.write(["-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24"], raw)
    assert verdicts(path) == ["", ""]
    assert check_video(path) == raw.stat().st_size // (64 * 48 * 3)


def test_a_file_that_only_the_ffmpeg_program_reads_is_judged_by_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, stream: int | None = None) -> None:
        raise UnopenableError("unknown codec", another_may=True)

    data = bytearray(make("hevc.mkv"))
    whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    whole.write_bytes(data)
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    broken.write_bytes(data)
    times = probe(whole).frame_times.times
    monkeypatch.setattr(decoders, "probe_pyav", refuse)
    assert probe(whole, ReadOptions("ffmpeg")).frame_times.times == pytest.approx(times)
    with pytest.raises(ValueError, match=r"broken\.mkv' is truncated or damaged \(ffmpeg: "):
        probe(broken, ReadOptions("ffmpeg"))


@pytest.mark.parametrize(
    ("number", "another_may"),
    [
        (errno.ENOSYS, True),  # FFmpeg's AVERROR(ENOSYS): this build cannot do it
        (int.from_bytes(b"PAWE", "little"), True),  # its AVERROR_PATCHWELCOME
        (int.from_bytes(b"\xf8DEC", "little"), True),  # its AVERROR_DECODER_NOT_FOUND
        (errno.EIO, False),
        (int.from_bytes(b"INDA", "little"), False),  # its AVERROR_INVALIDDATA
    ],
)
def test_another_decoder_is_tried_where_one_is_wanting_and_not_where_the_file_is_bad(
    number: int, another_may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object, **options: object) -> None:
        av.error.err_check(-number)

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(UnopenableError) as caught:
        open_file("film.mp4")
    assert caught.value.another_may is another_may


def test_times_of_an_animated_webp_are_those_that_it_states(tmp_path: Path) -> None:
    path = tmp_path / "moving.webp"
    picture = "testsrc2=s=64x48:r=10:d=0.5,setpts='if(gte(N,3),PTS+2/TB,PTS)'"
    ffmpeg.write(["-f", "lavfi", "-i", picture, "-fps_mode", "passthrough", "-c:v", "libwebp_anim"], path)
    assert probe(path).frame_times.times == pytest.approx((0, 0.1, 0.2, 2.3, 2.4))
    cut = tmp_path / "cut.webp"
    cut.write_bytes(path.read_bytes()[:-900])
    assert "is truncated or damaged" in verdicts(cut)[0]


def test_threads_do_not_take_each_other_s_level_of_the_log(make: Make, tmp_path: Path) -> None:
    data = bytearray(make("ffv1.mkv"))
    paths = {tmp_path / f"{n}.mkv": n % 2 for n in range(16)}
    for path, broken in paths.items():
        data[len(data) // 2] ^= 64 * broken
        path.write_bytes(data)
        data[len(data) // 2] ^= 64 * broken
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda path: verdicts(path)[0], paths))
    assert [bool(text) for text in said] == [bool(broken) for broken in paths.values()]
    assert libav_log._asked == []
