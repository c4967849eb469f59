"""Make sources as they are in practice: noisy, soft, dark, with bars, or already compressed before they are encoded.

A model of compression damage must distinguish the damage that an encoder adds from faults of its source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """How a source was made: FFmpeg filters before and after an optional lossy encode.

    Attributes:
        before: Filters of the scene: optics, sensor and editing.
        encoder: Name of the encoder that compressed the source; empty for none.
        speed: Speed of that encoder.
        crf: Constant quality of that encode.
        scale: Size at which the source was filmed and encoded, as a share of the picture's size.
        after: Filters of the decoded source, after it is scaled back to full size.
    """

    before: tuple[str, ...] = ()
    encoder: str = ""
    speed: str = ""
    crf: float = 0.0
    scale: float = 1.0
    after: tuple[str, ...] = ()


def random_camera(rng: np.random.Generator, frames: int) -> Camera:
    """Return a random camera: three of ten leave the scene as it is, four of ten compress it, two of ten enlarge it.

    Args:
        rng: Generator of the draws.
        frames: Length of the scene, for fades.
    """
    if rng.random() < 0.3:
        return Camera()
    before = tuple(_filters(rng, frames))
    if rng.random() < 0.4:
        return Camera(before, scale=float(rng.choice([1.0, rng.uniform(0.33, 0.8)], p=(0.7, 0.3))))
    encoder, speed, low, high = _LOSSY[int(rng.choice(len(_LOSSY), p=(0.5, 0.25, 0.15, 0.1)))]
    scale = float(rng.choice([1.0, rng.uniform(0.33, 0.95), rng.uniform(1.1, 1.8)], p=(0.5, 0.35, 0.15)))
    after = []
    if rng.random() < 0.25:
        after.append(f"unsharp=5:5:{rng.uniform(0.2, 1.2):.2f}")
    if rng.random() < 0.15:
        after.append(f"noise=c0s={rng.integers(2, 9)}:c0f=t:c0_seed={rng.integers(1 << 30)}")
    return Camera(before, encoder, speed, round(float(rng.uniform(low, high)), 1), scale, tuple(after))


_LOSSY = (
    ("x264", "veryfast", 18, 34),
    ("x264", "medium", 18, 34),
    ("vp9", "realtime8", 25, 48),
    ("x265", "superfast", 18, 34),
)


def _filters(rng: np.random.Generator, frames: int) -> list[str]:
    """Return filters from the lens to the editor; chance decides which are there."""
    chosen: list[str] = []

    def perhaps(chance: float, text: str) -> None:
        if rng.random() < chance:
            chosen.append(text)

    perhaps(0.1, "tmix=frames=3")
    perhaps(0.25, f"gblur=sigma={rng.uniform(0.3, 1.2):.2f}")
    perhaps(0.25, f"eq=contrast={rng.uniform(0.5, 1.2):.2f}:brightness={rng.uniform(-0.2, 0.1):.2f}")
    perhaps(0.04, f"fade=out:s=0:n={frames + 10}")
    perhaps(0.25, f"noise=c0s={round(2 * 5 ** rng.uniform(0, 1))}:c0f=t+u:c0_seed={rng.integers(1 << 30)}")
    perhaps(0.15, f"gblur=sigma={rng.uniform(0.3, 0.7):.2f}")
    perhaps(0.1, "hqdn3d")
    perhaps(0.15, f"unsharp=5:5:{rng.uniform(0.3, 1.5):.2f}")
    perhaps(0.04, "shuffleframes=0 0")  # every second frame repeats the one before
    perhaps(0.08, f"drawbox=w=iw*{rng.uniform(0.05, 0.3):.2f}:c=black:t=fill")
    perhaps(0.06, f"drawbox=h=ih*{rng.uniform(0.05, 0.2):.2f}:c=black:t=fill")
    return chosen
