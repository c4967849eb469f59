"""Files of a subjective test: its questions, simulated answers, the screening of viewers, and scores."""

from __future__ import annotations

import logging
from os.path import relpath
from pathlib import Path

import pandas as pd

from cvqa_models.corpus.labels import votes as pair_tests
from cvqa_models.corpus.labels.adaptive import next_questions
from cvqa_models.corpus.labels.bradley_terry import ANSWERS, fit_table
from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.manifest import read_table
from cvqa_models.tables import near_misses, numbers, read_csv
from cvqa_models.types import By, VideoRecord

log = logging.getLogger(__name__)

"""Whether videos are compared inside each (reference, preset), or inside each reference across presets."""


def questions(
    videos: Path,
    *,
    by: By = "group",
    share: float = 1.0,
    adaptive: Path | None = None,
    verification: bool = True,
    seed: int = 0,
) -> tuple[pd.DataFrame, int]:
    """Return the questions of a subjective test in random order, and how many of them verify the viewer.

    Args:
        videos: Table of videos: a manifest, or one with CVQAD's columns.
        by: Sets inside which videos are compared.
        share: Share of all pairs to ask; a ring through each set is always asked, so that every video is linked.
        adaptive: The votes so far. If given, the questions are the next batch, and `share` is not used.
        verification: Whether to add questions with a known answer.
        seed: Seed of the draw.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is malformed, or `share` is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"`share` is {share}; expected a number from 0 to 1.")
    table = read_videos(videos, by)
    if adaptive is None:
        asked = pair_tests.pair_list(table, share=share, seed=seed)
    else:
        asked = next_questions(table, _votes_so_far(adaptive, table), seed=seed)
    if not verification:
        return asked, 0
    checks = pair_tests.verification_questions(table, seed=seed)
    if checks.empty:
        log.warning(
            "'%s' gives no verification question, so careless viewers cannot be screened; it takes two videos of "
            "one set and `codec` whose `bitrate_kbps` differ by a factor of 4.",
            videos,
        )
    return pd.concat([asked, checks]).sample(frac=1, random_state=seed), len(checks)


def _votes_so_far(path: Path, members: pd.DataFrame) -> pd.DataFrame:
    """Return the votes that count for the next questions; the log names the others.

    Raises:
        ValueError: If no vote is about these videos.
    """
    votes, problems = _in_groups(read_csv(path, ["left", "right", "answer"]), members)
    strange = ~votes["answer"].isin(ANSWERS)
    if strange.any():
        problems.append(f"{strange.sum()} votes are dropped, whose answers are none of {', '.join(ANSWERS)}.")
    for sentence in problems:
        log.warning("'%s': %s", path, sentence)
    if votes[~strange].empty:
        raise ValueError(
            f"'{path}' holds no vote on two of these videos that counts; give the votes on them, or begin with "
            "`--share 0`."
        )
    return votes[~strange]


def simulated_votes(
    videos: Path,
    truth: Path,
    *,
    column: str = "vmaf",
    scale: float = 12.0,
    by: By = "group",
    voters: int = 10,
    tie: float = 0.5,
    careless: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the answers of simulated viewers: `participant,group,left,right,expected,answer`.

    Args:
        videos: Table of videos: a manifest, or one with CVQAD's columns.
        truth: Table with `video_id` and the quality that the viewers perceive.
        column: Column of `truth`, larger is better.
        scale: Points of that column that give one logit of preference.
        by: Sets inside which videos are compared.
        voters: Number of viewers; each answers every question, also the verification questions.
        tie: Davidson's tie parameter; 0 for no ties.
        careless: Share of viewers who answer at random.
        seed: Seed of the answers.

    Raises:
        FileNotFoundError: If a table is not there.
        ValueError: If a table is malformed, a video has no row in `truth`, or a number is out of range.
    """
    if voters < 1 or scale <= 0 or tie < 0 or not 0 <= careless <= 1:
        raise ValueError(
            "`voters` must be at least 1, `scale` positive, `tie` not negative, `careless` within 0 and 1."
        )
    table = read_videos(videos, by)
    cells = read_csv(truth, ["video_id", column])
    known = dict(zip(cells["video_id"], numbers(cells, column, truth) / scale, strict=True))
    missing = [name for name in table["video_id"] if name not in known]
    if missing:
        raise ValueError(f"'{truth}' has no row for {len(missing)} videos (first: '{missing[0]}'); add them.")
    table["truth"] = table["video_id"].map(known)
    asked = pd.concat([pair_tests.pair_list(table, seed=seed), pair_tests.verification_questions(table, seed=seed)])
    return pair_tests.simulate_votes(table, asked, votes_per_pair=voters, tie=tie, careless=careless, seed=seed)


def screened_votes(votes: Path, *, most_wrong: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the votes of viewers who passed, without the verification questions, and a table of all viewers.

    Args:
        votes: CSV `participant,group,left,right,expected,answer`; `expected` is empty except in verification rows.
        most_wrong: Largest number of wrong verification answers with which a viewer passes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or nobody passed.
    """
    kept, viewers = pair_tests.screen_votes(
        read_csv(votes, ["participant", "answer", "expected"]), most_wrong=most_wrong
    )
    if kept.empty:
        raise ValueError(f"All {len(viewers)} viewers failed; check the `expected` answers or raise `most_wrong`.")
    return kept, viewers


def read_votes(
    votes: Path, members: pd.DataFrame | None = None, dialect: Dialect = FOUND_OUT
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the scores of a file of votes, and sentences about what was left out and what is unsure, also logged.

    Args:
        votes: CSV with `left,right,answer` and, unless `members` is given, `group` or `test_case`.
        members: `video_id` and `group` of the videos that the votes compare.
        dialect: What the user said of how the file is written.

    Returns:
        `group`, `video_id`, `score`, `standard_error`, `votes`; the lowest score of each group is 0. The sentences are
        those of `fit_table`, and one about `members` without a vote.

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


def read_videos(path: Path, by: By) -> pd.DataFrame:
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
    """Return the votes whose two videos are known and of one set, with that set, and sentences about the others."""
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
    """Return a sentence about the videos without a vote that counts, except in groups that could not be fitted."""
    counting = votes[votes["answer"].isin(ANSWERS) & (votes["left"] != votes["right"])]
    unfitted = set(counting["group"]) - set(fitted["group"])
    silent = members[~members["video_id"].isin(fitted["video_id"]) & ~members["group"].isin(unfitted)]
    if silent.empty:
        return []
    first = silent["video_id"].iloc[0]
    return [f"{len(silent)} of {len(members)} videos have no vote that counts, '{first}' (first), and get no score."]


def scored_manifest(videos: Path, out: Path, fitted: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `videos` with fitted scores as `mos` and `std`, and paths relative to the folder of `out`."""
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
