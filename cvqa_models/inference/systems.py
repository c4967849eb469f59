"""List every system of `configs/model`: its branches, sizes, weights, their licences, and published figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser

from cvqa_models.messages import innermost
from cvqa_models.published import PUBLISHED, licence_of
from cvqa_models.shipped import CONFIGS
from cvqa_models.training.configured import plain_parser_errors, read_yaml
from cvqa_models.training.module import QualityModule
from cvqa_models.trust import imports_only_from
from cvqa_models.weights.files import SHIPPED, known_sha256
from cvqa_models.weights.sources import WeightSource

# SROCC, PLCC, KROCC and Result on the challenge's test set, as far as we have its report: for some teams we only have
# the Result. COVER and the three systems that are trained here have no figures.
CHALLENGE: dict[str, tuple[float | None, float | None, float | None, float | None]] = {
    "tvqa": (0.9376, 0.9772, 0.8505, 0.9218),
    "compression_rq_vqa": (None, None, None, 0.9167),
    "iqa_llava": (None, None, None, 0.8572),
    "hive": (None, None, None, 0.7148),
    "mmf": (None, None, None, 0.8658),
    "ms_ssim": (None, None, None, 0.8914),
    "vsfa": (0.8844, 0.9403, 0.7913, 0.8720),
}


@dataclass(frozen=True)
class Figures:
    """Figures that authors publish for their model on public sets.

    Attributes:
        source: Where they publish them.
        values: Data set and measure -> value; the first one is shown in the table of `cvqa systems`.
    """

    source: str
    values: dict[str, float]


_DOVER = "README of VQAssessment/DOVER, trained on LSVQ"
_FASTVQA = "README of VQAssessment/FAST-VQA-and-FasterVQA, trained on LSVQ"

# Figures of the weights that the system's configuration names, on data that they were not trained on.
PUBLIC_SETS = {
    "dover": Figures(
        _DOVER,
        {"KoNViD-1k PLCC": 0.883, "LIVE-VQC PLCC": 0.854, "LSVQ test PLCC": 0.889, "LSVQ 1080p PLCC": 0.830},
    ),
    "dover_mobile": Figures(
        _DOVER,
        {"KoNViD-1k PLCC": 0.853, "LIVE-VQC PLCC": 0.835, "LSVQ test PLCC": 0.867, "LSVQ 1080p PLCC": 0.802},
    ),
    "fastervqa": Figures(
        _FASTVQA,
        {"KoNViD-1k PLCC": 0.864, "LIVE-VQC PLCC": 0.837, "LSVQ test PLCC": 0.874, "LSVQ 1080p PLCC": 0.811},
    ),
    "fastvqa": Figures(
        _FASTVQA,
        {"KoNViD-1k PLCC": 0.855, "LIVE-VQC PLCC": 0.844, "LSVQ test PLCC": 0.877, "LSVQ 1080p PLCC": 0.814},
    ),
}


@dataclass
class System:
    """One row: a config of `configs/model`, with facts from building its model without memory for weights.

    Attributes:
        name: Name of the config.
        kind: `NR` or `FR`, image or video.
        branches: Branch name -> class and width of its feature.
        parameters: All parameters, millions; None for a system that cannot be built here.
        trainable: Trainable parameters, millions; None for a system that cannot be built here.
        weights: Weights named in the config -> whether the file is here.
        licences: Licence of each of these weights, if known.
        commercial: Whether they allow commercial use: false if one forbids it, None if one has conditions or is not
            known.
        published: SROCC, PLCC, KROCC, Result of the challenge's report.
        public_sets: Figures that its authors publish on public sets; None if we have none.
        fault: Why it cannot be built here, such as a package that is not installed; None if it can.
    """

    name: str
    kind: str
    branches: dict[str, str]
    parameters: float | None
    trainable: float | None
    weights: dict[str, bool]
    licences: dict[str, str]
    commercial: bool | None
    published: tuple[float | None, ...]
    public_sets: Figures | None
    fault: str | None = None


def systems() -> list[System]:
    """Return a row for each system, sorted by name.

    Networks are built without memory for their weights, so the largest takes no more memory than the smallest.
    """
    return [_row(path) for path in sorted((CONFIGS / "model").glob("*.yaml"))]


def _row(path: Path) -> System:
    """Return the row of one config; if it cannot be built, the row holds the reason, and others are still listed."""
    try:
        return read_system(path)
    except ValueError as error:
        name, fault = path.stem, innermost(str(error))
        published = CHALLENGE.get(name, (None, None, None, None))
        return System(name, "", {}, None, None, {}, {}, None, published, PUBLIC_SETS.get(name), fault)


def check_files(named: set[str]) -> dict[str, str]:
    """Return the state of `named` weights, of those that come with the project, and of all known ones that are here.

    Returns:
        Name -> `intact`, `damaged`, `missing`, or `present, no digest known`, sorted by name.
    """
    states = {}
    for name in sorted({*named, *SHIPPED, *(name for name in PUBLISHED if WeightSource(name).here)}):
        source, known = WeightSource(name), known_sha256(name)
        if not source.here:
            states[name] = "missing"
        elif known is None:
            states[name] = "present, no digest known"
        else:
            states[name] = "intact" if source.sha256 == known else "damaged"
    return states


def read_system(path: Path) -> System:
    """Return the row of one config."""
    config = read_yaml(path)
    if not isinstance(config, dict) or "model" not in config:
        raise ValueError(f"'{path}' has no part `model`; expected the configuration of a system.")
    model = _build_on_meta(config["model"])
    here = {source.name: source.here for source in model.each_source().values() if source.name is not None}
    licences = {name: licence_of(name) for name in here}
    allowed = {None if licence is None else licence.commercial for licence in licences.values()}
    branches = {name: f"{type(branch).__name__} {branch.dim}" for name, branch in model.each_branch().items()}
    return System(
        name=path.stem,
        kind=kind_of(model),
        branches=branches,
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6,
        weights=here,
        licences={name: licence.text for name, licence in licences.items() if licence is not None},
        commercial=False if False in allowed else None if None in allowed else True,
        published=CHALLENGE.get(path.stem, (None, None, None, None)),
        public_sets=PUBLIC_SETS.get(path.stem),
    )


def kind_of(model: QualityModule) -> str:
    """Return `FR` if a branch sees the source, else `NR`; and `image` if frames are judged singly, else `video`."""
    views = [branch.view for branch in model.each_branch().values() if branch.view is not None]
    moving = model.reads_order or any(view.frames.clip_length > 1 for view in views)
    return f"{'FR' if any(view.with_reference for view in views) else 'NR'} {'video' if moving else 'image'}"


def _build_on_meta(config: dict[str, Any]) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    with torch.device("meta"), plain_parser_errors(), imports_only_from():
        return parser.instantiate(parser.parse_object({"model": config})).model
