"""`cvqa systems`: every system with its branches, sizes, weights and published figures."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from cvqa_models.ending import MISTAKE
from cvqa_models.terminal import console, say

if TYPE_CHECKING:
    from cvqa_models.models.module import QualityModule

from cvqa_models.data.atomic import write_text
from cvqa_models.shipped import CONFIGS

# SROCC, PLCC, KROCC and Result on the challenge's test set, as far as its report is at hand: of some teams only the
# Result is. COVER and the three that are trained here have no figure of their own.
PUBLISHED: dict[str, tuple[float | None, float | None, float | None, float | None]] = {
    "tvqa": (0.9376, 0.9772, 0.8505, 0.9218),
    "compression_rq_vqa": (None, None, None, 0.9167),
    "iqa_llava": (None, None, None, 0.8572),
    "hive": (None, None, None, 0.7148),
    "mmf": (None, None, None, 0.8658),
    "ms_ssim": (None, None, None, 0.8914),
    "vsfa": (0.8844, 0.9403, 0.7913, 0.8720),
}
# Arguments of branches and systems that name weights; `base` and `tuned` are those under a language model's adapters.
WEIGHTS = {"weights", "base", "tuned", "saliency_weights"}


@dataclass
class System:
    """One row: a config of `configs/model` and what building it on no device tells.

    Attributes:
        name: Name of the config.
        kind: `NR` or `FR`, image or video.
        branches: Branch name -> class and width of its feature.
        parameters: All parameters, millions.
        trainable: Trainable parameters, millions.
        weights: Weights named in the config -> whether the file is here.
        published: SROCC, PLCC, KROCC, Result of the challenge's report.
    """

    name: str
    kind: str
    branches: dict[str, str]
    parameters: float
    trainable: float
    weights: dict[str, bool]
    published: tuple[float | None, ...]


def systems(*, check_weights: bool = False, fetch: str | None = None, json: Path | None = None) -> int:
    """List the systems of `configs/model`: kind, branches, parameters, weights and published figures.

    Networks are built without memory for their weights, so listing the largest takes no more room than the smallest.

    Args:
        fetch: Download these weights, by name, into `checkpoints/` first; nothing is downloaded otherwise.
        check_weights: Whether to also say of each weights file if it is intact: of those that configs name, of those
            that come with the project, and of all other known ones that are here; exit code 2 if one is missing or
            differs from what its authors published.
        json: Also write the list to this file.

    Returns:
        Exit code.
    """
    if fetch is not None:
        from cvqa_models.weights import FOLDER
        from cvqa_models.weights import fetch as download

        download(fetch, FOLDER)
    rows = [describe(path) for path in sorted((CONFIGS / "model").glob("*.yaml"))]
    if json is not None:
        write_text(json, json_format.dumps([asdict(row) for row in rows], indent=1) + "\n")
    page = console(width=max(console().width, 96))  # what the table takes; a terminal wraps it where it must
    page.print(_table(rows))
    page.print("", *map(_parts, rows), sep="\n", soft_wrap=True)
    if not check_weights:
        return 0
    states = check_files({name for row in rows for name in row.weights})
    lines = [f"{name}: {state}" for name, state in states.items()]
    page.print("", *lines, sep="\n", soft_wrap=True)
    faults = [name for name, state in states.items() if state in ("missing", "damaged")]
    if faults:
        names = ", ".join(faults)
        text = f"Missing or damaged: {names}. checkpoints/README.md says where each comes from."
        say(text, stderr=True)
    return MISTAKE if faults else 0


def check_files(named: set[str]) -> dict[str, str]:
    """Return the state of `named` weights, of those that come with the project, and of all known ones that are here.

    Returns:
        Name -> `intact`, `damaged`, `missing`, or `present, no digest known`, sorted by name.
    """
    from cvqa_models.data.files import sha256
    from cvqa_models.weights import PUBLISHED, SHIPPED, known_sha256, resolve

    states = {}
    for name in sorted({*named, *SHIPPED, *filter(_is_here, PUBLISHED)}):
        known = known_sha256(name)
        if not _is_here(name):
            states[name] = "missing"
        elif known is None:
            states[name] = "present, no digest known"
        else:
            states[name] = "intact" if sha256(resolve(name)) == known else "damaged"
    return states


def describe(path: Path) -> System:
    """Return the row of one config."""
    from cvqa_models.commands.configured import read_yaml

    config = read_yaml(path)
    if not isinstance(config, dict) or "model" not in config:
        raise ValueError(f"'{path}' has no part `model`; expected the configuration of a system.")
    here = {name: _is_here(name) for name in _named_weights(config["model"])}
    model = _build_on_meta(_without_weights(config["model"]))
    branches = {name: f"{type(branch).__name__} {branch.dim}" for name, branch in model.each_branch().items()}
    return System(
        name=path.stem,
        kind=kind_of(model),
        branches=branches,
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6,
        weights=here,
        published=PUBLISHED.get(path.stem, (None, None, None, None)),
    )


def kind_of(model: QualityModule) -> str:
    """Return `FR` where a branch sees the source, else `NR`; `image` where frames are judged alone, else `video`."""
    views = [branch.view for branch in model.each_branch().values()]
    moving = model.reads_order or any(view.frames.clip_length > 1 for view in views)
    return f"{'FR' if any(view.with_reference for view in views) else 'NR'} {'video' if moving else 'image'}"


def _is_here(weights: str) -> bool:
    from cvqa_models.weights import resolve

    # A language model is a folder.
    for name in (weights, f"{weights}/config.json"):
        try:
            resolve(name)
        except FileNotFoundError:
            continue
        return True
    return False


def _build_on_meta(config: dict[str, Any]) -> Any:
    import torch
    from jsonargparse import ArgumentParser

    from cvqa_models.commands.configured import one_sentence
    from cvqa_models.models.module import QualityModule
    from cvqa_models.trust import imports_only_from

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    with torch.device("meta"), one_sentence(), imports_only_from():
        return parser.instantiate(parser.parse_object({"model": config})).model


def _named_weights(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in WEIGHTS and isinstance(item, str):
                yield item
            else:
                yield from _named_weights(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named_weights(item)


def _without_weights(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if key in WEIGHTS else _without_weights(item) for key, item in value.items()}
    return [_without_weights(item) for item in value] if isinstance(value, list) else value


def _table(rows: list[System]) -> Table:
    figures = ("SROCC", "PLCC", "KROCC", "Result")
    table = Table(Column("system", no_wrap=True), "kind", "M parameters", "trained", "weights here", *figures, box=None)
    for row in rows:
        published = ["" if value is None else f"{value:.4f}" for value in row.published]
        sizes = [f"{value:.2f}" for value in (row.parameters, row.trainable)]
        table.add_row(row.name, row.kind, *sizes, f"{sum(row.weights.values())} of {len(row.weights)}", *published)
    return table


def _parts(row: System) -> str:
    """Return the lines below the table: what a system is made of, and the weights that are not here."""
    lines = [f"{row.name}: " + ", ".join(f"{name} {text}" for name, text in row.branches.items())]
    missing = [name for name, here in row.weights.items() if not here]
    return "\n".join([*lines, *([f"  missing: {', '.join(missing)}"] if missing else [])])
