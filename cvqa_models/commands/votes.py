"""`cvqa votes`: from pair comparisons to scores."""

from __future__ import annotations

import logging
from os.path import relpath
from pathlib import Path
from typing import Literal

import pandas as pd

from cvqa_models.build import votes as pair_tests
from cvqa_models.build.bradley_terry import ANSWERS, fit_table
from cvqa_models.build.files import write_csv, write_json
from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.csv_table import near_misses, numbers, read_csv
from cvqa_models.data.manifest import read_table, write_manifest
from cvqa_models.ending import MISTAKE
from cvqa_models.terminal import say
from cvqa_models.types import VideoRecord

log = logging.getLogger(__name__)

By = Literal["group", "reference"]


def questions(
    videos: Path,
    *,
    out: Path,
    by: By = "group",
    share: float = 1.0,
    verification: bool = True,
    seed: int = 0,
    json: Path | None = None,
) -> None:
    """Write the pair list of a subjective test: which two videos to show side by side, in random order.

    Args:
        videos: Table of videos: a manifest, or one with CVQAD's columns.
        out: CSV to write: `group,left,right,expected`; `expected` holds the answer of verification questions.
        by: Compare inside each (reference, preset), or inside each reference across presets.
        share: Share of all pairs to ask; a ring through each set is always asked, so that every video is linked.
        verification: Whether to add questions with a known answer: highest against lowest rate of one encoder, where
            they differ by a factor of 4.
        seed: Of the draw.
        json: File for the result: table, number of questions, and of verification questions among them.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"`share` is {share}; expected a number from 0 to 1.")
    table = _videos(videos, by)
    asked = pair_tests.pair_list(table, share=share, seed=seed)
    count = 0
    if verification:
        checks = pair_tests.verification_questions(table, seed=seed)
        asked = pd.concat([asked, checks]).sample(frac=1, random_state=seed)
        count = len(checks)
        if checks.empty:
            log.warning(
                "'%s' gives no verification question, so careless viewers cannot be screened; it takes two videos of "
                "one set and `codec` whose `bitrate_kbps` differ by a factor of 4.",
                videos,
            )
    write_csv(out, asked)
    say(f"{len(asked)} questions, {count} of verification: {out}")
    if json is not None:
        write_json(json, {"questions": str(out), "count": len(asked), "verification": count})


def simulate(
    videos: Path,
    *,
    truth: Path,
    out: Path,
    column: str = "vmaf",
    scale: float = 12.0,
    by: By = "group",
    voters: int = 10,
    tie: float = 0.5,
    careless: float = 0.0,
    seed: int = 0,
    json: Path | None = None,
) -> None:
    """Write the answers of simulated viewers, to try the rest of the path before people vote.

    Args:
        videos: Table of videos: a manifest, or one with CVQAD's columns.
        truth: Table with `video_id` and the quality that the viewers perceive.
        out: CSV to write: `participant,group,left,right,expected,answer`.
        column: Column of `truth`, larger is better.
        scale: Points of that column that make one logit of preference.
        by: Compare inside each (reference, preset), or inside each reference across presets.
        voters: Number of viewers; each answers every question, verification questions among them.
        tie: Davidson's tie parameter; 0 for no ties.
        careless: Share of viewers who answer at random.
        seed: Of the answers.
        json: File for the result: table, number of votes and of viewers.
    """
    if voters < 1 or scale <= 0 or tie < 0 or not 0 <= careless <= 1:
        raise ValueError(
            "`voters` must be at least 1, `scale` positive, `tie` not negative, `careless` within 0 and 1."
        )
    table = _videos(videos, by)
    cells = read_csv(truth, ["video_id", column])
    known = dict(zip(cells["video_id"], numbers(cells, column, truth) / scale, strict=True))
    missing = [name for name in table["video_id"] if name not in known]
    if missing:
        raise ValueError(f"'{truth}' has no row for {len(missing)} videos (first: '{missing[0]}'); add them.")
    table["truth"] = table["video_id"].map(known)
    asked = pd.concat([pair_tests.pair_list(table, seed=seed), pair_tests.verification_questions(table, seed=seed)])
    answers = pair_tests.simulate_votes(table, asked, votes_per_pair=voters, tie=tie, careless=careless, seed=seed)
    write_csv(out, answers)
    say(f"{len(answers)} votes of {voters} viewers: {out}")
    if json is not None:
        write_json(json, {"votes": str(out), "count": len(answers), "viewers": voters})


def screen(votes: Path, *, out: Path, most_wrong: int = 0, json: Path | None = None) -> None:
    """Drop the votes of viewers who failed verification questions, and the verification questions themselves.

    Args:
        votes: CSV `participant,group,left,right,expected,answer`; `expected` is empty except in verification rows.
        out: CSV to write; a table of all viewers is written beside it, ending in `_viewers.csv`.
        most_wrong: Wrong verification answers that a viewer is forgiven.
        json: File for the result: table, and numbers of votes and viewers kept and given.
    """
    kept, viewers = pair_tests.screen_votes(
        read_csv(votes, ["participant", "answer", "expected"]), most_wrong=most_wrong
    )
    if kept.empty:
        raise ValueError(f"All {len(viewers)} viewers failed; check the `expected` answers or raise `most_wrong`.")
    write_csv(out, kept)
    write_csv(out.with_name(f"{out.stem}_viewers.csv"), viewers)
    count = int(viewers["kept"].sum())
    say(f"{count} of {len(viewers)} viewers and {len(kept)} votes kept: {out}")
    if json is not None:
        write_json(json, {"votes": str(out), "count": len(kept), "viewers_kept": count, "viewers": len(viewers)})


def scores(votes: Path, *, out: Path, videos: Path | None = None, by: By = "group", json: Path | None = None) -> int:
    """Turn votes into Bradley-Terry scores with ties (Davidson), the minimum of each set at 0, with standard errors.

    Videos without a vote and sets whose comparisons do not link all their videos are left out, votes that cannot count
    are dropped, and each is said; exit code 2 then. A video that won or lost all its comparisons has no sure distance
    from the others; that is said, too, but changes no exit code.

    Args:
        votes: CSV with `left,right,answer` (left, right or equal), and `group` or `test_case` unless `videos` is given.
        out: Table to write: `video_id`, the set, `score`, `standard_error`, `votes`; with `videos` a manifest with the
            scores as `mos` and their standard errors as `std`.
        videos: Table of the videos that the votes are about: a manifest, or one with CVQAD's columns.
        by: Score each (reference, preset), or each reference across presets; needs `videos`.
        json: File for the result: table, numbers of videos and sets, what was left out and what is unsure.
    """
    if by == "reference" and videos is None:
        raise ValueError("`by` reference needs `videos`, the table that names each video's reference.")
    fitted, left_out, unsure = read_votes(votes, None if videos is None else _videos(videos, by))
    if videos is None:
        write_csv(out, fitted)
    else:
        write_manifest(out, _scored_manifest(videos, out, fitted))
    say(f"{len(fitted)} videos in {fitted['group'].nunique()} sets: {out}")
    if json is not None:
        counts = {"videos": len(fitted), "sets": int(fitted["group"].nunique())}
        write_json(json, {"scores": str(out), **counts, "left_out": left_out, "unsure": unsure})
    return MISTAKE if left_out else 0


def read_votes(
    votes: Path, members: pd.DataFrame | None = None, dialect: Dialect = FOUND_OUT
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the scores of a file of votes, and sentences, logged too, on what was left out and on what is unsure.

    Args:
        votes: CSV with `left,right,answer` and, unless `members` is given, `group` or `test_case`.
        members: `video_id` and `group` of the videos that the votes are about.
        dialect: What is known of how the file is written.

    Returns:
        `group`, `video_id`, `score`, `standard_error`, `votes`; the minimum of each group is 0. The sentences are those
        of `fit_table`, and one about `members` without a vote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, an answer is unknown, or no group can be scored.
    """
    table = read_csv(votes, ["left", "right", "answer"], dialect=dialect)
    if "group" not in table:
        table = table.rename(columns={"test_case": "group"})
    left_out: list[str] = []
    if members is not None:
        table, left_out = _in_groups(table, members)
    fitted, wrong, unsure = fit_table(table)
    left_out += wrong
    if members is not None:
        left_out += _silent(members, table, fitted)
    for sentence in left_out + unsure:
        log.warning("%s", sentence)
    if fitted.empty:
        raise ValueError(f"'{votes}': no group could be scored. " + " ".join(left_out))
    return fitted, left_out, unsure


