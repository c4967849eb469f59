"""Features and score maps on disk: one file per branch and video, complete or absent, until they are packed."""

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

from cvqa_models.data.packed import Pack, UnusableError
from cvqa_models.files import sha256, write_bytes
from cvqa_models.remote import remote
from cvqa_models.types import Prediction

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.DOTALL)
LONGEST_NAME = 200  # file systems allow 255 bytes, and the suffix adds some
_DIGEST = "sha256"  # name of the digest of everything else in the file

log = logging.getLogger(__name__)


class FeatureStore:
    """Features in `<root>/<cache_key>/<video_id>.safetensors`, and in the shards next to them that `cvqa pack` makes.

    If both hold a video, its single file is newer and is read. A process that has the store open while it is packed
    still sees it as before.

    Args:
        root: Folder of the store; made by the first write.
        reading: How videos are read (`ReadOptions.key`); features made with other reading settings are refused.

    Raises:
        ValueError: If `root` is an address.
    """

    def __init__(self, root: str | Path, reading: str) -> None:
        address = remote(root)
        if address is not None:  # shards are mapped into memory, which takes files of this machine
            raise ValueError(
                f"The store '{address}' is in an object store, but features are read from a disk; copy it, as with "
                f"`aws s3 sync {address} FOLDER` or `gcloud storage rsync`, and give the folder."
            )
        self.root = Path(root)
        self.reading = reading
        self._packs: dict[str, Pack] = {}
        self._seen: set[tuple[str, str]] = set()  # packed features whose sources were checked

    def path(self, cache_key: str, video_id: str) -> Path:
        """Return the file of a video's features."""
        return self.root / file_name(cache_key) / f"{file_name(video_id)}.safetensors"

    def has(self, cache_key: str, video_id: str) -> bool:
        """Return whether the features are packed or have a file.

        Raises:
            ValueError: If something other than a file has its name, or a shard is damaged.
        """
        if self._packed(cache_key, video_id) is not None:
            return True
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
            ValueError: If something other than a file has such a name.
        """
        there = [self.has(cache_key, video_id) for video_id in video_ids]
        return all(there)

    def packed(self, cache_key: str, video_ids: Iterable[str]) -> bool:
        """Return whether the features of all these videos are packed.

        Raises:
            ValueError: If a shard is damaged.
        """
        return all(self._packed(cache_key, video_id) is not None for video_id in video_ids)

    def _packed(self, cache_key: str, video_id: str) -> Pack | None:
        """Return the pack of a branch if it holds a video, and no newer file does."""
        pack = self._packs.get(cache_key)
        if pack is None:
            pack = self._packs[cache_key] = Pack(self.root / file_name(cache_key))
        if video_id not in pack.rows:
            return None
        return pack if not pack.loose or self.path(cache_key, video_id).name not in pack.loose else None

    def look(
        self, cache_key: str, video_id: str, video: str | None = None, reference: str | None = None
    ) -> tuple[int, int]:
        """Return the shape of the tokens that `read` gives, with the same errors; packed values are not read.

        These were finite when they were packed, and are compared with their checksum when they are read.
        """
        pack = self._packed(cache_key, video_id)
        if pack is None:
            rows, width = self.read(cache_key, video_id, video, reference).shape
            return rows, width
        shard, row = pack.rows[video_id]
        if (cache_key, video_id) not in self._seen:
            path, about = pack.shards[shard].path, pack.shards[shard].about(row)
            self._expect_reading(path, about)
            changed = _expect_sources(path, about, {"video": video, "reference": reference}, pack.changed(video_id))
            if changed is not None:
                pack.keep_time(video_id, changed)
            self._seen.add((cache_key, video_id))
        return pack.shards[shard].shape

    def keep_times(self) -> None:
        """Store the new times of files whose content has not changed, if the store can be written."""
        for pack in self._packs.values():
            with contextlib.suppress(ValueError):
                pack.write_times()

    def _expect_reading(self, path: Path, about: Mapping[str, object]) -> None:
        # Measured values do not depend on how videos are read.
        if about.get("reading", self.reading) != self.reading:
            raise ValueError(
                f"'{path}' was read with {about['reading']!r}, this run reads with {self.reading!r}; set the "
                "decoder to match, or extract into another store."
            )

    def usable(self, cache_key: str, video_id: str, video: str | None = None, reference: str | None = None) -> bool:
        """Return whether `read` gives features; the log names features that must be computed again.

        Raises:
            ValueError: If they must not be computed again, because they were made with other reading settings, or
                cannot be.
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

        An unchanged file is recognised by its size and time. If the time differs, its digest is compared; if that is
        equal, the new time is stored.

        Args:
            cache_key: Key of the branch.
            video_id: The video.
            video: Its file; if it is on this machine, it must be the file that was read.
            reference: Its source, for branches that see it; likewise.

        Raises:
            FileNotFoundError: If the features are not there.
            UnusableError: If they are damaged or not finite, or were made from another file.
            ValueError: If they were made with other reading settings.
        """
        pack = self._packed(cache_key, video_id)
        if pack is not None:
            self.look(cache_key, video_id, video, reference)
            shard, row = pack.rows[video_id]
            return pack.shards[shard].read(row)
        path = self.path(cache_key, video_id)
        self.has(cache_key, video_id)
        about, tokens = load_file(path)
        self._expect_reading(path, about)
        changed = _expect_sources(path, about, {"video": video, "reference": reference}, path.stat().st_mtime_ns)
        if changed is not None:
            _keep_time(path, changed)
        return tokens

    def metadata(self, cache_key: str, video_id: str) -> dict[str, object]:
        """Return the metadata of the tokens: branch, digest of weights, reading settings, digest of the video.

        Raises:
            FileNotFoundError: If the features are not there.
            UnusableError: If they are damaged or not finite.
        """
        pack = self._packed(cache_key, video_id)
        if pack is not None:
            shard, row = pack.rows[video_id]
            return pack.shards[shard].about(row)
        self.has(cache_key, video_id)
        return load_file(self.path(cache_key, video_id))[0]

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
            changed: `time_of_change` of the files from which they were made; it is stored as the time of the file.

        Raises:
            ValueError: If the tokens are not finite or have another shape, or the store cannot be written.
        """
        if tokens.ndim != 2 or not torch.isfinite(tokens).all():
            raise ValueError(
                f"Features {cache_key!r} of {video_id!r} have shape {tuple(tokens.shape)} or values that are not "
                "finite; expected finite (N, D)."
            )
        tokens = tokens.detach().to("cpu", torch.float32).contiguous()
        about = json.loads(json.dumps({**metadata, "video_id": video_id}))
        # Only one entry, because the format stores several in no fixed order.
        header = {"cvqa": json.dumps({**about, _DIGEST: _digest(about, tokens)}, sort_keys=True)}
        path = self.path(cache_key, video_id)
        write_bytes(path, save({"tokens": tokens}, header))
        if changed is not None:
            _keep_time(path, changed)
        if cache_key in self._packs:
            self._packs[cache_key].loose.add(path.name)


