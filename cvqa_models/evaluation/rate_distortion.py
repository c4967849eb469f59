"""Compare encoders: delta rates against an anchor, for each source and over all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from cvqa_models.evaluation.compared_videos import HUMAN, Columns, read_scores, read_videos
from cvqa_models.evaluation.curve_agreement import Agreement, agreements
from cvqa_models.evaluation.delta_rates import Curve, Delta, MeanDelta, curves_of, deltas_of, differences, means_of
from cvqa_models.evaluation.size_ladders import SizeLadder, size_ladders
from cvqa_models.messages import OF_A_FILE, sentence_of
from cvqa_models.metrics.bd_rate import Interpolation
from cvqa_models.metrics.bootstrap import Difference
from cvqa_models.tables import near_misses


class HasValue(Protocol):
    """Anything with a `value`, as a scorer returns."""

    @property
    def value(self) -> float:
        """Return the score."""
        ...


@dataclass(frozen=True)
class Comparison:
    """Encoders against an anchor.

    Attributes:
        anchor: The encoder with which the others are compared.
        interpolation: How curves are interpolated between their points.
        videos: One row per encode: `video_id`, `path`, `source`, `preset`, `encoder`, `lines`, `kbps`, and each score
            as it was given.
        scores: Names of the scores, the human one last.
        turned: Scores for which lower is better; their curves hold negated values.
        curves: Curve of each source and encoder by each score.
        deltas: Delta rate of each source and encoder except the anchor, by each score, or the reason why there is none.
        means: Their means over sources, for each encoder, and for each of its presets if there are several.
        differences: Score -> ((encoder, other), paired difference of their means in percentage points).
        agreements: How the delta rates by each score agree with those by human scores.
        ladders: Convex hull over sizes, and a ladder along it, for each source and encoder in several sizes.
        left_out: One sentence for each input that could not be used.
    """

    anchor: str
    interpolation: Interpolation
    videos: pd.DataFrame
    scores: tuple[str, ...]
    turned: frozenset[str]
    curves: tuple[Curve, ...]
    deltas: tuple[Delta, ...]
    means: tuple[MeanDelta, ...]
    differences: dict[str, list[tuple[tuple[str, str], Difference]]]
    agreements: tuple[Agreement, ...]
    ladders: tuple[SizeLadder, ...]
    left_out: tuple[str, ...]

    @cached_property
    def encoders(self) -> list[str]:
        """Return the encoders, the anchor first."""
        return [self.anchor, *sorted(set(self.videos["encoder"]) - {self.anchor})]

    @property
    def worse(self) -> list[MeanDelta]:
        """Return the encoders that take more rate than the anchor by the first score, over all presets."""
        return [one for one in self.means if one.score == self.scores[0] and not one.preset and one.percent > 0]

    def below(self, limit: float) -> pd.DataFrame:
        """Return the videos whose first score is worse than a limit."""
        value = self.videos[self.scores[0]]
        return self.videos[value > limit if self.scores[0] in self.turned else value < limit]


def compare(
    videos: str | Path,
    *,
    anchor: str,
    by: str | Sequence[str] = "codec",
    scores: str | Path | Sequence[str | Path] | None = None,
    scorer: Callable[[Path], HasValue] | None = None,
    name: str = "score",
    lower_is_better: Sequence[str] = (),
    interpolation: Interpolation = "pchip",
    bootstrap: int = 2000,
    seed: int = 0,
) -> Comparison:
    r"""Return delta rates (BD-rate) of encoders against one of them, with intervals over sources.

    Encodes compare inside one source and preset, or inside one source if `by` holds `preset`. Curves are interpolated
    over log rate and never extrapolated. If an encoder has several sizes of a source, its curve is their convex hull.

    Args:
        videos: A manifest, or a folder: of `cvqa build encode`, of folders `SOURCE/ENCODER/`, or of files named
            `ENCODER_PRESET_SOURCE_RATE`. Rates that no table gives are measured.
        anchor: Encoder with which the others are compared, as in the column `by`; values of several columns are joined
            by `/`, as in `x264/medium`.
        by: Column or columns that name what is compared.
        scores: Tables of scores, larger is better, with `video_id` and a column per score. Known measures for which
            lower is better, such as LPIPS, are negated; they are known by their name. Of the columns that the table of
            the videos has, too, only known measures count: others, such as `quality`, may be settings of the encoder.
        scorer: Scorer for the files, such as `cvqa_models.load()`, in place of `scores`.
        name: Name for the scores of `scorer`.
        lower_is_better: Further columns that must be negated.
        interpolation: Monotone cubic (PCHIP), or Akima's.
        bootstrap: Number of resamples of the sources for 95 % intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        FileNotFoundError: If a table or folder is not there.
        ValueError: If a table is malformed, there is no such anchor, or nothing can be compared.

    Examples:
        >>> from pathlib import Path
        >>> import cvqa_models
        >>> rows = [f"{c}{n},city,{c},{2**n * (1000 if c == 'old' else 800)}" for c in ("old", "new") for n in range(4)]
        >>> _ = Path("encodes.csv").write_text("\n".join(["video_id,reference,codec,bitrate_kbps", *rows]))
        >>> rows = [f"{c}{n},{10 * n}" for c in ("old", "new") for n in range(4)]
        >>> _ = Path("scores.csv").write_text("\n".join(["video_id,score", *rows]))
        >>> found = cvqa_models.compare("encodes.csv", anchor="old", scores="scores.csv")
        >>> round(found.means[0].percent, 1)
        -20.0
    """
    columns_by = [by] if isinstance(by, str) else list(by)
    if bootstrap < 0:
        raise ValueError(f"`bootstrap` is {bootstrap}; expected a number of resamples, or 0 for none.")
    frame, header, problems = read_videos(Path(videos), columns_by)
    _check_anchor(frame, anchor, columns_by)
    if scores is None and scorer is not None:
        frame, unscored = _scored(frame, scorer, name)
        problems += unscored
    files = [scores] if isinstance(scores, str | Path) else list(scores or [])
    columns = read_scores([Path(file) for file in files], frame, header, lower_is_better)
    if name in frame and scorer is not None:
        columns = Columns({name: frame[name], **columns.values}, columns.turned, columns.problems)
    if not columns.values:
        raise ValueError("Nothing says how good the encodes are; give `--scores FILE`, or what scores them.")
    return _compared(frame, columns, problems, anchor, interpolation, bootstrap, seed)


def _compared(
    frame: pd.DataFrame,
    columns: Columns,
    problems: list[str],
    anchor: str,
    interpolation: Interpolation,
    bootstrap: int,
    seed: int,
) -> Comparison:
    videos = frame.assign(**columns.values)
    curves, broken = curves_of(videos, columns)
    scores = tuple(dict.fromkeys(curve.score for curve in curves))
    if not scores:
        raise ValueError(f"No curve can be drawn: {[*broken, *columns.problems][0]}")
    deltas = deltas_of(videos, curves, anchor, interpolation, columns.turned)
    reasons = [f"{one.place} {one.reason}." for one in deltas if one.bd is None and one.reason]
    if not any(one.bd for one in deltas):
        raise ValueError(f"Nothing can be compared: {[*broken, *reasons, *columns.problems][0]}")
    return Comparison(
        anchor=anchor,
        interpolation=interpolation,
        videos=videos,
        scores=scores,
        turned=columns.turned & set(scores),
        curves=tuple(curves),
        deltas=tuple(deltas),
        means=tuple(means_of(deltas, bootstrap, seed)),
        differences={score: differences(deltas, score, bootstrap, seed) for score in scores},
        agreements=tuple(agreements(deltas, [one for one in scores if one != HUMAN], bootstrap, seed)),
        ladders=tuple(size_ladders(videos, columns.turned, scores[0])),
        left_out=(*problems, *columns.problems, *broken, *reasons),
    )


def _check_anchor(frame: pd.DataFrame, anchor: str, by: Sequence[str]) -> None:
    encoders = sorted(set(frame["encoder"]))
    if anchor not in encoders:
        raise ValueError(
            f"`anchor` is {near_misses([anchor], encoders)}, but {'/'.join(by)} is one of {', '.join(encoders[:8])}; "
            "give one of these."
        )
    if len(encoders) < 2:
        raise ValueError(f"All {len(frame)} encodes are of {anchor!r}; a comparison needs another encoder.")


def _scored(frame: pd.DataFrame, scorer: Callable[[Path], HasValue], name: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with a column of scores, NaN for files without a score, and a sentence for each of these."""
    lacking = frame[frame["path"].isna()]
    if len(lacking) == len(frame):
        raise ValueError("No encode has a file to be scored; give `--scores FILE`, or fill the column `path`.")
    values, problems = [], [f"{video!r} has no file to be scored." for video in lacking["video_id"]]
    for path in frame["path"]:
        values.append(np.nan)
        if path is not None:
            try:
                values[-1] = scorer(Path(path)).value
            except OF_A_FILE as error:
                problems.append(sentence_of(path, error))
    return frame.assign(**{name: values}), problems
