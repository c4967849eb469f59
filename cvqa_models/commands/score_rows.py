"""Columns of scores beside the labels they are evaluated against, read from prediction files or a metric table."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.csv_table import near_misses, numbers, read_csv, rows
from cvqa_models.data.adapters.cvqad import KEYS, cvqad_id
from cvqa_models.data.manifest import COLUMNS
from cvqa_models.data.submission import read_predictions
from cvqa_models.metrics.correlation import Floats
from cvqa_models.types import VideoRecord

log = logging.getLogger(__name__)

LABEL_COLUMNS = {*KEYS, *COLUMNS, "standard", "real_bitrate", "bitrate", "subjective_score", "reference_path"}


@dataclass(frozen=True)
class ScoreRows:
    """Videos and K columns of scores.

    Attributes:
        records: Labelled videos and those without a label, N in all.
        names: Name of each column.
        scores: Larger is better, shape (N, K).
        turned: Columns of which lower is better, and which are therefore negated here.
        left_out: What is wrong with each column that the file has but that cannot be evaluated, in one sentence each.
    """

    records: Sequence[VideoRecord]
    names: list[str]
    scores: Floats
    turned: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    @property
    def group(self) -> list[str]:
        return [record.group for record in self.records]

    @property
    def mos(self) -> Floats:
        return np.array([record.mos for record in self.records], dtype=np.float64)

    @property
    def bitrate(self) -> Floats:
        return np.array([record.bitrate_kbps for record in self.records], dtype=np.float64)

    @property
    def ladder(self) -> list[str]:
        """Name of each video's ladder: same group, source, encoder and preset."""
        return ["\t".join((r.group, r.reference, r.codec, r.preset)) for r in self.records]

    def select(self, keep: Sequence[bool]) -> ScoreRows:
        """Return the rows where `keep` is true."""
        chosen = np.asarray(keep, dtype=bool)
        records = [record for record, kept in zip(self.records, chosen, strict=True) if kept]
        return replace(self, records=records, scores=self.scores[chosen])

    def with_column(self, name: str, score: Floats) -> ScoreRows:
        """Return the same videos with one column more."""
        return replace(self, names=[*self.names, name], scores=np.column_stack([self.scores, score]))

    @property
    def direction(self) -> Floats:
        """Return -1 for each column that was turned and 1 for the others, shape (K,)."""
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


def from_predictions(records: Sequence[VideoRecord], files: Sequence[Path]) -> ScoreRows:
    """Return the scores of prediction files, one column each, named after the file.

    Whole groups may be left out, as when only the test split was predicted, and are logged; inside a group every
    labelled video must be scored.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is malformed, is constant, names an unknown video, or covers a group in part.
    """
    columns = {}
    for path, name in zip(files, _column_names(files), strict=True):
        scores = read_predictions(path)
        if len(scores) > 1 and len(set(scores.values())) == 1:
            raise ValueError(
                f"'{path}': all {len(scores)} scores are {next(iter(scores.values()))}; a constant ranks nothing: "
                "check the model."
            )
        columns[name] = (str(path), scores)
    return _matched(records, columns)


def from_table(records: Sequence[VideoRecord], path: Path, dialect: Dialect = FOUND_OUT) -> ScoreRows:
    """Return every metric column of a wide table, keyed by `video_id` or by CVQAD's four columns.

    Columns of labels are left out, and so are columns in which no cell is a number. A column in which some cells are no
    finite numbers is left out too, and named: it would be compared with the others on other videos.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it has no key, no metric column that is whole, or its videos are not those of `records`.
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
    return replace(_matched(records, columns), left_out=tuple(faults))


def _matched(records: Sequence[VideoRecord], columns: Mapping[str, tuple[str, Mapping[str, float]]]) -> ScoreRows:
    """Return the rows of all groups that any column covers, after every check of names."""
    known = {record.video_id for record in records}
    videos: dict[str, Mapping[str, float]] = {}
    for origin, scores in columns.values():
        videos.setdefault(origin, scores)
    for origin, scores in videos.items():
        unknown = [name for name in scores if name not in known]
        if unknown:
            raise ValueError(
                f"'{origin}' scores {len(unknown)} of {len(scores)} videos that the label table does not have: "
                f"{near_misses(unknown, known)}; give the table that belongs to it."
            )
    # A group that is a whole data set holds many references, so the unit that must be complete is both.
    covered = {(r.group, r.reference) for r in records if any(r.video_id in scores for scores in videos.values())}
    wanted = [r for r in records if (r.group, r.reference) in covered]
    for origin, scores in videos.items():
        missing = [r.video_id for r in wanted if r.video_id not in scores and not np.isnan(r.mos)]
        if missing:
            own = {r.video_id for r in wanted}
            surplus = [name for name in scores if name not in own]
            raise ValueError(
                f"'{origin}' has no score for {len(missing)} of {len(wanted)} videos of the groups that it covers: "
                f"{near_misses(missing, surplus)}; predict them too."
            )
    rows_ = [r for r in wanted if all(r.video_id in scores for scores in videos.values())]
    if not any(not np.isnan(r.mos) for r in rows_):
        raise ValueError("None of the predicted videos has a subjective score; give a table with labels for them.")
    if len(rows_) < len(records):
        log.info("evaluated %d of the table's %d videos: the others are not predicted.", len(rows_), len(records))
    values = [[scores[r.video_id] for r in rows_] for _, scores in columns.values()]
    return ScoreRows(rows_, list(columns), np.array(values, dtype=np.float64).T)


def _column_names(files: Sequence[Path]) -> list[str]:
    """Return the stem of each file, or the whole path where two stems are equal."""
    stems = Counter(path.stem for path in files)
    return [path.stem if stems[path.stem] == 1 else str(path) for path in files]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
