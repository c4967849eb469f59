"""Any image measure of piq, torchmetrics or, if the user has installed it, pyiqa, by name.

pyiqa is licensed for non-commercial use only, so this project does not depend on it and does not install it. No other
module imports it.
"""

from __future__ import annotations

import importlib
import inspect
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import in_turns
from cvqa_models.branches.views import chosen_view, whole_key_frame_view
from cvqa_models.metrics.direction import is_lower_better
from cvqa_models.video.view import View

Found = tuple[Callable[..., Tensor], bool, int]  # measure, whether it sees the source, 1 if larger is better, else -1

PIQ = (
    "ssim", "multi_scale_ssim", "information_weighted_ssim", "psnr", "vif_p", "fsim", "vsi", "haarpsi", "srsim", "dss",
    "CLIPIQA", "gmsd", "multi_scale_gmsd", "mdsi", "brisque", "LPIPS", "DISTS", "PieAPP",
)  # fmt: skip
INPUTS = {("img",): False, ("images",): False, ("preds", "target"): True, ("img1", "img2"): True}
SCALE = {"VisualInformationFidelity": 255.0}  # its noise variance is for values up to 255; all others take [0, 1]


class LibraryMetric(Branch):
    """Tokens of key frames: one measure of a library, negated if needed, so that larger is better.

    Args:
        name: `LIBRARY:MEASURE`: a function or class of piq (`piq:haarpsi`, `piq:LPIPS`), a class of torchmetrics
            (`torchmetrics:DeepImageStructureAndTextureSimilarity`), or a model of pyiqa (`pyiqa:topiq_nr`).
        view: Single frames, with their source's frames for a full-reference measure; null for whole key frames.
        num_clips: Key frames per video if no `view` is given; null for 8.
        download: Whether the library may fetch the weights of the measure into its own cache.

    Raises:
        ValueError: If the library is not installed or has no such measure.
        FileNotFoundError: If weights are missing and `download` is false.
    """

    def __init__(
        self, name: str, *, view: View | None = None, num_clips: int | None = None, download: bool = False
    ) -> None:
        library, _, measure = name.partition(":")
        if library not in LIBRARIES or not measure:
            raise ValueError(f"`name` is {name!r}; expected {', '.join(f'{key}:MEASURE' for key in LIBRARIES)}.")
        module = _import(library)
        with _network(name, download):
            found, with_reference, sign = LIBRARIES[library](module, measure)
        view = chosen_view(view, num_clips, partial(whole_key_frame_view, with_reference=with_reference))
        version = getattr(module, "__version__", "")
        super().__init__(view, 1, frozen=True, variant=f"{library}{version}-{measure}")
        self.name = name
        self.sign = sign
        self.download = download
        self.measure = found
        self._ran = False

    def tokens(self, x: Tensor) -> Tensor:
        """Return the measure of each frame, shape (B, N, 1), from `x` of shape (B, N, C, 1, H, W).

        Raises:
            FileNotFoundError: If weights are missing and `download` is false.
            ValueError: If the measure is not finite.
        """
        if self._ran:
            return in_turns(self._measure, x, 1)
        # Some libraries fetch weights at the first call, so downloads are refused there; later calls are not guarded.
        with _network(self.name, self.download):
            values = in_turns(self._measure, x, 1)
        self._ran = True
        return values

    def _measure(self, frames: Tensor) -> Tensor:
        pictures = (frames.squeeze(2).float() / 255).split(3, dim=1)
        value: Tensor = self.sign * self.measure(*pictures).reshape(1, 1)
        if not value.isfinite().all():
            raise ValueError(f"`{self.name}` is {value.item()} on a frame; it does not suit this video.")
        return value


def _import(library: str) -> ModuleType:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise _not_installed(library, error) from error


def _not_installed(library: str, error: ImportError) -> ValueError:
    hint = " (for non-commercial use only; with 'setuptools<81')" if library == "pyiqa" else ""
    return ValueError(f"{library} cannot be imported ({error}); `pip install {library}`{hint}.")


