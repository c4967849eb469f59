"""Weights on disk: a name becomes a file, a file becomes tensors, and tensors fit a network exactly or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import pickle
import re
import secrets
import shutil
import struct
import urllib.error
import urllib.request
import warnings
import weakref
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cvqa_models.places import reaches_out
from cvqa_models.shipped import CHECKPOINTS, downloads

Rename = Callable[[str], str | None] | Mapping[str, str]

FOLDER = downloads()
CONTAINERS = ("state_dict", "model_state", "model")  # where training scripts put the tensors beside their own records
HUB = "https://huggingface.co"
UVQ15 = "https://github.com/google/uvq/raw/main/uvq1p5_pytorch/checkpoints"
# What `torch.load` raises of a damaged file: its reader of pickles checks hardly anything itself.
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

_digests: weakref.WeakKeyDictionary[nn.Module, tuple[object, str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Published:
    """A weights file that its authors offer; `checkpoints/README.md` has its licence and size.

    Attributes:
        file: Name under `checkpoints/`.
        url: Where the authors offer it.
        sha256: Expected digest, or None where it is not known.
    """

    file: str
    url: str
    sha256: str | None = None


PUBLISHED = {
    "slowfast_r50_k400": Published(
        "SLOWFAST_8x8_R50.pyth",
        "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth",
    ),
    "swin_base_384_in22k": Published(
        "swin_base_patch4_window12_384.ms_in22k.safetensors",
        f"{HUB}/timm/swin_base_patch4_window12_384.ms_in22k/resolve/main/model.safetensors",
    ),
    "clip_vit_l14_openai": Published(
        "clip_vit_l14_openai.safetensors",
        f"{HUB}/timm/vit_large_patch14_clip_224.openai/resolve/main/open_clip_model.safetensors",
    ),
    "uvq_compressionnet": Published(
        "uvq_compressionnet.pt",
        "https://github.com/google/uvq/raw/main/uvq_pytorch/checkpoint/compressionnet_pytorch_statedict.pt",
    ),
    "uvq15_content": Published("uvq15_content_net.pth", f"{UVQ15}/content_net.pth"),
    "uvq15_distortion": Published("uvq15_distortion_net.pth", f"{UVQ15}/distortion_net.pth"),
    "uvq15_aggregation": Published(
        "uvq15_aggregation_net.pth",
        f"{UVQ15}/aggregation_net.pth",
        "0f214c76adfbc3d06b48211837cfc46847ef6fe0102804d4d097ba170e769fc6",
    ),
    "cover": Published(
        "COVER.pth",
        "https://github.com/vztu/COVER/raw/release/Model/COVER.pth",
        "43a0fc777fe46e5e0513c50bf4b3dc5343fc82214e8f6e66b2bc068f0755875e",
    ),
    "dover": Published("DOVER.pth", "https://github.com/QualityAssessment/DOVER/releases/download/v0.1.0/DOVER.pth"),
    "fastvqa_b": Published(
        "FAST_VQA_B_1_4.pth",
        "https://github.com/VQAssessment/FAST-VQA-and-FasterVQA/releases/download/v2.0.0/FAST_VQA_B_1_4.pth",
    ),
    "samnet": Published(
        "SAMNet_with_ImageNet_pretrain.pth",
        "https://github.com/yun-liu/FastSaliency/raw/master/Pretrained/SAMNet_with_ImageNet_pretrain.pth",
    ),
    "vsfa": Published(
        "VSFA.pt",
        "https://github.com/lidq92/VSFA/raw/master/models/VSFA.pt",
        "07ce3eab277f3351b989f8d9b39fd22507262a9daf05a309eee4106ab2a0e57b",
    ),
}

# Name -> file of the weights that this project trained itself and keeps in its repository.
SHIPPED = {"compression_level": "compression_level.safetensors"}


def published(name: str) -> Published | None:
    """Return what `name` stands for: a row of `PUBLISHED`, or `timm/MODEL.TAG` for any model on timm's hub."""
    if name.startswith("timm/") and not reaches_out(name):
        return Published(f"{name}.safetensors", f"{HUB}/{name}/resolve/main/model.safetensors")
    return PUBLISHED.get(name)


def known_sha256(name: str) -> str | None:
    """Return the digest that the file of weights `name` should have, or None where it is not known.

    The digest of weights that come with the project stands on the card beside them.
    """
    if name in SHIPPED:
        card = (CHECKPOINTS / SHIPPED[name]).with_suffix(".md")
        found = re.search(r"\b[0-9a-f]{64}\b", card.read_text(encoding="utf-8")) if card.is_file() else None
        return found.group() if found else None
    known = published(name)
    return known.sha256 if known else None


