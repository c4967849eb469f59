"""1080p clips for the benchmarks, made by the ffmpeg program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

SYNTHETIC = ["-f", "lavfi", "-i", "mandelbrot=size=1280x720:rate=30,noise=alls=6:allf=t"]


def hd_clip(path: Path, seconds: int, source: str | None = None, group: int = 250) -> Path:
    """Encode `seconds` at 30 frames a second as H.264 of 2 Mb/s, from a looped video or a synthetic picture.

    Args:
        path: Where to.
        seconds: Length.
        source: Video to loop.
        group: Frames from a key frame to the next, at most; 250 is what x264 does by itself.
    """
    picture = ["-stream_loop", "-1", "-i", source] if source else SYNTHETIC
    shape = ["-vf", "scale=1920:1080:flags=bicubic,fps=30,format=yuv420p", "-t", str(seconds), "-an"]
    _ffmpeg(*picture, *shape, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "2M", "-g", group, path)
    return path


def repeated(video: Path, path: Path, times: int) -> Path:
    """Write a video several times in a row, as it is encoded."""
    _ffmpeg("-stream_loop", times - 1, "-i", video, "-c", "copy", path)
    return path


def lossless_copy(video: Path, path: Path) -> Path:
    """Encode the pictures of `video` with x265, lossless."""
    _ffmpeg("-i", video, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "lossless=1:log-level=error", path)
    return path


def _ffmpeg(*words: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, words)], check=True)
