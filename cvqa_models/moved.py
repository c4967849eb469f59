"""Old names, which configurations and checkpoints of the last release still use; each is kept for one release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cvqa_models.moved_views import VIEWS

_CALLBACKS = {
    "checkpoints": ("WholeFiles", "PortableState"),
    "monitored": ("CheckMonitors",),
    "prediction_writer": ("PredictionWriter",),
    "seeding": ("SeedSteps",),
    "stopping": ("StopAfterBatch",),
}
CLASSES: dict[str, str] = {
    "cvqa_models.models.compression_rq_vqa.CompressionRQVQA": "cvqa_models.models.compression_rq_vqa.CompressionRqVqa",
    "cvqa_models.models.tvqa.TVQA": "cvqa_models.models.tvqa.Tvqa",
    "cvqa_models.models.vsfa.VSFA": "cvqa_models.models.vsfa.Vsfa",
    "cvqa_models.models.pyiqa_metric.Metric": "cvqa_models.models.metric.Metric",
    "cvqa_models.models.pyiqa_metric.LibraryMetric": "cvqa_models.branches.library_metric.LibraryMetric",
} | {
    f"cvqa_models.callbacks.{module}.{name}": f"cvqa_models.training.callbacks.{module}.{name}"
    for module, names in _CALLBACKS.items()
    for name in names
}
"""Old class path -> new one."""

ARGUMENTS: dict[str, dict[str, str]] = {}
"""New class path -> old name of an argument -> new one."""

PARTS = {
    "recipe": {"unfreeze_at": "trained_from_epoch"},
    "data": {"videos_per_chunk": "videos_at_once"},
}
"""Name of a group of arguments that has no class path -> old name of one of its arguments -> new one."""


def _terms(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a loss with `terms` in place of one argument per weight."""
    unused = ("ranknet", "margin", "fisher", "norm_in_norm", "fidelity", "mse", "standard_mse", "pooled_plcc")
    before = {"plcc": 1.0, "srocc": 1.0, "krocc": 1.0, **dict.fromkeys(unused, 0.0), "anchor": 0.05}
    if "terms" in arguments or not any(name in before for name in arguments):
        return arguments
    weights = {name: arguments.get(name, usual) for name, usual in before.items()}
    # A file from outside may hold any value here, but only a number can be compared with 0.
    terms = {name: value for name, value in weights.items() if type(value) not in (int, float) or value != 0}
    return {**{name: value for name, value in arguments.items() if name not in before}, "terms": terms}


REWRITTEN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "cvqa_models.losses.grouped.GroupLoss": _terms,
    **VIEWS,
}
"""New class path -> function from old arguments to new ones, where more than names has changed.

New arguments are left as they are.
"""


def current(value: Any) -> Any:
    """Return the plain, nested values of a configuration, with old names replaced by those of this release.

    If both names of an argument are given, both stay, so that the old one is refused as unknown. Arguments without
    their class, as in an overlay, are left as they are: nothing says which class they belong to.
    """
    if isinstance(value, list):
        return [current(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    plain = {key: _renamed(current(item), PARTS.get(key, {})) for key, item in value.items()}
    name = plain.get("class_path")
    if not isinstance(name, str):
        return plain
    plain["class_path"] = CLASSES.get(name, name)
    if isinstance(plain.get("init_args"), dict):
        plain["init_args"] = _renamed(plain["init_args"], ARGUMENTS.get(plain["class_path"], {}))
        if plain["class_path"] in REWRITTEN:
            plain["init_args"] = REWRITTEN[plain["class_path"]](plain["init_args"])
    return plain


def _renamed(arguments: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(arguments, dict):
        return arguments
    return {key if names.get(key, key) in arguments else names.get(key, key): item for key, item in arguments.items()}