@contextmanager
def _network(name: str, allowed: bool) -> Iterator[None]:
    """Refuse to look up hosts unless `allowed`: libraries fetch missing weights without asking, each in another way."""
    refused: list[object] = []

    def refuse(host: object, *rest: object, **more: object) -> None:
        refused.append(host)
        raise OSError(f"no look-up of {host}: downloads are off")

    look_up = socket.getaddrinfo
    if not allowed:
        socket.getaddrinfo = refuse  # type: ignore[assignment]
    try:
        yield
    except Exception as error:  # libraries raise any kind of error after a refused download
        if not refused:
            raise
        raise FileNotFoundError(
            f"The weights of `{name}` are not on this machine (they come from {refused[0]!s}), and nothing is "
            "downloaded unless asked; set `download: true`."
        ) from error
    finally:
        socket.getaddrinfo = look_up


def _from_piq(piq: ModuleType, measure: str) -> Found:
    if measure not in PIQ:
        raise _unknown("piq", measure, PIQ)
    found: Any = getattr(piq, measure)
    sign = -1 if is_lower_better(measure) else 1  # piq does not say in code whether larger is better
    if inspect.isclass(found):
        found = found()
        return found, "y" in inspect.signature(found.forward).parameters, sign
    return found, "y" in inspect.signature(found).parameters, sign


def _from_torchmetrics(torchmetrics: ModuleType, measure: str) -> Found:
    image, multimodal = (importlib.import_module(f"torchmetrics.{part}") for part in ("image", "multimodal"))
    known = {name: getattr(part, name) for part in (image, multimodal) for name in part.__all__}
    usable = {name: found for name, found in known.items() if _inputs(found) in INPUTS}
    if measure not in usable:
        raise _unknown("torchmetrics", measure, list(usable))
    parameters = inspect.signature(usable[measure]).parameters
    # All of them take [0, 1] if this range is given.
    options: dict[str, Any] = {"data_range": 1.0} if "data_range" in parameters else {}
    if "normalize" in parameters and parameters["normalize"].default is False:
        options["normalize"] = True
    metric = usable[measure](**options)
    sign = 1 if metric.higher_is_better else -1
    return _Stateless(metric, SCALE.get(measure, 1.0)), INPUTS[_inputs(usable[measure])], sign


def _inputs(metric: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(metric.update).parameters)[1:]


class _Stateless(nn.Module):
    """A torchmetrics metric that forgets each frame; by default it would keep all frames for an average."""

    def __init__(self, metric: Any, scale: float) -> None:
        super().__init__()
        self.metric = metric
        self.scale = scale

    def forward(self, *pictures: Tensor) -> Tensor:
        """Return the metric of one frame."""
        value: Tensor = self.metric(*(picture * self.scale for picture in pictures))
        self.metric.reset()
        return value


def _from_pyiqa(pyiqa: ModuleType, measure: str) -> Found:
    known = pyiqa.list_models()
    if measure not in known:
        raise _unknown("pyiqa", measure, known)
    try:
        metric = pyiqa.create_metric(measure, device=torch.device("cpu"))
    except ImportError as error:  # some measures need other packages too, as `clipiqa+` needs `pkg_resources`
        raise _not_installed("pyiqa", error) from error
    return metric, metric.metric_mode == "FR", -1 if metric.lower_better else 1


def _unknown(library: str, measure: str, known: Sequence[str]) -> ValueError:
    near = get_close_matches(measure, known, n=3, cutoff=0.5) or sorted(known)
    return ValueError(f"{library} has no measure of frames {measure!r}; it has {', '.join(near)}.")


LIBRARIES: dict[str, Callable[[ModuleType, str], Found]] = {
    "piq": _from_piq,
    "torchmetrics": _from_torchmetrics,
    "pyiqa": _from_pyiqa,
}
