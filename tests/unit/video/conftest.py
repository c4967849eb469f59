"""Small videos made on the spot by the ffmpeg program."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., bytes]:
    """Run the ffmpeg program with the given words; return its standard output."""

    def run(*words: object) -> bytes:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-threads", "1", *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return run


@pytest.fixture(scope="session")
def make(ffmpeg: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Encode a moving test picture: make(name, *encoder options, frames=, size=, rate=)."""
    folder = tmp_path_factory.mktemp("videos")

    def encode(name: str, *options: object, frames: int = 40, size: str = "192x108", rate: object = 20) -> Path:
        path = folder / name
        if not path.exists():
            picture = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}"]
            ffmpeg(*picture, "-frames:v", frames, *(options or ["-c:v", "libx264", "-pix_fmt", "yuv420p"]), path)
        return path

    return encode
