"""Read a file of weights as tensors, and never run code from it."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

CONTAINERS = ("state_dict", "model_state", "model")  # keys under which training scripts store the tensors
WRAPPER = "module."  # prefix that `DataParallel` and similar classes add
# Names that a file uses to build numbers of numpy.
_NUMPY = ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "_codecs.encode")
# Errors of `torch.load` for a damaged file: its reader of pickles checks very little.
DAMAGED = (
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    zipfile.BadZipFile,
)


def written_by_torch(path: Path) -> bool:
    """Return whether a file starts like a file of `torch.save`: a zip archive, or before torch 1.6 a pickle."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than its own size; `torch.save` does not compress.

    Raises:
        ValueError: If its parts together are much larger than the file.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        parts = zipfile.ZipFile(path).infolist()
    except (zipfile.BadZipFile, ValueError, RuntimeError, struct.error) as error:
        raise ValueError(f"'{path}' is a damaged archive ({error}); copy it again.") from error
    # Other archives, such as TorchScript programs, compress a little.
    if sum(part.file_size for part in parts) > 2 * path.stat().st_size + (1 << 20):
        raise ValueError(
            f"'{path}' is an archive that unpacks to more than its own size; expected a file of `torch.save`."
        )


def check_tensor(tensor: Tensor, path: Path) -> None:
    """Refuse a tensor that is not plain numbers in memory, or claims a size that its file does not hold.

    Raises:
        ValueError: If it is sparse, quantised, on another device, or repeats few numbers to a large size.
    """
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(
            f"'{path}' holds a tensor of shape {tuple(tensor.shape)} that is not stored as plain numbers; save it as a "
            "dense tensor of its own."
        )


def metadata(path: Path) -> dict[str, str]:
    """Return what a file of safetensors says of itself beside its tensors, name -> text; nothing for other files.

    Raises:
        ValueError: If the file is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"'{path}' is not a complete safetensors file; fetch it again") from error


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors in `path`, a safetensors file or a torch file without pickled code, on the CPU.

    Other content, such as results of a validation, is left out. The prefix that training on several GPUs adds to every
    name is removed.

    Raises:
        ValueError: If the file is something else, truncated, a TorchScript program, would run code, or holds no table
            of tensors.
    """
    if path.suffix == ".safetensors":
        return _unwrapped(_read_safetensors(path))
    if not written_by_torch(path):
        raise ValueError(
            f"'{path}' holds no weights; expected a file of `torch.save`, or one of safetensors with that suffix"
        )
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about old formats and programs; the errors below say more
            # If memory-mapped, a file that several branches share takes memory once, and only for the tensors that they
            # copy. The format before torch 1.6 cannot be mapped.
            with torch.serialization.safe_globals([(_Unread, name) for name in _NUMPY]):
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"'{path}' is damaged or holds pickled code that would run on loading; "
            "save its state dict alone, or as safetensors"
        ) from error
    except DAMAGED as error:
        raise ValueError(
            f"'{path}' is not a complete file of tensors; fetch it again, and where its authors publish a "
            "TorchScript program, such as OpenAI's CLIP archives, use the safetensors file of the same weights"
        ) from error
    for key in CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)} if _is_table(content) else {}
    if not tensors:
        raise ValueError(f"'{path}' holds no state dict at its top or under {', '.join(CONTAINERS)}")
    for tensor in tensors.values():
        check_tensor(tensor, path)
    return _unwrapped(tensors)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without the prefix that training on several GPUs adds to every name."""
    if not all(key.startswith(WRAPPER) for key in tensors):
        return tensors
    return {key.removeprefix(WRAPPER): tensor for key, tensor in tensors.items()}


def _is_table(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(key, str) for key in content)


class _Unread:
    """Placeholder for a number of numpy in a script's other content: it is not needed here, so it is not built."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"'{path}' is not a complete safetensors file; fetch it again") from error
    return tensors
