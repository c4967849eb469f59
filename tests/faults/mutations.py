"""Files damaged on purpose, and what reading them comes to: the verdict of `check`, that of `score`, ffmpeg's own."""

from __future__ import annotations

import random
import signal
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from cvqa_models.video.frame_rules import KeyFrames, UniformClips
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.reader import check_video, read_views
from cvqa_models.video.view import View

X264 = ["-c:v", "libx264", "-preset", "veryfast", "-g", "10"]
PAIRS = {
    "h264.mp4": X264,
    "h264.mkv": X264,
    "h264.ts": X264,
    "h264.avi": X264,
    "h264.flv": X264,
    "hevc.mp4": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=0:keyint=10"],
    "hevc.mkv": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=0:keyint=10"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-b:v", "80k"],
    "av1.mp4": ["-c:v", "libsvtav1", "-preset", "12"],
    "ffv1.mkv": ["-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-slices", "4"],
    "mjpeg.avi": ["-c:v", "mjpeg", "-q:v", "4"],
    "mpeg2.mpg": ["-c:v", "mpeg2video", "-bf", "2", "-g", "9"],
}
KINDS = ("flip", "zero", "cut", "insert")
SECONDS = 60
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@dataclass(frozen=True)
class Outcome:
    """What reading one file came to.

    Attributes:
        named: What `check` says of it, empty if nothing.
        refused: What `score` says of it, empty if it takes the file.
        escaped: Traceback of anything else than a sentence, empty if there was none.
        complaint: What `ffmpeg -err_detect explode` says, empty if nothing.
        megabytes: Most memory that the process held meanwhile.
    """

    named: str
    refused: str
    escaped: str
    complaint: str
    megabytes: int


def make_sources(folder: Path) -> None:
    """Write a second of 64x48 pixels in every pair of codec and container."""
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1,noise=alls=8:allf=t", "-pix_fmt", "yuv420p"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, codec in PAIRS.items():
        command = [FFMPEG, "-v", "error", "-y", *picture, *codec, "-threads", "1", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)


def damaged(folder: Path, count: int) -> Iterator[Path]:
    """Yield `count` files, each damaged in a way that its number alone decides; the sources lie in `folder`."""
    for number in range(count):
        pair = list(PAIRS)[number % len(PAIRS)]
        whole = (folder / pair).read_bytes()
        path = folder / f"{number:04}_{pair}"
        path.write_bytes(mutated(whole, KINDS[number // len(PAIRS) % len(KINDS)], random.Random(number)))
        yield path


def mutated(whole: bytes, kind: str, drawn: random.Random) -> bytes:
    """Return a damaged copy: bits flipped, a run of zeros, an end missing, or bytes put in."""
    data = bytearray(whole)
    place = drawn.randrange(len(data))
    if kind == "flip":
        for _ in range(drawn.choice((1, 4, 16))):
            data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
    elif kind == "zero":
        run = min(drawn.choice((8, 64, 256, 1024)), len(data) - place)
        data[place : place + run] = bytes(run)
    elif kind == "cut":
        del data[place:]
    else:
        data[place:place] = drawn.randbytes(drawn.choice((1, 16, 188, 512)))
    return bytes(data)


def judge(path: Path) -> Outcome:
    """Read a file as `check` and as `score` do; over a minute the process ends with SIGALRM."""
    signal.alarm(SECONDS)
    Path("/proc/self/clear_refs").write_text("5")  # forget the most memory held so far
    views = [View(UniformClips(8, 2), Resize(32, 32)), View(KeyFrames(1), Resize(32, 32))]
    named, first = _told(lambda: check_video(path))
    refused, second = _told(lambda: read_views(path, views))
    signal.alarm(0)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    command = [FFMPEG, "-v", "error", "-nostdin", "-err_detect", "explode", "-i", f"file:{path}"]
    said = _complaint([*command, "-map", "0:v:0", "-f", "null", "-"])
    return Outcome(named, refused, first or second, said, int(peak.split()[1]) >> 10)


def _complaint(command: list[str]) -> str:
    # Times that leap by days keep the program's empty output busy for as long, and it tells so in gigabytes.
    limited = [
        "timeout",
        "-s",
        "KILL",
        str(SECONDS),
        "sh",
        "-c",
        '("$@" 2>&1; echo "exit code $?") | head -c 1000000',
        "sh",
    ]
    done = subprocess.run([*limited, *command], capture_output=True, check=False)
    # What the empty output says of times, and how often, is no complaint about the file.
    lines = done.stdout.decode(errors="replace").splitlines()
    harmless = ("[null @", "Last message repeated", "exit code 0", "exit code 141")
    return " | ".join(line for line in lines if not line.strip().startswith(harmless))


def _told(read: object) -> tuple[str, str]:
    try:
        read()  # type: ignore[operator]
    except (ValueError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__, ""
    except Exception:  # what must not be, and is reported as such
        return "", traceback.format_exc()
    return "", ""
