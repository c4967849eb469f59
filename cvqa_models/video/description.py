"""FFmpeg's own text about a stream, which tells what PyAV has no attribute for."""

from __future__ import annotations

import re

import av
from av.container import InputContainer
from av.video.stream import VideoStream

_DOLBY = re.compile(r"DOVI configuration record:.*?profile: (\d+).*?compatibility id: (\d+)")


def stream_text(container: InputContainer, stream: VideoStream) -> str:
    """Return what the ffmpeg program prints of one stream."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # below it FFmpeg makes no text
    try:
        text: str = container.dumps_format()  # type: ignore[attr-defined]
    finally:
        av.logging.set_level(level)
    found = re.search(rf"^  Stream #0:{stream.index}\b.*?(?=^  Stream #|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def dolby_vision(path: str, text: str, hdr: str) -> list[str]:
    """Return the note that names Dolby Vision, if the stream has it.

    Raises:
        ValueError: If its base layer is no picture of its own.
    """
    found = _DOLBY.search(text)
    if found is None:
        return []
    profile, compatible = map(int, found.groups())
    if not hdr and compatible in {0, 1, 4}:
        raise ValueError(
            f"'{path}' is Dolby Vision profile {profile}, whose base layer is no picture by itself (IPT colours); "
            "export it as SDR or HDR10 first."
        )
    return [f"Dolby Vision profile {profile}, of which the base layer is seen"]
