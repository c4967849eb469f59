"""HDR: refused or tone-mapped, against the curve of BT.2390 computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Native, Resize
from cvqa_models.video.reader import ReadOptions, check_video, probe, read_views
from cvqa_models.video.scaling import EXACT
from cvqa_models.video.view import View

Make = Callable[..., Path]
NATIVE = View(KeyFrames(1), Native())
TRANSFERS = {"PQ": "smpte2084", "HLG": "arib-std-b67"}


def hdr_file(make: Make, hdr: str, luma: int = 0, extra: str = "") -> Path:
    """Return a video in HDR; with `luma`, of one gray (10 bits, limited range)."""
    colour = f"setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc={TRANSFERS[hdr]}:range=tv"
    flat = f"geq=lum={luma}:cb=512:cr=512," if luma else ""
    params = f"lossless=1:log-level=none:pools=1:transfer={TRANSFERS[hdr]}:colorprim=bt2020:colormatrix=bt2020nc{extra}"
    return make(
        f"{hdr}-{luma}-{len(extra)}.mp4",
        "-vf",
        f"format=yuv420p10le,{flat}{colour}",
        *("-c:v", "libx265", "-x265-params", params),
        frames=2,
        size="64x48",
    )


@pytest.mark.parametrize("hdr", TRANSFERS)
def test_hdr_is_refused_unless_tone_mapping_is_asked_for(hdr: str, make: Make) -> None:
    path = hdr_file(make, hdr)
    with pytest.raises(ValueError, match=rf"is HDR \(transfer function {hdr}\).*`hdr: tonemap`"):
        read_views(path, [NATIVE])
    assert check_video(path) == 2  # it is whole
    assert probe(path, ReadOptions(hdr="tonemap")).notes == (f"tone-mapped from {hdr}",)
    with pytest.raises(ValueError, match="is HDR and ffmpeg gives 8 bits of it"):
        read_views(path, [NATIVE], ReadOptions("ffmpeg", hdr="tonemap"))


@pytest.mark.parametrize("hdr", TRANSFERS)
def test_values_that_are_kept_are_those_of_the_ffmpeg_program(
    hdr: str, make: Make, ffmpeg: Callable[..., bytes]
) -> None:
    path = hdr_file(make, hdr)
    options = ReadOptions(hdr="keep")
    assert probe(path, options).notes == (f"{hdr} values taken as SDR's",)
    seen = read_views(path, [NATIVE], options)[NATIVE.key][0, :, 0].permute(1, 2, 0).numpy()
    raw = ("-frames:v", 1, "-vf", f"scale=flags=bilinear+{EXACT}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    theirs = np.frombuffer(ffmpeg("-i", path, *raw), np.uint8).reshape(seen.shape)
    assert np.abs(seen.astype(int) - theirs).max() <= 2
    assert read_views(path, [NATIVE], ReadOptions("ffmpeg", hdr="keep"))[NATIVE.key].shape[-2:] == (48, 64)


def bt2390(code: float, peak: float) -> float:
    """Return the SDR value of a gray PQ value by the text of BT.2390, section 5.4.1, for a display of 203 cd/m²."""

    def pq(light: float) -> float:
        y = (light / 10000) ** 0.1593017578125
        return float(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)

    def light(value: float) -> float:
        v = value ** (1 / 78.84375)
        return float(10000 * (max(v - 0.8359375, 0) / (18.8515625 - 18.6875 * v)) ** (1 / 0.1593017578125))

    e1, most = min(code / pq(peak), 1), pq(203) / pq(peak)
    ks = 1.5 * most - 0.5
    if e1 >= ks:
        t = (e1 - ks) / (1 - ks)
        e1 = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks) + (-2 * t**3 + 3 * t**2) * most
    return 255 * (light(e1 * pq(peak)) / 203) ** (1 / 2.4)


@pytest.mark.parametrize("luma", [64, 100, 200, 327, 450, 573, 700, 900])
def test_a_gray_of_pq_becomes_what_the_report_says(luma: int, make: Make) -> None:
    path = hdr_file(make, "PQ", luma)
    seen = read_views(path, [NATIVE], ReadOptions(hdr="tonemap"))[NATIVE.key].float()
    wanted = bt2390((luma - 64) / 876, 1000)
    assert (seen - wanted).abs().max() <= 1.5


def test_the_mastering_display_sets_the_peak(make: Make) -> None:
    display = ":hdr10=1:master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(40000000,50)"
    path = hdr_file(make, "PQ", 700, display)
    assert probe(path, ReadOptions(hdr="tonemap")).peak == 4000
    seen = read_views(path, [NATIVE], ReadOptions(hdr="tonemap"))[NATIVE.key].float()
    assert (seen - bt2390((700 - 64) / 876, 4000)).abs().max() <= 1.5


@pytest.mark.parametrize("signal", [0.25, 0.5, 0.75])
def test_a_gray_of_hlg_is_brought_to_its_display_first(signal: float, make: Make) -> None:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = signal**2 / 3 if signal <= 0.5 else (math.exp((signal - c) / a) + b) / 12
    y = (1000 * scene**1.2 / 10000) ** 0.1593017578125
    pq = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    path = hdr_file(make, "HLG", round(64 + 876 * signal))
    seen = read_views(path, [NATIVE], ReadOptions(hdr="tonemap"))[NATIVE.key].float()
    assert (seen - bt2390(pq, 1000)).abs().max() <= 1.5


def test_tone_mapping_comes_before_scaling(make: Make) -> None:
    path, small = hdr_file(make, "PQ"), View(KeyFrames(1), Resize(24, 32))
    views = read_views(path, [NATIVE, small], ReadOptions(hdr="tonemap"))
    assert views[small.key].shape[-2:] == (24, 32)
    means = [float(np.mean(views[key].numpy())) for key in views]
    assert abs(means[0] - means[1]) < 1


def test_options_have_keys_of_their_own() -> None:
    options = [ReadOptions(), *(ReadOptions(hdr=hdr) for hdr in ("tonemap", "keep"))]
    options += [ReadOptions(stream=1), ReadOptions(stream=0)]
    assert len({option.key for option in options}) == 5
    with pytest.raises(ValueError, match="`stream` is 1, but decord cannot choose"):
        ReadOptions("decord", stream=1)
