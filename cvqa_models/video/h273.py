"""Names for the numbers of ITU-T H.273, by which streams describe their colours."""

from __future__ import annotations

# The matrices that FFmpeg can convert to RGB.
MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
OTHER_MATRICES = {
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE 2085",
    12: "chroma-derived",
    13: "chroma-derived",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt601-625",
    6: "bt601-525",
    7: "smpte240m",
    9: "bt2020",
    11: "dci-p3",
    12: "display-p3",
}
TRANSFERS = {
    1: "bt709",
    4: "gamma2.2",
    5: "gamma2.8",
    6: "bt601",
    7: "smpte240m",
    8: "linear",
    13: "srgb",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "pq",
    18: "hlg",
}
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
HDR_NAMES = {"smpte2084": "PQ", "arib-std-b67": "HLG"}  # transfer functions, as the ffmpeg program spells them
LIMITED_RANGE, FULL_RANGE = 1, 2  # FFmpeg's numbers; H.273 uses one bit for this