def time_of_change(*files: str | Path | None) -> int:
    """Return when one of some files was last changed, renamed or put in place, in nanoseconds; 0 if there is none.

    The system sets this time, and tools that copy files cannot set it back.
    """
    there = [Path(file) for file in files if file is not None and Path(file).is_file()]
    return max((file.stat().st_ctime_ns for file in there), default=0)


def load_file(path: Path) -> tuple[dict[str, object], Tensor]:
    """Return the metadata and the features in a file of one video, float32, shape (N, D), all finite.

    Raises:
        FileNotFoundError: If there is no such file.
        UnusableError: If it is damaged.
        ValueError: If it cannot be read.
    """
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


def _expect_sources(path: Path, about: Mapping[str, object], files: Mapping[str, str | None], known: int) -> int | None:
    """Raise an `UnusableError` if a file is on this machine, but is not the file from which the features were made.

    Returns:
        When the files were last changed, if that differs from the time `known`.
    """
    there = {
        kind: Path(file)
        for kind, file in files.items()
        if file is not None and f"{kind}_sha256" in about and Path(file).is_file()
    }
    if not there:
        return None
    changed = time_of_change(*there.values())
    size = there["video"].stat().st_size if "video" in there else about.get("video_bytes")
    if known == changed and size == about.get("video_bytes"):
        return None
    for kind, file in there.items():
        other_size = kind == "video" and size != about.get("video_bytes", size)
        if other_size or _sha256(file, time_of_change(file), file.stat().st_size) != about[f"{kind}_sha256"]:
            raise UnusableError(f"'{path}' was made from another file than '{file}' is now")
    return changed


@functools.lru_cache(maxsize=1 << 16)
def _sha256(file: Path, changed: int, size: int) -> str:
    """Return the digest of a file; time and size are arguments so that a changed file is read again."""
    return sha256(file)


def _keep_time(path: Path, changed: int) -> None:
    # The time is only a cheap first check, so a store that cannot be written can still be read.
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
    write_bytes(map_file(folder, prediction.video_id), content)


def map_file(folder: Path, video_id: str) -> Path:
    """Return the file of a video's score maps."""
    return folder / f"{file_name(video_id)}.safetensors"


def file_name(name: str) -> str:
    """Return a file name for `name` that every system allows, of at most 200 bytes; different names stay different.

    The name is quoted as in a URL, so that it cannot leave its folder. A dot at its start is quoted, because it would
    hide the file; so are a dot or space at its end, which Windows drops, and names that Windows reserves for devices. A
    long name ends in a digest.
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
