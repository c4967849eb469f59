"""Encoders: the options that set speed, quality and rate of each. All use one thread, so that runs repeat exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cvqa_models.corpus import ffmpeg

# Encoders that take all settings in one string, and the separator in it.
_JOINED = {
    "-x265-params": ":",
    "-svtav1-params": ":",
    "-vvenc-params": ":",
    "-rav1e-params": ":",
    "-kvazaar-params": ",",
}


@dataclass(frozen=True)
class Knob:
    """An option of an encoder whose number sets its rate.

    Attributes:
        options: FFmpeg options with `{value}` in them.
        low: Smallest value.
        high: Largest value.
        step: Smallest difference between values that the encoder distinguishes.
        slope: Change of log(rate) per unit of `position`; a search starts with this guess.
        start: Value that a search tries first; None means the target rate.
        logarithmic: Whether `position` is the logarithm of the value, as for a bitrate.
    """

    options: tuple[str, ...]
    low: float
    high: float
    step: float
    slope: float
    start: float | None = None
    logarithmic: bool = False

    def position(self, value: float) -> float:
        """Return the value on an axis on which log(rate) is nearly a straight line."""
        return math.log(value) if self.logarithmic else value

    def nearest(self, position: float) -> float:
        """Return the legal value nearest to a position on that axis."""
        value = math.exp(min(position, math.log(self.high))) if self.logarithmic else position
        return min(max(round(value / self.step) * self.step, self.low), self.high)


BITRATE = Knob(("-b:v", "{value:g}k"), low=5, high=500_000, step=0.1, slope=1.0, logarithmic=True)


@dataclass(frozen=True)
class Encoder:
    """One encoder of the FFmpeg program.

    Attributes:
        name: Name in tables and file names.
        standard: Coding standard that it writes.
        library: FFmpeg's name of the encoder.
        speeds: Speed name -> options, from the slowest to the fastest.
        presets: Speed class of the table (fast, medium, slow) -> speed name.
        crf: Its constant-quality knob (CRF, or QP where it has no CRF); None if it has none.
        search: Knob to reach a rate: `crf` if its steps are fine enough for 4 %, else the bitrate.
        options: Options of every run: one thread, pixel format.
    """

    name: str
    standard: str
    library: str
    speeds: Mapping[str, tuple[str, ...]]
    presets: Mapping[str, str]
    crf: Knob | None
    search: Knob
    options: tuple[str, ...] = field(default=("-threads", "1", "-pix_fmt", "yuv420p"))

    def arguments(self, speed: str, knob: Knob, value: float) -> list[str]:
        """Return the FFmpeg options for one encode at a speed with a knob set to a value."""
        setting = [option.format(value=value) for option in knob.options]
        return _join(["-c:v", self.library, *self.options, *self.speeds[speed], *setting])


def find_encoder(name: str) -> Encoder:
    """Return the encoder of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in ENCODERS:
        raise ValueError(f"The encoder '{name}' is not known; choose from {', '.join(ENCODERS)}.")
    return ENCODERS[name]


def check_present(encoder: Encoder) -> None:
    """Raise a ValueError if this machine's FFmpeg was built without an encoder."""
    if encoder.library not in ffmpeg.encoder_names():
        raise ValueError(
            f"FFmpeg {ffmpeg.version()} was built without {encoder.library}; use the one that imageio-ffmpeg brings, "
            f"or leave '{encoder.name}' out."
        )


def _join(options: Sequence[str]) -> list[str]:
    """Return options with repeated parameter strings joined to one, because FFmpeg keeps only the last."""
    merged: dict[str, str] = {}
    plain: list[str] = []
    for name, value in zip(options[::2], options[1::2], strict=True):
        if name in _JOINED:
            merged[name] = merged[name] + _JOINED[name] + value if name in merged else value
        else:
            plain += [name, value]
    return plain + [word for pair in merged.items() for word in pair]


def _speeds(option: str, *values: str | int) -> dict[str, tuple[str, ...]]:
    return {str(value): (option, str(value)) for value in values}


