"""Draws docs/pictures/serve.png: the page of `cvqa serve`, with two encodes on it, in Chromium.

    python docs/pictures/serve.py

The encodes are made here; their fourth and fifth seconds are compressed too far.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.chromium import Browser  # noqa: E402 - it lies in the clone
from tests.unit.serve.server import Server  # noqa: E402

SCENE = "mandelbrot=size=640x360:rate=25:end_scale=0.02,noise=alls=4:allf=t"


def encode(folder: Path, name: str, *crf: int) -> Path:
    """Write one video of parts of a second, each with its own CRF."""
    parts = []
    for number, quality in enumerate(crf):
        part = folder / f"{name}-{number}.ts"
        cut = ["-ss", str(number), "-t", "1", "-c:v", "libx264", "-crf", str(quality), "-pix_fmt", "yuv420p"]
        ffmpeg("-f", "lavfi", "-i", SCENE, *cut, part)
        parts.append(part)
    ffmpeg("-i", "concat:" + "|".join(map(str, parts)), "-c", "copy", folder / f"{name}.mp4")
    return folder / f"{name}.mp4"


def ffmpeg(*words: object) -> None:
    """Run FFmpeg."""
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, words)], check=True)


def main() -> None:
    """Draw the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = [encode(folder, "x264-fast", 24, 25, 26, 44, 46, 27, 25, 24), encode(folder, "x264-slow", *[28] * 8)]
        server, browser = Server(folder), Browser(folder / "profile")
        try:
            browser.open(server.base, 1100, 820)
            browser.drop("#drop", *films)
            browser.until("document.querySelectorAll('figure img').length === 4")
            browser.run("point(4.5, 8)")
            browser.picture(ROOT / "docs/pictures/serve.png")
        finally:
            browser.end()
            server.stop()


if __name__ == "__main__":
    main()
