"""Find and run the FFmpeg program, and read its messages and logs. No other module of `corpus` starts it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_COUNT = re.compile(r"Input stream .*?(\d+) frames decoded; (\d+) decode errors")
_RATE = re.compile(r"config in time_base: \S+, frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r"pts_time:(\S+) .*?fmt:(\S+) .*? s:(\d+)x(\d+) ")
_TRANSFER = re.compile(r"color_trc:(\S+)")
_OWN_WORDS = re.compile(r"^(?!\[(?:vf|vost|vist|fc|out)#)(?:(?:\[[^\]]*\] )*\[(?:error|fatal)\] |(?!\[))(.*\S)")
_TAGS_IN_FRONT = re.compile(r"^(?:\[[^\]]*\] ?)+")


@dataclass(frozen=True)
class VideoFacts:
    """The facts about a video that a full decode gives.

    Attributes:
        width: Columns of the decoded picture, after rotation.
        height: Rows of the decoded picture.
        pixel_format: FFmpeg's name, as in `yuv420p10le`.
        transfer: Transfer characteristic, as in `bt709`, `smpte2084`, `unknown`.
        rate: Nominal frames per second; 0 if the stream has none.
        times: Time of every decoded frame in seconds.
    """

    width: int
    height: int
    pixel_format: str
    transfer: str
    rate: Fraction
    times: tuple[float, ...]


@functools.cache
def executable() -> str:
    """Return the path of the FFmpeg program that the package imageio-ffmpeg brings.

    Raises:
        FileNotFoundError: If the package has no program for this machine.
    """
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise FileNotFoundError(
            "No FFmpeg program was found; install one with `pip install imageio-ffmpeg` or set IMAGEIO_FFMPEG_EXE."
        ) from error


LARGEST_VIDEO = ("-an", "-sn", "-dn")  # by default the program takes the largest video stream, as our reader does


@functools.cache
def version() -> str:
    """Return the version that the program reports, as in `9.0.2`."""
    first_line = _invoke([executable(), "-version"]).stdout.decode().splitlines()[0]
    return first_line.split()[2]


@functools.cache
def encoder_names() -> frozenset[str]:
    """Return the names of the encoders that the program was built with."""
    listing = _invoke([executable(), "-hide_banner", "-encoders"]).stdout.decode()
    return frozenset(line.split()[1] for line in listing.splitlines() if line.startswith(" V"))


def run(arguments: Sequence[str | Path]) -> str:
    """Run FFmpeg with `arguments`, without its log, and return what it wrote to standard output.

    Raises:
        ValueError: With FFmpeg's own message if it fails.
    """
    return _checked(["-v", "level+error", "-nostats", *arguments]).stdout.decode(errors="replace")


def write(arguments: Sequence[str | Path], target: Path, frames: Iterable[bytes] = ()) -> list[int]:
    """Write one video stream to `target` and return the bytes of each of its packets, in stream order.

    Args:
        arguments: Inputs, filters and encoder options.
        target: File to write; its suffix chooses the container.
        frames: Raw pictures for `-i pipe:0`, sent one by one.

    Raises:
        ValueError: With FFmpeg's own message if it fails, or if no frame was written.
    """
    sizes = target.with_suffix(".sizes")
    log: list[str | Path] = ["-stats_mux_pre:v", sizes, "-stats_mux_pre_fmt:v", "{size}"]
    # Without this flag the same video gives a different file each time, because Matroska's ids are random.
    same = ["-fflags", "+bitexact"] if target.suffix == ".mkv" else []
    _checked(["-v", "level+error", "-nostats", *arguments, *log, *same, target], frames)
    packets = [int(line) for line in sizes.read_text().split()]
    sizes.unlink()
    if not packets:
        raise ValueError(f"No frame was written to '{target.name}'; check that the source has frames.")
    return packets


def decode_counts(arguments: Sequence[str | Path], folder: Path) -> list[int]:
    """Run FFmpeg inside `folder` and return the number of frames that it decoded from each input.

    Raises:
        ValueError: With FFmpeg's own message if it fails, or if a frame was damaged.
    """
    log = _checked(["-v", "level+verbose", "-nostats", *arguments], folder=folder).stderr.decode(errors="replace")
    counts = [(int(frames), int(errors)) for frames, errors in _COUNT.findall(log)]
    if any(errors for _, errors in counts):
        raise ValueError(f"{sum(errors for _, errors in counts)} frames could not be decoded; make the file again.")
    return [frames for frames, _ in counts]


def frame_hash(path: Path) -> str:
    """Return the MD5 of all decoded frames of a file in its own pixel format."""
    return run(["-i", path, "-map", "0:v:0", "-c:v", "rawvideo", "-f", "streamhash", "-hash", "md5", "-"]).strip()


def inspect(path: Path) -> VideoFacts:
    """Decode a file once and return its facts.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it holds no video, or no frame of it can be decoded.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The video '{path}' does not exist; check the path.")
    showinfo: list[str | Path] = ["-i", path, *LARGEST_VIDEO, "-vf", "showinfo=checksum=0", "-fps_mode", "passthrough"]
    try:
        done = _checked(["-v", "level+info", "-nostats", *showinfo, "-f", "null", "-"])
    except ValueError as error:
        # If there is no stream to write, the program only says that it cannot open its output.
        reason = "it holds no video stream" if "Error opening output" in str(error) else error
        raise ValueError(f"'{path}' cannot be read as video ({reason}); replace or remove it.") from error
    log = done.stderr.decode(errors="replace")
    frames = _FRAME.findall(log)
    if not frames:
        raise ValueError(f"'{path}' yields no video frame; replace or remove it.")
    rate, transfer = _RATE.search(log), _TRANSFER.search(log)
    _, pixel_format, width, height = frames[0]
    return VideoFacts(
        width=int(width),
        height=int(height),
        pixel_format=pixel_format,
        transfer=transfer[1] if transfer else "unknown",
        rate=Fraction(int(rate[1]), max(int(rate[2]), 1)) if rate else Fraction(0),
        times=tuple(float(time) if time != "NOPTS" else index for index, (time, *_) in enumerate(frames)),
    )