_X26X = ("veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast", "superfast", "ultrafast")
_X264_CRF = Knob(("-crf", "{value:g}"), 0, 51, 0.1, -0.115, start=34)
# FFmpeg's own option takes only whole numbers, and silently rounds others.
_SVT_CRF = Knob(("-svtav1-params", "rc=0:crf={value:g}"), 1, 63, 0.25, -0.07, start=56)
_VP9 = {
    **{f"good{n}": ("-deadline", "good", "-cpu-used", str(n)) for n in range(6)},
    **{f"realtime{n}": ("-deadline", "realtime", "-cpu-used", str(n)) for n in range(6, 9)},
}
_VVENC_LIGHT = {
    "light": ("-preset", "faster", "-vvenc-params", "MCTF=0:BIM=0:ALF=0:CCALF=0"),
    "lightest": ("-preset", "faster", "-vvenc-params", "MCTF=0:BIM=0:ALF=0:CCALF=0:Affine=0:DMVR=0"),
}
_RAV1E_QP = Knob(("-qp", "{value:g}"), 0, 255, 1, -0.02, start=160)
_KVAZAAR = {speed: ("-kvazaar-params", f"preset={speed}") for speed in _X26X}

# Slopes: log(rate) per CRF, measured on natural clips at 640x360; a search corrects them after two tries.
_ALL = (
    Encoder(
        "x264", "h264", "libx264", _speeds("-preset", *_X26X),
        {"fast": "veryfast", "medium": "medium", "slow": "slower"}, _X264_CRF, _X264_CRF,
    ),
    Encoder(
        "x265", "h265", "libx265", _speeds("-preset", *_X26X),
        {"fast": "superfast", "medium": "fast", "slow": "slow"}, _X264_CRF, _X264_CRF,
        ("-pix_fmt", "yuv420p", "-x265-params", "pools=none:frame-threads=1:log-level=error"),
    ),
    Encoder(
        "svt-av1", "av1", "libsvtav1", _speeds("-preset", *range(2, 13)),
        {"fast": "10", "medium": "8", "slow": "4"}, _SVT_CRF, _SVT_CRF,
        ("-pix_fmt", "yuv420p", "-svtav1-params", "lp=1"),
    ),
    Encoder(
        "vp9", "vp9", "libvpx-vp9", _VP9,
        {"fast": "realtime8", "medium": "good5", "slow": "good2"},
        Knob(("-b:v", "0", "-crf", "{value:g}"), 0, 63, 1, -0.06), BITRATE,
    ),
    Encoder(
        "vvenc", "vvc", "libvvenc",
        {**_speeds("-preset", "slower", "slow", "medium", "fast", "faster"), **_VVENC_LIGHT},
        {"fast": "lightest", "medium": "light", "slow": "faster"},
        Knob(("-qp", "{value:g}"), 0, 63, 1, -0.115), BITRATE,
        ("-pix_fmt", "yuv420p10le", "-vvenc-params", "threads=1"),  # libvvenc takes 10-bit pictures only
    ),
    Encoder(
        "openh264", "h264", "libopenh264",
        {"cabac": ("-coder", "cabac"), "cavlc": ("-coder", "cavlc", "-loopfilter", "0")},
        {"fast": "cavlc", "medium": "cabac", "slow": "cabac"}, None, BITRATE,
        # FFmpeg's default would set a key frame every twelve frames.
        ("-threads", "1", "-pix_fmt", "yuv420p", "-allow_skip_frames", "0", "-g", "250"),
    ),
    Encoder(
        "kvazaar", "h265", "libkvazaar", _KVAZAAR,
        {"fast": "ultrafast", "medium": "fast", "slow": "slow"},
        Knob(("-kvazaar-params", "qp={value:g}"), 0, 51, 1, -0.115), BITRATE,
        ("-pix_fmt", "yuv420p", "-kvazaar-params", "threads=0,owf=0"),
    ),
    Encoder(
        "libaom", "av1", "libaom-av1", _speeds("-cpu-used", *range(9)),
        {"fast": "8", "medium": "6", "slow": "4"},
        Knob(("-b:v", "0", "-crf", "{value:g}"), 0, 63, 1, -0.06), BITRATE,
    ),
    Encoder(
        "rav1e", "av1", "librav1e", _speeds("-speed", *range(11)),
        {"fast": "10", "medium": "8", "slow": "6"},
        _RAV1E_QP, _RAV1E_QP,
        ("-pix_fmt", "yuv420p", "-rav1e-params", "threads=1"),
    ),
)  # fmt: skip
ENCODERS: dict[str, Encoder] = {one.name: one for one in _ALL}
