"""`cvqa votes questions` and `cvqa votes simulate`: the questions of a subjective test, and simulated answers."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.files import check_there, write_json
from cvqa_models.messages import say
from cvqa_models.types import By


def questions(
    videos: Path,
    *,
    out: Path,
    by: By = "group",
    share: float = 1.0,
    adaptive: Path | None = None,
    verification: bool = True,
    seed: int = 0,
    json: Path | None = None,
) -> None:
    """Write the pair list of a subjective test: which two videos to show side by side, in random order.

    With `adaptive` it is the next batch of a running test: for each set of n videos, the n - 1 pairs whose answers
    should tell most about the order, given the votes so far. Make a new batch for each viewer, after the answers of the
    viewer before.

    Args:
        videos: Table of videos: a manifest, or one with CVQAD's columns.
        out: CSV to write: `group,left,right,expected`; `expected` holds the answer of verification questions.
        by: Compare inside each (reference, preset), or inside each reference across presets.
        share: Share of all pairs to ask; a ring through each set is always asked, so that every video is linked.
        adaptive: The votes so far, `group,left,right,answer`, in place of `share`; begin the test with `--share 0`.
        verification: Whether to add questions with a known answer: highest against lowest rate of one encoder, if they
            differ by a factor of 4.
        seed: Seed of the draw.
        json: File for the result: table, number of questions, and how many of them are verification questions.

    Examples:
        cvqa votes questions --videos data/mine/manifest.csv --out questions.csv
    """
    check_there("table", videos)
    if adaptive is not None:
        check_there("table of votes", adaptive)
        if share != 1:
            raise ValueError(f"`share` is {share}, but `adaptive` chooses the pairs; leave one of them out.")
    from cvqa_models.corpus.folder import write_csv  # slow to import
    from cvqa_models.corpus.labels import vote_files

    asked, count = vote_files.questions(
        videos, by=by, share=share, adaptive=adaptive, verification=verification, seed=seed
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
    """Write the answers of simulated viewers, to try the following steps before people vote.

    Args:
        videos: Table of videos: a manifest, or one with CVQAD's columns.
        truth: Table with `video_id` and the quality that the viewers perceive.
        out: CSV to write: `participant,group,left,right,expected,answer`.
        column: Column of `truth`, larger is better.
        scale: Points of that column that give one logit of preference.
        by: Compare inside each (reference, preset), or inside each reference across presets.
        voters: Number of viewers; each answers every question, also the verification questions.
        tie: Davidson's tie parameter; 0 for no ties.
        careless: Share of viewers who answer at random.
        seed: Seed of the answers.
        json: File for the result: table, number of votes and of viewers.

    Examples:
        cvqa votes simulate --videos data/mine/manifest.csv --truth data/mine/proxies.csv --out votes.csv
    """
    check_there("table", videos, truth)
    from cvqa_models.corpus.folder import write_csv  # slow to import
    from cvqa_models.corpus.labels import vote_files

    answers = vote_files.simulated_votes(
        videos, truth, column=column, scale=scale, by=by, voters=voters, tie=tie, careless=careless, seed=seed
    )
    write_csv(out, answers)
    say(f"{len(answers)} votes of {voters} viewers: {out}")
    if json is not None:
        write_json(json, {"votes": str(out), "count": len(answers), "viewers": voters})