def resolve(weights: str | Path) -> Path:
    """Return the file that `weights` means: a path, a file in `$CVQA_WEIGHTS` or among the fetched, or a known name.

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


def fetch(name: str, folder: Path = FOLDER) -> Path:
    """Download the published weights `name` into `folder`, check their digest, and return the file.

    The only function of the package that opens a network connection for weights; no constructor calls it.

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
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")  # another process may fetch it, too
    try:
        with urllib.request.urlopen(known.url) as response, partial.open("wb") as file:
            length = response.headers["Content-Length"]
            shutil.copyfileobj(response, file)
        size, found = partial.stat().st_size, _file_sha256(partial)
        if int(length or size) != size or known.sha256 not in (None, found):
            raise ValueError(
                f"{known.url} gave {size} bytes with sha256 {found}, expected {length or 'any number of'} bytes "
                f"with {known.sha256 or 'any sha256'}; nothing was kept, try again"
            )
        partial.replace(target)
    except urllib.error.URLError as error:
        raise FileNotFoundError(
            f"{known.url} cannot be reached ({error.reason}); put the file at '{target}'"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or repr(error)
        raise ValueError(
            f"'{target}' was not fetched whole from {known.url} ({reason}); nothing was kept: free space, or try again"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _file_sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def written_by_torch(path: Path) -> bool:
    """Return whether a file starts as those of `torch.save` do: as a zip archive, or as a pickle before torch 1.6."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is; `torch.save` packs nothing.

    Raises:
        ValueError: If its parts are much larger together than the file.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        parts = zipfile.ZipFile(path).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ValueError(f"'{path}' is a damaged archive ({error}); copy it again.") from error
    # Others, such as those with programs in them, pack a little.
    if sum(part.file_size for part in parts) > 2 * path.stat().st_size + (1 << 20):
        raise ValueError(f"'{path}' is an archive that unpacks to more than it is; expected a file of `torch.save`.")


def check_tensor(tensor: Tensor, path: Path) -> None:
    """Refuse a tensor that is not plain numbers in memory, or states a size that its file does not hold.

    Raises:
        ValueError: If it is sparse, quantised, of another device, or repeats few numbers to a large size.
    """
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(
            f"'{path}' holds a tensor of shape {tuple(tensor.shape)} that is not stored as plain numbers; save it as a "
            "dense tensor of its own."
        )


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors in `path`, a safetensors file or a torch file without pickled code, on the CPU.

    Raises:
        ValueError: If the file is something else, truncated, a TorchScript program, would run code, or holds no table
            of tensors.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if not written_by_torch(path):
        raise ValueError(
            f"'{path}' holds no weights; expected a file of `torch.save`, or one of safetensors with that suffix"
        )
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of old formats and programs; the errors below say more
            # Mapped, a file that several branches share takes memory once, and only for the tensors that they copy;
            # the format before torch 1.6 cannot be mapped.
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
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise ValueError(f"'{path}' holds no state dict at its top or under {', '.join(CONTAINERS)}")
    for tensor in content.values():
        check_tensor(tensor, path)
    return content


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"'{path}' is not a complete safetensors file; fetch it again") from error
    return tensors


def load_exact(
    module: nn.Module,
    source: str | Path | Mapping[str, Tensor],
    *,
    rename: Rename | None = None,
    prefix: str = "",
    unused: Collection[str] = (),
) -> None:
    """Fill every parameter and persistent buffer of `module` from `source`; no key may be missing or left over.

    Args:
        module: Network to fill in place.
        source: Path or known name of weights, or their tensors.
        rename: Key in the source -> key in the module; a callable may answer None to leave a key out, a table leaves
            the keys that it does not list as they are.
        prefix: Part of the source that belongs to the module, cut off before `rename`; other keys are not looked at.
        unused: Renamed keys that the source may hold and the module does not build, such as a classifier.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If keys are missing or unexpected, or a shape differs; the message names them.
    """
    tensors = source if isinstance(source, Mapping) else read(resolve(source))
    renamed = {
        new: tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix) and (new := _new_key(key.removeprefix(prefix), rename)) is not None
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
        name = "the given tensors" if isinstance(source, Mapping) else f"weights '{source}'"
        raise ValueError(
            f"{name} do not fit {type(module).__name__}: keys {'; '.join(found)}; "
            "give the file of this network, or change its arguments to those of the file"
        )
    broken = [key for key in expected if renamed[key].isnan().any()]
    if broken:
        name = "the given tensors" if isinstance(source, Mapping) else f"weights '{source}'"
        raise ValueError(f"{name} are no numbers (NaN in {broken[0]}); fetch or train them again")
    # A network built on the meta device has no storage to copy into; it takes over the tensors of the file.
    meta = any(tensor.is_meta for tensor in expected.values())
    module.load_state_dict({key: renamed[key].to(tensor.dtype) for key, tensor in expected.items()}, assign=meta)


def _new_key(key: str, rename: Rename | None) -> str | None:
    if rename is None:
        return key
    return rename(key) if callable(rename) else rename.get(key, key)


def digest(module: nn.Module) -> str:
    """Return the sha256, in hex, over the names, types, shapes and bytes of all parameters and buffers of `module`.

    Equal for equal weights in any process and on any device. A second call on unchanged weights costs nothing.
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