def _checked(
    arguments: Sequence[str | Path], frames: Iterable[bytes] = (), folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    # A full path cannot be taken for an option, as `-x.mp4` would be, or for a protocol, as `clip:12.mp4` would be.
    words = [str(word.absolute()) if isinstance(word, Path) else word for word in arguments]
    done = _invoke([executable(), "-hide_banner", *([] if frames else ["-nostdin"]), "-y", *words], frames, folder)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ValueError(f"FFmpeg was ended by {name}, as when memory runs out; try again with fewer workers.")
    if done.returncode:
        message = _message(done.stderr.decode(errors="replace"))
        raise ValueError(message or f"FFmpeg ended with code {done.returncode} and without a message")
    return done


def _invoke(
    command: list[str], frames: Iterable[bytes] = (), folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    # SVT-AV1 ignores FFmpeg's log level and writes its banner, unless it is set to errors only. Output goes to files,
    # so that
    # a full pipe cannot stop the program while it is being fed.
    environment = {**os.environ, "SVT_LOG": "1"}
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=environment, cwd=folder
        )
        with process, _listed(process):
            assert process.stdin
            with contextlib.suppress(BrokenPipeError):  # a program that dies early gives the reason on stderr
                for frame in frames:
                    process.stdin.write(frame)
                process.stdin.close()
            process.wait()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, stdout.read(), stderr.read())


_running: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()


@contextlib.contextmanager
def ended() -> Iterator[None]:
    """End every running program, and any that starts meanwhile, so that the threads that wait for them end too."""
    _ending.set()
    try:
        for process in list(_running):
            process.kill()
        yield
    finally:
        _ending.clear()


@contextlib.contextmanager
def _listed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Register a program for `ended`, and end it if this thread is stopped while it waits."""
    _running.add(process)
    try:
        if _ending.is_set():
            process.kill()
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        _running.discard(process)


def _message(log: str) -> str:
    """Return the first lines of a log that come from the part that failed, not from the program's reaction to it."""
    lines = log.splitlines()
    own = [found[1] for line in lines if (found := _OWN_WORDS.match(line))]
    # Some libraries write no message; then only the program's reaction is left.
    return " / ".join(own[:2] or [_TAGS_IN_FRONT.sub("", line) for line in lines[:1]])
