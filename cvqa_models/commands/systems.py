"""`cvqa systems`: list every system with its branches, sizes, weights, their licences, and published figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table

from cvqa_models.ending import MISTAKE
from cvqa_models.files import write_json
from cvqa_models.messages import console, say

if TYPE_CHECKING:
    from cvqa_models.inference.systems import Figures, System

_ALLOWED = {True: "yes", False: "no", None: "see below"}


def systems(*, check_weights: bool = False, fetch: str | None = None, json: Path | None = None) -> int:
    """List the systems of `configs/model`: kind, branches, parameters, weights and published figures.

    The columns from SROCC to Result are figures of the challenge. `public set` is what authors report on other sets;
    the lines below the table say more. `commercial` says if the licences of all weights allow commercial use; `see
    below` means that a licence has conditions or is not known.

    Networks are built without memory for their weights, so the largest takes no more memory than the smallest.

    Args:
        fetch: Download these weights, by name, into `checkpoints/` first; without this, nothing is downloaded.
        check_weights: Whether to check the weights files too: those that configs name, those that come with the
            project, and all other known ones that are here. The exit code is 2 if a file is missing or differs from
            what its authors published.
        json: Also write the list to this file.

    Returns:
        Exit code.

    Examples:
        cvqa systems
        cvqa systems --check-weights --json systems.json
    """
    from cvqa_models.inference import systems as library
    from cvqa_models.weights import files  # torch is slow to import, and help does not need it

    if fetch is not None:
        files.fetch(fetch, files.FOLDER)
    rows = library.systems()
    if json is not None:
        write_json(json, [asdict(row) for row in rows])
    page = console(width=max(console().width, 144))  # width of the table; a narrower terminal wraps it
    page.print(_table(rows))
    page.print("", *map(_parts, rows), sep="\n", soft_wrap=True)
    if not check_weights:
        return 0
    states = library.check_files({name for row in rows for name in row.weights})
    lines = [f"{name}: {state}" for name, state in states.items()]
    page.print("", *lines, sep="\n", soft_wrap=True)
    faults = [name for name, state in states.items() if state in ("missing", "damaged")]
    if faults:
        names = ", ".join(faults)
        text = f"Missing or damaged: {names}. checkpoints/README.md says where each comes from."
        say(text, stderr=True)
    return MISTAKE if faults else 0


def _table(rows: list[System]) -> Table:
    figures = ("SROCC", "PLCC", "KROCC", "Result")
    last = (Column("public set", no_wrap=True), "commercial")
    table = Table(
        Column("system", no_wrap=True), "kind", "M parameters", "trained", "weights here", *figures, *last, box=None
    )
    for row in rows:
        published = ["" if value is None else f"{value:.4f}" for value in row.published]
        sizes = ["" if value is None else f"{value:.2f}" for value in (row.parameters, row.trainable)]
        here = f"{sum(row.weights.values())} of {len(row.weights)}"
        commercial = _ALLOWED[row.commercial] if row.weights else ""
        elsewhere = "" if row.public_sets is None else _figures(row.public_sets)[0]
        table.add_row(row.name, row.kind, *sizes, here, *published, elsewhere, commercial)
    return table


def _figures(published: Figures) -> list[str]:
    return [f"{name} {value:.3f}" for name, value in published.values.items()]


def _parts(row: System) -> str:
    """Return the lines below the table: the parts of a system, its licences, figures, and missing weights."""
    if row.fault is not None:
        return f"{row.name}: cannot be built here: {row.fault}"
    lines = [f"{row.name}: " + ", ".join(f"{name} {text}" for name, text in row.branches.items())]
    if row.weights:
        told = [f"{name} {row.licences.get(name, 'not known')}" for name in row.weights]
        lines.append(f"  licence: {'; '.join(told)}")
    if row.public_sets is not None:
        lines.append(f"  published: {', '.join(_figures(row.public_sets))} ({row.public_sets.source})")
    missing = [name for name, here in row.weights.items() if not here]
    return "\n".join([*lines, *([f"  missing: {', '.join(missing)}"] if missing else [])])
