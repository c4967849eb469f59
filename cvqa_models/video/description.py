"""FFmpeg's own text about a stream: it holds facts for which PyAV has no attribute."""

from __future__ import annotations

import re

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from cvqa_models.video.libav_log import at_level

_DOLBY = re.compile(r"DOVI configuration record:.*?profile: (\d+).*?compatibility id: (\d+)")


def stream_text(container: InputContainer, stream: VideoStream) -> str:
    """Return what the ffmpeg program prints of one stream."""
    with at_level(av.logging.INFO):  # at a lower level FFmpeg writes no text
        text: str = container.dumps_format()  # type: ignore[attr-defined]
    found = re.search(rf"^  Stream #0:{stream.index}\b.*?(?=^  Stream #|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def dolby_vision(path: str, text: str, hdr: str) -> list[str]:
    """Return a note that names the Dolby Vision profile, if the stream has one.

    Raises:
        ValueError: If its base layer cannot be shown by itself.
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
