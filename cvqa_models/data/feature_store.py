"""Features and score maps on disk: one file per branch and video, complete or not there."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cvqa_models.data.atomic import write_bytes
from cvqa_models.data.files import sha256
from cvqa_models.types import Prediction

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.DOTALL)
LONGEST_NAME = 200  # file systems allow 255 bytes, and the suffix adds some
_DIGEST = "sha256"  # of everything else in the file

log = logging.getLogger(__name__)


class UnusableError(ValueError):
    """Features that must be made anew.

    Attributes:
        reason: Why, without what to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; run `cvqa extract` again.")
        self.reason = reason


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
        """Return whether there is a file for the features.

        Raises:
            ValueError: If something else is in its place.
        """
        path = self.path(cache_key, video_id)
        if path.is_file():
            return True
        if os.path.lexists(path):
            what = "a folder" if path.is_dir() else "no file"
            raise ValueError(f"'{path}' is {what}; remove it and run `cvqa extract` again.")
        return False

    def complete(self, cache_key: str, video_ids: Iterable[str]) -> bool:
        """Return whether there are files for the features of all these videos.

        Raises:
            ValueError: If something else is in the place of one.
        """
        there = [self.has(cache_key, video_id) for video_id in video_ids]
        return all(there)

    def usable(self, cache_key: str, video_id: str, video: str | None = None, reference: str | None = None) -> bool:
        """Return whether `read` gives features; those that must be made anew are named in the log.

        Raises:
            ValueError: If making them anew would be wrong, since other reading settings made them, or is impossible.
        """
        try:
            self.read(cache_key, video_id, video, reference)
        except FileNotFoundError:
            return False
        except UnusableError as error:
            log.warning("%s; they are made anew.", error.reason)
            return False
        return True

    def read(self, cache_key: str, video_id: str, video: str | None = None, reference: str | None = None) -> Tensor:
        """Return the tokens of a video, float32, shape (N, D), all finite.

        A file that has not changed since is told by its size and time; where the time differs its digest is compared,
        and if that is the same the new time is kept.

        Args:
            cache_key: Key of the branch.
            video_id: The video.
            video: Its file; where it is on this machine it must be the one that was read.
            reference: Its source, for branches that see it; likewise.

        Raises:
            FileNotFoundError: If the features are not there.
            UnusableError: If they are damaged or not finite, or were made from another file.
            ValueError: If they were made with other reading settings.
        """
        path = self.path(cache_key, video_id)
        self.has(cache_key, video_id)
        metadata, tokens = _load(path)
        # Measured values have no reading settings.
        if metadata.get("reading", self.reading) != self.reading:
            raise ValueError(
                f"'{path}' was read with {metadata['reading']!r}, this run reads with {self.reading!r}; set the "
                "decoder to match, or extract into another store."
            )
        _expect_sources(path, metadata, {"video": video, "reference": reference})
        return tokens

    def metadata(self, cache_key: str, video_id: str) -> dict[str, object]:
        """Return what was written beside the tokens: branch, weights digest, reading settings, digest of the video.

        Raises:
            FileNotFoundError: If the features are not there.
            UnusableError: If they are damaged or not finite.
        """
        self.has(cache_key, video_id)
        return _load(self.path(cache_key, video_id))[0]

    def write(
        self, cache_key: str, video_id: str, tokens: Tensor, metadata: Mapping[str, object], changed: int | None = None
    ) -> None:
        """Store tokens of shape (N, D) as float32 with `metadata`, which must be plain values.

        Equal input gives equal bytes.

        Args:
            cache_key: Key of the branch.
            video_id: The video.
            tokens: Its features.
            metadata: How they were made; `video_sha256` and `reference_sha256` are compared when they are read.
            changed: `time_of_change` of what they were made from, which is kept as the time of the file.

        Raises:
            ValueError: If the tokens are not finite or of another shape, or the store cannot be written.
        """
        if tokens.ndim != 2 or not torch.isfinite(tokens).all():
            raise ValueError(
                f"Features {cache_key!r} of {video_id!r} have shape {tuple(tokens.shape)} or values that are not "
                "finite; expected finite (N, D)."
            )
        tokens = tokens.detach().to("cpu", torch.float32).contiguous()
        about = json.loads(json.dumps({**metadata, "video_id": video_id}))
        # One entry: the format keeps several in no fixed order.
        header = {"cvqa": json.dumps({**about, _DIGEST: _digest(about, tokens)}, sort_keys=True)}
        path = self.path(cache_key, video_id)
        write_bytes(path, save({"tokens": tokens}, header))
        if changed is not None:
            _keep_time(path, changed)


def time_of_change(*files: str | Path | None) -> int:
    """Return when the last of some files was changed, renamed or put in place, in nanoseconds; 0 where there is none.

    The system sets this time, and no copying tool sets it back.
    """
    there = [Path(file) for file in files if file is not None and Path(file).is_file()]
    return max((file.stat().st_ctime_ns for file in there), default=0)


def _load(path: Path) -> tuple[dict[str, object], Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            about, tokens = json.loads(file.metadata()["cvqa"]), file.get_tensor("tokens")
        written = about.pop(_DIGEST, None)  # files of older versions have none
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There are no features '{path}'; run `cvqa extract` with the same configuration."
        ) from error
    except OSError as error:
        raise ValueError(
            f"'{path}' cannot be read ({error.strerror or error}); check its permissions and the disk."
        ) from error
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise UnusableError(f"'{path}' is damaged or no feature file") from error
    if tokens.dtype != torch.float32 or tokens.ndim != 2:
        raise UnusableError(f"'{path}' holds {tokens.dtype} of shape {tuple(tokens.shape)} instead of float32 (N, D)")
    if written is not None and written != _digest(about, tokens):
        raise UnusableError(f"'{path}' is damaged (its digest does not fit its content)")
    if not torch.isfinite(tokens).all():
        raise UnusableError(f"'{path}' holds values that are not finite")
    return about, tokens


def _digest(about: Mapping[str, object], tokens: Tensor) -> str:
    digest = hashlib.sha256(json.dumps([about, list(tokens.shape)], sort_keys=True).encode())
    digest.update(tokens.numpy().tobytes())
    return digest.hexdigest()


def _expect_sources(path: Path, about: Mapping[str, object], files: Mapping[str, str | None]) -> None:
    """Raise an `UnusableError` if one of the files, where it is on this machine, is not what the features saw."""
    there = {
        kind: Path(file)
        for kind, file in files.items()
        if file is not None and f"{kind}_sha256" in about and Path(file).is_file()
    }
    if not there:
        return
    changed = time_of_change(*there.values())
    size = there["video"].stat().st_size if "video" in there else about.get("video_bytes")
    if path.stat().st_mtime_ns == changed and size == about.get("video_bytes"):
        return
    for kind, file in there.items():
        other_size = kind == "video" and size != about.get("video_bytes", size)
        if other_size or _sha256(file, time_of_change(file), file.stat().st_size) != about[f"{kind}_sha256"]:
            raise UnusableError(f"'{path}' was made from another file than '{file}' is now")
    _keep_time(path, changed)


@functools.lru_cache(maxsize=1 << 16)
def _sha256(file: Path, changed: int, size: int) -> str:
    """Return the digest of a file; its time and size are there to tell it from its successors."""
    return sha256(file)


def _keep_time(path: Path, changed: int) -> None:
    # The time is a cheap first look and no more: a store that may not be written is read all the same.
    with contextlib.suppress(OSError):
        os.utime(path, ns=(changed, changed))


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