def _videos(path: Path, by: By) -> pd.DataFrame:
    """Return `video_id`, `group` (the sets of `by`), `codec`, `bitrate_kbps` of a table of videos."""
    records = read_table(path)
    return pd.DataFrame(
        {
            "video_id": [one.video_id for one in records],
            "group": [one.group if by == "group" else one.reference for one in records],
            "codec": [one.codec for one in records],
            "bitrate_kbps": [one.bitrate_kbps for one in records],
        }
    )


def _in_groups(votes: pd.DataFrame, members: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the votes whose two videos are known and of one set, with that set, and a sentence for the others."""
    group = dict(zip(members["video_id"], members["group"], strict=True))
    votes, unknown = pair_tests.known_votes(votes, set(group))
    problems = []
    if unknown:
        problems.append(
            f"The votes name {len(unknown)} unknown videos, {near_misses(unknown, group)}; their votes are dropped."
        )
    left, right = votes["left"].map(group), votes["right"].map(group)
    if (left != right).any():
        problems.append(f"{(left != right).sum()} votes compare videos of different sets and are dropped.")
    return votes.assign(group=left)[left == right].reset_index(drop=True), problems


def _silent(members: pd.DataFrame, votes: pd.DataFrame, fitted: pd.DataFrame) -> list[str]:
    """Return a sentence on the videos that no vote counts for, but for those of groups that could not be fitted."""
    counting = votes[votes["answer"].isin(ANSWERS) & (votes["left"] != votes["right"])]
    unfitted = set(counting["group"]) - set(fitted["group"])
    silent = members[~members["video_id"].isin(fitted["video_id"]) & ~members["group"].isin(unfitted)]
    if silent.empty:
        return []
    first = silent["video_id"].iloc[0]
    return [f"{len(silent)} of {len(members)} videos have no vote that counts, '{first}' (first), and get no score."]


def _scored_manifest(videos: Path, out: Path, fitted: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame([_row(one, out.parent) for one in read_table(videos)])
    scores = fitted.rename(columns={"score": "mos", "standard_error": "std"})[["video_id", "group", "mos", "std"]]
    return rows.merge(scores, on="video_id")


def _row(record: VideoRecord, folder: Path) -> dict[str, object]:
    def near(path: str | None) -> str:
        return relpath(path, folder) if path else ""

    return {
        "video_id": record.video_id,
        "path": near(record.path),
        "reference": record.reference,
        "codec": record.codec,
        "preset": record.preset,
        "bitrate_kbps": record.bitrate_kbps,
        "split": record.split,
        "weight": record.weight,
        "reference_path": near(record.reference_path),
    }
