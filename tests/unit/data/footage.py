"""Tiny real videos for tests of the data side."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from cvqa_models.types import VideoRecord


def make_videos(folder: Path, count: int) -> list[VideoRecord]:
    """Encode `count` videos of two seconds, 64x48, no two alike, and return them as one group."""
    folder.mkdir()
    for number in range(count):
        with av.open(str(folder / f"v{number}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for frame in range(20):
                picture = np.full((48, 64, 3), (frame * 5 + number * 9) % 256, np.uint8)
                picture[:, : 8 * (number + 1)] = 255 - picture[0, 0]
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
    return [VideoRecord(f"v{n}", str(folder / f"v{n}.mp4"), "g", "r", mos=float(n)) for n in range(count)]
