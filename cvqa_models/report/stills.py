"""Still pictures of videos for a page: one frame, small."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cvqa_models.corpus import ffmpeg

WIDTH, HEIGHT = 480, 360
SECONDS = (2, 0)  # late enough for most fades; a shorter video shows its start


def still(path: Path, second: float | None = None) -> bytes | None:
    """Return a frame of a video as the content of a PNG file, within `WIDTH` and `HEIGHT`; None if FFmpeg gets none.

    It is only to look at: FFmpeg decodes it, even if another decoder was used for the scores, and HDR is shown as
    stored.

    Args:
        path: The video.
        second: Time of the frame, by default two seconds from the start. A shorter video gives its first frame.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "still.png"
        fitted = f"scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=decrease:flags=area"
        for start in SECONDS if second is None else (second, 0):
            place: list[str | Path] = ["-ss", str(start), "-i", path, *ffmpeg.LARGEST_VIDEO]
            try:
                ffmpeg.run([*place, "-frames:v", "1", "-vf", fitted, target])
            except ValueError:
                continue
            if target.is_file():
                return target.read_bytes()
    return None
