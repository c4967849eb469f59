"""1080p clips for the benchmarks, made by the ffmpeg program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

SYNTHETIC = ["-f", "lavfi", "-i", "mandelbrot=size=1280x720:rate=30,noise=alls=6:allf=t"]


def hd_clip(path: Path, seconds: int, source: str | None = None) -> Path:
    """Encode `seconds` at 30 frames a second as H.264 of 2 Mb/s, from a looped video or a synthetic picture."""
    picture = ["-stream_loop", "-1", "-i", source] if source else SYNTHETIC
    shape = ["-vf", "scale=1920:1080:flags=bicubic,fps=30,format=yuv420p", "-t", str(seconds), "-an"]
    _ffmpeg(*picture, *shape, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "2M", path)
    return path


def lossless_copy(video: Path, path: Path) -> Path:
    """Encode the pictures of `video` with x265, lossless."""
    _ffmpeg("-i", video, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "lossless=1:log-level=error", path)
    return path


def _ffmpeg(*words: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, words)], check=True)
