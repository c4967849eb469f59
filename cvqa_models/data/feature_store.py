"""Features and score maps on disk: one file per branch and video, complete or not there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cvqa_models.data.atomic import write_bytes
from cvqa_models.types import Prediction

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.DOTALL)
LONGEST_NAME = 200  # file systems allow 255 bytes, and a temporary name adds some


class FeatureStore:
    """Features in `<root>/<cache_key>/<video_id>.safetensors`.

    Args:
        root: Folder of the store; made by the first write.
        reading: How videos are read (`ReadOptions.key`); features made with other reading settings are refused.
    """

    def __init__(self, root: str | Path, reading: str) -> None:
        self.root = Path(root)
        self.reading = reading

    def path(self, cache_key: str, video_id: str) -> Path:
        """Return the file of a video's features."""
        return self.root / file_name(cache_key) / f"{file_name(video_id)}.safetensors"

    def has(self, cache_key: str, video_id: str) -> bool:
        """Return whether the features are there."""
        return self.path(cache_key, video_id).is_file()

    def complete(self, cache_key: str, video_ids: Iterable[str]) -> bool:
        """Return whether the features of all these videos are there."""
        return all(self.has(cache_key, video_id) for video_id in video_ids)

    def read(self, cache_key: str, video_id: str, video: str | None = None) -> Tensor:
        """Return the tokens of a video, float32, shape (N, D).

        Args:
            cache_key: Key of the branch.
            video_id: The video.
            video: Its file; where it is on this machine its size must be the one that was read.

        Raises:
            FileNotFoundError: If the features are not there.
            ValueError: If the file is damaged, was made with other reading settings, or from another file.
        """
        path = self.path(cache_key, video_id)
        metadata, tokens = _load(path)
        # Measured values have no reading settings.
        if metadata.get("reading", self.reading) != self.reading:
            raise ValueError(
                f"'{path}' was read with {metadata['reading']!r}, this run reads with {self.reading!r}; set the "
                "decoder to match, or extract into another store."
            )
        if video is not None and "video_bytes" in metadata and Path(video).is_file():
            size = Path(video).stat().st_size
            if size != metadata["video_bytes"]:
                raise ValueError(
                    f"'{path}' was made from a file of {metadata['video_bytes']} bytes, but '{video}' has {size}; "
                    "remove the features of that video and extract again."
                )
        return tokens

    def metadata(self, cache_key: str, video_id: str) -> dict[str, object]:
        """Return what was written beside the tokens: branch, weights digest, reading settings, digest of the video."""
        return _load(self.path(cache_key, video_id))[0]

    def write(self, cache_key: str, video_id: str, tokens: Tensor, metadata: Mapping[str, object]) -> None:
        """Store tokens of shape (N, D) as float32 with `metadata`, which must be plain values.

        Equal input gives equal bytes.

        Raises:
            ValueError: If the tokens are not finite or of another shape, or the store cannot be written.
        """
        if tokens.ndim != 2 or not torch.isfinite(tokens).all():
            raise ValueError(
                f"Features {cache_key!r} of {video_id!r} have shape {tuple(tokens.shape)} or values that are not "
                "finite; expected finite (N, D)."
            )
        # One entry: the format keeps several in no fixed order.
        header = {"cvqa": json.dumps({**metadata, "video_id": video_id}, sort_keys=True)}
        content = save({"tokens": tokens.detach().to("cpu", torch.float32).contiguous()}, header)
        write_bytes(self.path(cache_key, video_id), content)


def _load(path: Path) -> tuple[dict[str, object], Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"There are no features '{path}'; run `cvqa extract` with the same configuration.")
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["cvqa"]), file.get_tensor("tokens")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is damaged or no feature file; remove it and run `cvqa extract` again.") from error


def write_maps(folder: Path, prediction: Prediction) -> None:
    """Write the score maps of a video as `<folder>/<video_id>.safetensors`: name -> float32, time first.

    Raises:
        ValueError: If the system has no score maps, or the folder cannot be written.
    """
    if not prediction.maps:
        raise ValueError(
            f"{prediction.video_id!r} was scored by a system without score maps; leave `--maps` out, or take one that "
            "scores moments or positions, such as COVER, VSFA or the level scorers."
        )
    content = save({name: values.contiguous() for name, values in prediction.maps.items()})
    write_bytes(folder / f"{file_name(prediction.video_id)}.safetensors", content)


def file_name(name: str) -> str:
    """Return `name` as a file may be called on any system, one file name for each name, at most 200 bytes.

    It is quoted as in a URL, so that no name leaves its folder; so is what would hide a file (a dot at its start), what
    Windows drops (a dot or space at its end), and what Windows keeps for devices. A long name ends in a digest.
    """
    quoted = quote(name, safe=" ()+,=@#!", errors="surrogatepass") or "%"
    if quoted.startswith(".") or _DEVICE.fullmatch(quoted):
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    if quoted.endswith((".", " ")):
        quoted = f"{quoted[:-1]}%{ord(quoted[-1]):02X}"
    if len(quoted) <= LONGEST_NAME:
        return quoted
    # Quoting never writes `%-`, so a long name is never taken for a short one.
    return f"{quoted[: LONGEST_NAME - 18]}%-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}"
