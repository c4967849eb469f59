"""Load tensors into a network only if they fit exactly, and compute the digest of a network's weights."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from cvqa_models.published import PUBLISHED
from cvqa_models.weights.files import checked, resolve
from cvqa_models.weights.reading import read

Rename = Callable[[str], str | None] | Mapping[str, str]
_digests: weakref.WeakKeyDictionary[nn.Module, tuple[object, str]] = weakref.WeakKeyDictionary()


def load_exact(
    module: nn.Module,
    source: str | Path | Mapping[str, Tensor],
    *,
    rename: Rename | None = None,
    prefix: str | tuple[str, ...] = "",
    unused: Collection[str] = (),
) -> None:
    """Fill every parameter and persistent buffer of `module` from `source`; no key may be missing or left over.

    Args:
        module: Network to fill in place.
        source: Path or known name of weights, or their tensors.
        rename: Key in the source -> key in the module. A function may return None to leave a key out; a table leaves
            keys that it does not list as they are.
        prefix: Start of the keys that belong to the module, removed before `rename`; other keys are ignored. Of several
            prefixes, the first that the source has is taken.
        unused: Renamed keys that the source may hold although the module does not have them, such as a classifier.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If keys are missing or unexpected, or a shape differs; the message names them.
    """
    tensors = source if isinstance(source, Mapping) else read(resolve(source))
    name = "the given tensors" if isinstance(source, Mapping) else f"weights '{source}'"
    own = _first_found(prefix, tensors)
    if own is None:
        wanted = " or ".join(f"'{one}'" for one in ([prefix] if isinstance(prefix, str) else prefix))
        raise ValueError(
            f"{name} do not fit {type(module).__name__}: no key begins with {wanted}, there are {len(tensors)} such as "
            f"{', '.join(list(tensors)[:3])}; give the file of this network"
        )
    renamed = {
        new: tensor
        for key, tensor in tensors.items()
        if key.startswith(own) and (new := _new_key(key.removeprefix(own), rename)) is not None
    }
    expected = module.state_dict()
    problems = {
        "missing": [key for key in expected if key not in renamed],
        "unexpected": [key for key in renamed if key not in expected and key not in set(unused)],
        "of another shape": [
            f"{key} {tuple(renamed[key].shape)} for {tuple(tensor.shape)}"
            for key, tensor in expected.items()
            if key in renamed and renamed[key].shape != tensor.shape
        ],
    }
    found = [f"{len(keys)} {kind} ({', '.join(keys[:3])})" for kind, keys in problems.items() if keys]
    if found:
        raise ValueError(
            f"{name} do not fit {type(module).__name__}: keys {'; '.join(found)}; "
            "give the file of this network, or change its arguments to those of the file"
        )
    broken = [key for key in expected if renamed[key].isnan().any()]
    if broken:
        raise ValueError(f"{name} are no numbers (NaN in {broken[0]}); fetch or train them again")
    # A network on the meta device has no storage to copy into; it takes the tensors of the file themselves.
    meta = any(tensor.is_meta for tensor in expected.values())
    module.load_state_dict({key: renamed[key].to(tensor.dtype) for key, tensor in expected.items()}, assign=meta)


def keys_in_order(source: str, module: nn.Module) -> dict[str, str]:
    """Return key in the file of weights `source`, which a package contains -> key of `module`.

    Both list the same layers in the same order, so keys are paired by position; `load_exact` then compares all shapes.

    Args:
        source: Name of published weights.
        module: The whole network, with its classifier.

    Raises:
        FileNotFoundError: If the package is not installed.
        ValueError: If the file is not the one that the authors published, or holds another number of tensors.
    """
    theirs, ours = list(read(checked(resolve(source), PUBLISHED[source]))), list(module.state_dict())
    if len(theirs) != len(ours):
        raise ValueError(
            f"weights '{source}' hold {len(theirs)} tensors, and the network has {len(ours)}; name the network as its "
            "weights are named"
        )
    return dict(zip(theirs, ours, strict=True))


def first_keys_in_order(source: str, module: nn.Module) -> Callable[[str], str | None]:
    """Return a rename for `load_exact`, for a network that is the first part of the one that a package's file holds.

    Args:
        source: Name of published weights.
        module: The first layers of the network, in the order of the file.
    """
    theirs = read(checked(resolve(source), PUBLISHED[source]))
    return dict(zip(theirs, module.state_dict(), strict=False)).get


def _first_found(prefix: str | tuple[str, ...], keys: Collection[str]) -> str | None:
    prefixes = (prefix,) if isinstance(prefix, str) else prefix
    return next((one for one in prefixes if not one or any(key.startswith(one) for key in keys)), None)


def _new_key(key: str, rename: Rename | None) -> str | None:
    if rename is None:
        return key
    return rename(key) if callable(rename) else rename.get(key, key)


def digest(module: nn.Module) -> str:
    """Return the sha256, in hex, over the names, types, shapes and bytes of all parameters and buffers of `module`.

    It is equal for equal weights, in any process and on any device. A second call on unchanged weights is instant.
    """
    tensors = dict(sorted([*module.named_parameters(), *module.named_buffers()]))
    state = tuple((name, tensor.data_ptr(), tensor._version) for name, tensor in tensors.items())
    known = _digests.get(module)
    if known and known[0] == state:
        return known[1]
    sha = hashlib.sha256()
    for name, tensor in tensors.items():
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    _digests[module] = (state, sha.hexdigest())
    return sha.hexdigest()
