"""Columns of scores with their labels, read from prediction files or a metric table."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.adapters.cvqad import KEYS, cvqad_id
from cvqa_models.data.labels import LabelTable
from cvqa_models.data.manifest import COLUMNS
from cvqa_models.data.predictions import read_predictions
from cvqa_models.metrics.correlation import Floats
from cvqa_models.tables import near_misses, numbers, read_csv, rows

log = logging.getLogger(__name__)

LABEL_COLUMNS = {*KEYS, *COLUMNS, "standard", "real_bitrate", "bitrate", "subjective_score", "reference_path"}


@dataclass(frozen=True)
class ScoreRows:
    """Videos and K columns of scores.

    Attributes:
        labels: Labelled videos and those without a label, N in all.
        names: Name of each column.
        scores: Larger is better, shape (N, K).
        turned: Columns for which lower is better; they are negated here.
        left_out: One sentence for each column of the file that cannot be evaluated: why.
    """

    labels: LabelTable
    names: list[str]
    scores: Floats
    turned: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    @property
    def group(self) -> list[str]:
        return self.labels.group

    @property
    def mos(self) -> Floats:
        return self.labels.mos

    @property
    def bitrate(self) -> Floats:
        return self.labels.bitrate

    @property
    def ladder(self) -> list[str]:
        """Name of each video's ladder: same group, source, encoder and preset."""
        own = self.labels
        return ["\t".join(cells) for cells in zip(own.group, own.reference, own.codec, own.preset, strict=True)]

    def select(self, keep: Sequence[bool]) -> ScoreRows:
        """Return the rows where `keep` is true."""
        rows = np.flatnonzero(np.asarray(keep, dtype=bool))
        return (
            self
            if len(rows) == len(self.labels)
            else replace(self, labels=self.labels.take(rows), scores=self.scores[rows])
        )

    def with_column(self, name: str, score: Floats) -> ScoreRows:
        """Return the same videos with a further column."""
        return replace(self, names=[*self.names, name], scores=np.column_stack([self.scores, score]))

    @property
    def direction(self) -> Floats:
        """Return -1 for each column that was negated and 1 for the others, shape (K,)."""
        return np.array([-1.0 if name in self.turned else 1.0 for name in self.names])

    def with_turned(self, names: Collection[str]) -> ScoreRows:
        """Return the rows with these columns negated, so that larger is better in all.

        Raises:
            ValueError: If there is no such column.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(
                f"`--lower-is-better` names {near_misses(unknown, self.names)}, which is not evaluated; expected some "
                f"of {', '.join(self.names[:8])}."
            )
        turned = replace(self, turned=frozenset(names))
        return replace(turned, scores=self.scores * turned.direction)


def from_predictions(labels: LabelTable, files: Sequence[Path]) -> ScoreRows:
    """Return the scores of prediction files, one column each, named after the file.

    Whole groups may be missing, as when only the test split was predicted; the log names them. Inside a group every
    labelled video must have a score.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is malformed, has constant scores, names an unknown video, or covers only a part of a
            group.
    """
    columns = {}
    for path, name in zip(files, _column_names(files), strict=True):
        scores = read_predictions(path)
        first = next(iter(scores.values()), None)
        if len(scores) > 1 and all(value == first for value in scores.values()):
            raise ValueError(
                f"'{path}': all {len(scores)} scores are {next(iter(scores.values()))}; a constant ranks nothing: "
                "check the model."
            )
        columns[name] = (str(path), scores)
    return _matched(labels, columns)


def from_table(labels: LabelTable, path: Path, dialect: Dialect = FOUND_OUT) -> ScoreRows:
    """Return every metric column of a wide table, keyed by `video_id` or by CVQAD's four columns.

    Columns of labels are left out, and so are columns without any number. A column in which only some cells are finite
    numbers is left out too, and named: it would be compared with the others on different videos.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it has no key or no complete metric column, or its videos are not those of `labels`.
    """
    table = read_csv(path, dialect=dialect)
    if "video_id" not in table and not set(KEYS) <= set(table):
        raise ValueError(f"'{path}' has neither `video_id` nor {', '.join(KEYS)}; a row must say which video it is.")
    ids = list(table["video_id"]) if "video_id" in table else [cvqad_id(row) for row in rows(table[list(KEYS)])]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(f"'{path}': {twice[0]!r} stands twice; keep one row per video.")
    columns, faults = {}, []
    for name in table.columns:
        if name in LABEL_COLUMNS or not any(map(_is_number, table[name].tolist())):
            continue
        try:
            columns[name] = (str(path), dict(zip(ids, numbers(table, name, path), strict=True)))
        except ValueError as error:
            faults.append(str(error).removesuffix("."))
    if not columns:
        whole = f" that is whole: {faults[0]}" if faults else ""
        raise ValueError(
            f"'{path}' has no column of numbers besides the labels{whole}; expected one column per metric."
        )
    return replace(_matched(labels, columns), left_out=tuple(faults))


def _matched(labels: LabelTable, columns: Mapping[str, tuple[str, Mapping[str, float]]]) -> ScoreRows:
    """Return the rows of all groups that any column covers, after all checks of names."""
    videos: dict[str, Mapping[str, float]] = {}
    for origin, scores in columns.values():
        videos.setdefault(origin, scores)
    unlabelled = np.isnan(labels.mos)
    found = {origin: _places(labels, origin, scores) for origin, scores in videos.items()}
    scored = np.stack([place >= 0 for place in found.values()])
    # A group that is a whole data set holds many references, so completeness is checked per group and reference.
    unit = _numbered(labels.group) * len(labels) + _numbered(labels.reference)
    wanted = np.isin(unit, np.unique(unit[scored.any(0)]))
    for (origin, scores), own in zip(videos.items(), scored, strict=True):
        missing = np.flatnonzero(wanted & ~own & ~unlabelled)
        if len(missing):
            inside = {labels.video_id[row] for row in np.flatnonzero(wanted).tolist()}
            lost = [labels.video_id[row] for row in missing.tolist()]
            raise ValueError(
                f"'{origin}' has no score for {len(lost)} of {wanted.sum()} videos of the groups that it covers: "
                f"{near_misses(lost, [name for name in scores if name not in inside])}; predict them too."
            )
    rows_ = np.flatnonzero(wanted & scored.all(0))
    if unlabelled[rows_].all():
        raise ValueError("None of the predicted videos has a subjective score; give a table with labels for them.")
    if len(rows_) < len(labels):
        log.info("evaluated %d of the table's %d videos: the others are not predicted.", len(rows_), len(labels))
    values = [
        np.fromiter(scores.values(), np.float64, len(scores))[found[origin][rows_]]
        for origin, scores in columns.values()
    ]
    chosen = labels if len(rows_) == len(labels) else labels.take(rows_)
    return ScoreRows(chosen, list(columns), np.stack(values, axis=1))


def _places(labels: LabelTable, origin: str, scores: Mapping[str, float]) -> NDArray[np.int64]:
    """Return the index of the score of each label, shape (N,); -1 if it has none.

    Raises:
        ValueError: If a score belongs to no label.
    """
    place = dict(zip(scores, range(len(scores)), strict=True))
    found = np.fromiter(map(place.get, labels.video_id, repeat(-1)), np.int64, len(labels))
    used = np.zeros(len(scores), dtype=np.bool_)
    used[found[found >= 0]] = True
    if not used.all():
        unknown = [name for name, known in zip(scores, used.tolist(), strict=True) if not known]
        raise ValueError(
            f"'{origin}' scores {len(unknown)} of {len(scores)} videos that the label table does not have: "
            f"{near_misses(unknown, set(labels.video_id))}; give the table that belongs to it."
        )
    return found


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each name, from 0, equal ones for equal names."""
    place = dict(zip(dict.fromkeys(names), count(), strict=False))
    return np.fromiter(map(place.__getitem__, names), np.int64, len(names))


def _column_names(files: Sequence[Path]) -> list[str]:
    """Return the stem of each file, or the whole path if two stems are equal."""
    stems = Counter(path.stem for path in files)
    return [path.stem if stems[path.stem] == 1 else str(path) for path in files]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
