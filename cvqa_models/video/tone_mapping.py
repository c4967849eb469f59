"""Turn HDR pictures into SDR by the tone curve of ITU-R BT.2390, as a table for FFmpeg's filter `lut3d`."""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

WHITE = 203.0  # cd/m², HDR's reference white (BT.2408), which becomes SDR's white
HLG_PEAK = 1000.0  # cd/m², peak of the display for which HLG's system gamma is 1.2 (BT.2100)
GRID = 49  # points per axis; between them the error is below one level of eight bits

Floats = npt.NDArray[np.float64]

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_TO_BT709 = np.array(  # linear BT.2020 to linear BT.709 (BT.2087)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def to_sdr(code: Floats, hdr: str, peak: float) -> Floats:
    """Return SDR R'G'B' of BT.709, from 0 to 1, for HDR R'G'B' of BT.2020, shape (..., 3).

    Args:
        code: Values from 0 to 1 in the transfer function `hdr`.
        hdr: `PQ` or `HLG`.
        peak: Luminance of the mastering display in cd/m².
    """
    if hdr == "HLG":
        code, peak = _pq(_hlg_light(code)), HLG_PEAK
    light = _pq_light(_tone_curve(code, peak)) / WHITE
    shown: Floats = np.clip(light @ _TO_BT709.T, 0, 1) ** (1 / 2.4)  # BT.1886
    return shown


def _tone_curve(code: Floats, peak: float) -> Floats:
    """Return PQ values mapped from a display of `peak` to a display of `WHITE` cd/m² (BT.2390, section 5.4.1)."""
    top = _pq(np.array(max(peak, WHITE)))
    most = _pq(np.array(WHITE)) / top
    knee = 1.5 * most - 0.5
    value = np.clip(code / top, 0, 1)
    t = np.clip((value - knee) / (1 - knee), 0, 1) if knee < 1 else np.zeros_like(value)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return np.where(value < knee, value, bent) * top


def _pq(light: Floats) -> Floats:
    """Return PQ values of luminances in cd/m² (SMPTE ST 2084)."""
    y = np.clip(light / 10000, 0, 1) ** _M1
    return ((_C1 + _C2 * y) / (1 + _C3 * y)) ** _M2


def _pq_light(code: Floats) -> Floats:
    """Return luminances in cd/m² of PQ values."""
    root = code ** (1 / _M2)
    return 10000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def _hlg_light(code: Floats) -> Floats:
    """Return the luminances in cd/m² with which a display of `HLG_PEAK` shows HLG values (BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    shown: Floats = HLG_PEAK * luminance[..., None] ** 0.2 * scene
    return shown


@functools.cache
def table(hdr: str, peak: float) -> Path:
    """Return a file with the table for `lut3d`; it is removed when the program ends."""
    axis = np.linspace(0, 1, GRID)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red changes fastest in the file
    values = to_sdr(np.stack([red, green, blue], -1).reshape(-1, 3), hdr, peak)
    handle, name = tempfile.mkstemp(suffix=".cube")
    path, owner = Path(name), os.getpid()
    with os.fdopen(handle, "w") as file:
        file.write(f"LUT_3D_SIZE {GRID}\n")
        np.savetxt(file, values, fmt="%.6f")
    atexit.register(lambda: path.unlink(missing_ok=True) if os.getpid() == owner else None)
    return path
