"""The reader against the ffmpeg program, an own colour conversion, and files that are odd or broken."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cvqa_models.video import decoders, pyav_decoder, reader
from cvqa_models.video.frame_rules import Chunks, KeyFrames, UniformClips
from cvqa_models.video.info import UnopenableError, VideoInfo
from cvqa_models.video.patches import Fragments
from cvqa_models.video.pixel_rules import Crop, Fit, Native, Resize
from cvqa_models.video.reader import ReadOptions, check_video, iter_clips, probe, read_views
from cvqa_models.video.view import View

Make = Callable[..., Path]
Run = Callable[..., bytes]
SMALL = {"frames": 10}
CODECS = {
    "h264.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "h264-10bit.mkv": ("-c:v", "libx264", "-pix_fmt", "yuv422p10le"),
    "hevc-lossless.mp4": (
        "-c:v",
        "libx265",
        "-x265-params",
        "lossless=1:log-level=error:pools=1",
        "-pix_fmt",
        "yuv420p",
    ),
    "hevc-10bit.mp4": ("-c:v", "libx265", "-x265-params", "log-level=error:pools=1", "-pix_fmt", "yuv420p10le"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", "yuv420p"),
    "av1.mp4": ("-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p", "-svtav1-params", "lp=1"),
    "av1-10bit.mkv": ("-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p10le", "-svtav1-params", "lp=1"),
    "vvc.mp4": ("-c:v", "libvvenc", "-preset", "faster", "-pix_fmt", "yuv420p10le", "-vvenc-params", "threads=1"),
}
GRAY = ("-vf", "format=gray", "-c:v", "libx264", "-pix_fmt", "yuv420p")  # chroma is what decoders treat differently
ALL = View(UniformClips(1, 10), Native())


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_gives_the_pictures_of_the_ffmpeg_program(name: str, make: Make, ffmpeg: Run) -> None:
    path = make(name, *CODECS[name], **SMALL)
    ours = read_views(path, [ALL])[ALL.key][0].permute(1, 2, 3, 0).numpy()
    flags = "scale=flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp:in_color_matrix=bt601"
    raw = ffmpeg("-i", path, "-vf", flags, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    theirs = np.frombuffer(raw, np.uint8).reshape(ours.shape)
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert check_video(path) == 10


def float_rgb(
    yuv: npt.NDArray[np.uint8], height: int, width: int, kr: float, kb: float, full: bool
) -> npt.NDArray[np.float64]:
    """Return RGB of one 4:4:4 frame by the definition of the matrix in H.273."""
    y, u, v = yuv.reshape(3, height, width).astype(np.float64)
    y, u, v = (
        (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.stack([r, g, b], -1).clip(0, 1) * 255


BT709, BT601 = (0.2126, 0.0722), (0.299, 0.114)
TAGS = {
    "bt709": ("colorspace=bt709:range=tv", BT709, False),
    "bt601": ("colorspace=smpte170m:range=tv", BT601, False),
    "full": ("colorspace=bt709:range=pc", BT709, True),
    "none": ("colorspace=unknown", BT601, False),
}


@pytest.mark.parametrize("tag", TAGS)
def test_colour_tags_are_respected(tag: str, make: Make, ffmpeg: Run) -> None:
    params, (kr, kb), full = TAGS[tag]
    path = make(f"tag-{tag}.mkv", "-vf", f"format=yuv444p,setparams={params}", "-c:v", "libx264", "-qp", "0", frames=2)
    raw = ffmpeg("-i", path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "yuvj444p" if full else "yuv444p", "-")
    truth = float_rgb(np.frombuffer(raw, np.uint8), 108, 192, kr, kb, full)
    view = View(KeyFrames(1), Native())
    ours = read_views(path, [view])[view.key][0, :, 0].permute(1, 2, 0).numpy()
    assert np.abs(ours - truth).mean() < 0.4
    assert abs((ours - truth).mean()) < 0.1


def test_untagged_hd_is_bt709_unless_asked_otherwise(make: Make, ffmpeg: Run) -> None:
    options = ("-vf", "format=yuv444p,setparams=colorspace=unknown", "-c:v", "libx264", "-qp", "0")
    path = make("hd.mkv", *options, frames=1, size="1280x720")
    raw = np.frombuffer(ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "yuv444p", "-"), np.uint8)
    view = View(KeyFrames(1), Native())
    for untagged, (kr, kb) in {"bt709": BT709, "bt601": BT601}.items():
        clip = read_views(path, [view], ReadOptions(untagged=untagged))[view.key]  # type: ignore[arg-type]
        error = np.abs(clip[0, :, 0].permute(1, 2, 0).numpy() - float_rgb(raw, 720, 1280, kr, kb, False))
        assert error.mean() < 0.4


def test_scaling_is_antialiased_and_unbiased(make: Make) -> None:
    path = make("gray.mp4", *GRAY)
    native, small = View(KeyFrames(1), Native()), View(KeyFrames(1), Resize(27, 48))
    views = read_views(path, [native, small])
    truth = torch.nn.functional.interpolate(
        views[native.key][0, :, 0][None].float(), (27, 48), mode="bilinear", antialias=True
    )[0]
    error = views[small.key][0, :, 0].float() - truth
    assert error.abs().mean() < 0.5
    assert abs(error.mean()) < 0.3  # swscale's shortcut is 1.2 too dark


VIEWS = [
    View(Chunks(2, 8), Resize(32, 48)),
    View(Chunks(2, 3, fps=5), Fit(40, 40, "bicubic")),
    View(KeyFrames(2), Crop(40, short=54)),
    View(UniformClips(2, 8, 2), Fragments((2, 3), 16)),
]


def test_one_pass_equals_a_pass_per_view(make: Make) -> None:
    path = make("whole.mp4")
    together = read_views(path, VIEWS)
    assert list(together) == [view.key for view in VIEWS]
    for view in VIEWS:
        assert together[view.key].dtype == torch.uint8
        torch.testing.assert_close(together[view.key], read_views(path, [view])[view.key], rtol=0, atol=0)


def test_clips_come_out_as_they_complete_from_one_decode(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    frames = pyav_decoder.frames_pyav
    spy = decoders.Decoder(
        pyav_decoder.probe_pyav, lambda info, wanted: opened.append(info.path) or frames(info, wanted)
    )
    monkeypatch.setitem(decoders.DECODERS, "pyav", spy)
    found = [(key, clip) for key, clip, _ in iter_clips(make("whole.mp4"), VIEWS)]
    assert len(opened) == 1
    assert sorted(found) == sorted((view.key, clip) for view in VIEWS for clip in range(2))
    assert {clip for _, clip in found[:3]} == {0}


def test_the_same_frames_as_by_index(make: Make) -> None:
    path = make("whole.mp4")
    whole = View(UniformClips(1, 40), Native())
    frames = read_views(path, [whole])[whole.key][0]
    view = View(Chunks(2, 3, fps=5), Native())
    clips = read_views(path, [view])[view.key]
    torch.testing.assert_close(clips, torch.stack([frames[:, [0, 4, 8]], frames[:, [20, 24, 28]]]), rtol=0, atol=0)


def test_training_draws_and_evaluation_does_not(make: Make) -> None:
    view = View(UniformClips(2, 2, random=True), Crop(32, random=True))
    drawn = [read_views(make("whole.mp4"), [view], rng=np.random.default_rng(seed))[view.key] for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    still = [read_views(make("whole.mp4"), [view])[view.key] for _ in range(2)]
    assert torch.equal(still[0], still[1])


def test_the_source_is_read_beside_the_video(make: Make) -> None:
    source = make("whole.mp4")
    path = make("worse.mp4", "-c:v", "libx264", "-crf", "45", "-pix_fmt", "yuv420p")
    view = View(KeyFrames(2), Fit(50, 60), with_reference=True)
    plain = replace(view, with_reference=False)
    both = read_views(path, [view, VIEWS[0]], reference=source)[view.key]
    assert both.shape == (2, 6, 1, 50, 60)
    assert torch.equal(both[:, :3], read_views(path, [plain])[plain.key])
    assert torch.equal(both[:, 3:], read_views(source, [plain])[plain.key])


@pytest.mark.parametrize("other", [{"frames": 39}, {"size": "96x54"}])
def test_an_unequal_source_is_refused(other: dict[str, object], make: Make) -> None:
    view = View(KeyFrames(2), Resize(8, 8), with_reference=True)
    name = "-".join(map(str, other.values()))
    with pytest.raises(ValueError, match=r"has 40 frames of 192x108 but its source .* both must be equal"):
        read_views(make("whole.mp4"), [view], reference=make(f"{name}.mp4", **other))


def test_a_missing_source_is_named(make: Make) -> None:
    with pytest.raises(ValueError, match="needs the source video; give its `reference_path`"):
        read_views(make("whole.mp4"), [View(KeyFrames(2), Resize(8, 8), with_reference=True)])


# Odd files -----------------------------------------------------------------------------------------------------------


def test_start_time_is_subtracted(make: Make) -> None:
    path = make("late.ts", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-output_ts_offset", "5")
    times = probe(path).frame_times.times
    np.testing.assert_allclose(times, np.arange(40) / 20, atol=1e-4)


def test_raw_streams_go_by_index(make: Make) -> None:
    frame_times = probe(make("raw.264", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2")).frame_times
    assert frame_times.num_frames == 40
    np.testing.assert_allclose(frame_times.times, np.arange(40) / frame_times.fps)


def test_variable_rate_goes_by_timestamps(make: Make) -> None:
    keep = "select='lt(n,10)+not(mod(n,5))'"
    path = make("variable.mkv", "-vf", keep, "-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p", frames=12)
    kept = [*range(10), 10, 15]
    np.testing.assert_allclose(probe(path).frame_times.times, [n / 20 for n in kept], atol=1e-3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(degrees: int, make: Make, ffmpeg: Run, tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", degrees, "-i", make("h264.mp4", *CODECS["h264.mp4"], **SMALL), "-c", "copy", path)
    view = View(KeyFrames(1), Native())
    ours = read_views(path, [view])[view.key][0, :, 0].permute(1, 2, 0).numpy()
    height, width = (108, 192) if degrees == 180 else (192, 108)
    assert (probe(path).height, probe(path).width) == (height, width)
    flags = "scale=flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp"
    raw = ffmpeg("-i", path, "-vf", flags, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    theirs = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
    assert np.abs(ours.astype(int) - theirs).mean() < 1  # there the chroma is turned before it is scaled


def test_frames_before_an_edit_list_do_not_count(make: Make, ffmpeg: Run, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    ffmpeg("-ss", "0.5", "-i", make("whole.mp4"), "-c", "copy", path)
    assert probe(path).frame_times.num_frames == check_video(path) == 30


def test_a_wrong_list_of_frames_is_recounted(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = make("raw.264", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2")
    view = View(KeyFrames(4), Resize(8, 8))
    right = read_views(path, [view])[view.key]
    info = probe(path)
    twice = replace(info, frame_times=decoders._constant_rate(80, 50.0))  # two fields a frame, each a packet
    monkeypatch.setitem(decoders.DECODERS, "pyav", decoders.Decoder(lambda *_: twice, pyav_decoder.frames_pyav))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(read_views(path, [View(UniformClips(1, 80), Native()), view])[view.key], right)
    assert "40 frames decode" in caplog.text


# Broken files --------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no video '.*absent.mp4'"):
        probe(tmp_path / "absent.mp4")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(ValueError, match=r"empty.mp4' is empty \(0 bytes\)"):
        probe(path)


CUT = {
    "index at the end": (".mp4", (), 0.6, "yields no frames"),
    "index in front": (".mp4", ("-movflags", "+faststart"), 0.6, "is truncated or damaged after .* of 40 announced"),
    "last frame": (".mp4", ("-movflags", "+faststart"), 0.998, "is truncated or damaged"),
    "matroska": (".mkv", (), 0.6, "is truncated or damaged"),
}


@pytest.mark.parametrize("case", CUT)
def test_a_cut_file_is_refused(case: str, make: Make, tmp_path: Path) -> None:
    suffix, options, share, message = CUT[case]
    encoder = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "10")
    whole = make(f"to-cut-{case.replace(' ', '-')}{suffix}", *encoder, *options).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    for read in (probe, check_video, lambda p: read_views(p, VIEWS)):
        with pytest.raises(ValueError, match=message):
            read(path)


def test_damage_in_the_middle_is_found(make: Make, tmp_path: Path) -> None:
    data = bytearray(make("whole.mkv", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "10").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path = tmp_path / "damaged.mkv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="truncated or damaged"):
        check_video(path)


def test_sound_alone_is_refused(ffmpeg: Run, tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path)
    with pytest.raises(ValueError, match=r"sound.mp4' holds no video stream"):
        probe(path)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a video" * 100)
    with pytest.raises(ValueError, match=r"text.mp4' yields no frames \(pyav: Invalid data"):
        probe(path)


def test_a_file_without_frames_is_refused(ffmpeg: Run, tmp_path: Path) -> None:
    path = tmp_path / "zero.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x54", "-frames:v", 0, "-c:v", "ffv1", path)
    with pytest.raises(ValueError, match=r"zero.avi' yields no frames \(pyav: no picture decodes"):
        probe(path)


# Other decoders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["decord", "ffmpeg"])
def test_other_decoders_give_the_same_views(decoder: str, make: Make) -> None:
    path = make("gray.mp4", *GRAY)
    options = ReadOptions(decoder)  # type: ignore[arg-type]
    assert probe(path, options).decoder == decoder
    assert check_video(path, options) == 40
    ours = read_views(path, VIEWS)
    for key, view in read_views(path, VIEWS, options).items():
        assert (view.float() - ours[key].float()).abs().mean() < 1.5, key


def test_decord_refuses_what_it_cannot_open(make: Make) -> None:
    with pytest.raises(ValueError, match=r"yields no frames \(decord: "):
        probe(make("av1.mp4", *CODECS["av1.mp4"], **SMALL), ReadOptions("decord"))


def test_a_damaged_file_is_named_by_other_decoders(make: Make) -> None:
    def fail(_: list[int]) -> None:
        raise RuntimeError("no packet\nat line 3")

    with pytest.raises(ValueError, match=r"'x.mp4' is truncated or damaged between frames 0 and 7 \(no packet\)"):
        list(decoders._in_rgb("x.mp4", list(range(8)), fail))


def test_the_chain_falls_to_the_ffmpeg_program_and_says_so(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str, stream: int | None) -> VideoInfo:
        raise UnopenableError("unknown codec", another_may=True)

    monkeypatch.setitem(decoders.DECODERS, "pyav", decoders.Decoder(refuse, pyav_decoder.frames_pyav))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with caplog.at_level(logging.WARNING):
        info = probe(make("whole.mp4"))
    assert (info.decoder, info.frame_times.num_frames) == ("ffmpeg", 40)
    assert "is read with ffmpeg (pyav: unknown codec" in caplog.text


def test_torchcodec_is_asked_in_small_groups(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make("whole.mp4")
    groups: list[list[int]] = []

    class VideoDecoder:
        metadata = SimpleNamespace(num_frames=40, average_fps=20.0, height=108, width=192, codec="h264")

        def __init__(self, path: str, **options: object) -> None:
            self.frames = read_views(path, [View(UniformClips(1, 40), Native())], ReadOptions("pyav"))

        def get_frames_at(self, indices: list[int]) -> SimpleNamespace:
            groups.append(indices)
            (frames,) = self.frames.values()
            return SimpleNamespace(data=frames[0, :, indices].permute(1, 2, 3, 0))

    module = ModuleType("torchcodec.decoders")
    module.VideoDecoder = VideoDecoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    monkeypatch.setattr(reader, "version", lambda package: "0")
    view = View(UniformClips(1, 20), Native())
    ours = read_views(path, [view], ReadOptions("torchcodec"))[view.key]
    assert torch.equal(ours, read_views(path, [view])[view.key])
    assert max(map(len, groups)) == decoders.GROUP


@pytest.mark.parametrize("decoder", ["torchcodec", "decord"])
def test_a_decoder_without_its_package_is_refused(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(reader, "version", missing)
    with pytest.raises(
        ValueError, match=f"`decoder` is '{decoder}', but the package {decoder} is not .* `decoder: auto`"
    ):
        ReadOptions(decoder)  # type: ignore[arg-type]


def test_options_have_keys_of_their_own() -> None:
    keys = {ReadOptions(d, u).key for d in ("auto", "ffmpeg", "decord") for u in ("bt709", "bt601")}
    assert len(keys) == 6
    assert reader.CHAIN == ("pyav", "ffmpeg")
