"""`cvqa votes screen` and `cvqa votes scores`: turn pair comparisons into scores."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.ending import MISTAKE
from cvqa_models.files import check_there, write_json
from cvqa_models.messages import say
from cvqa_models.types import By


def screen(votes: Path, *, out: Path, most_wrong: int = 0, json: Path | None = None) -> None:
    """Drop the votes of viewers who failed verification questions, and the verification questions themselves.

    Args:
        votes: CSV `participant,group,left,right,expected,answer`; `expected` is empty except in verification rows.
        out: CSV to write; a table of all viewers is written beside it, ending in `_viewers.csv`.
        most_wrong: Largest number of wrong verification answers with which a viewer is kept.
        json: File for the result: table, and numbers of votes and viewers kept and given.

    Examples:
        cvqa votes screen --votes votes.csv --out screened.csv
    """
    check_there("table", votes)
    from cvqa_models.corpus.folder import write_csv  # slow to import
    from cvqa_models.corpus.labels import vote_files

    kept, viewers = vote_files.screened_votes(votes, most_wrong=most_wrong)
    write_csv(out, kept)
    write_csv(out.with_name(f"{out.stem}_viewers.csv"), viewers)
    count = int(viewers["kept"].sum())
    say(f"{count} of {len(viewers)} viewers and {len(kept)} votes kept: {out}")
    if json is not None:
        write_json(json, {"votes": str(out), "count": len(kept), "viewers_kept": count, "viewers": len(viewers)})


def scores(votes: Path, *, out: Path, videos: Path | None = None, by: By = "group", json: Path | None = None) -> int:
    """Turn votes into Bradley-Terry scores with ties (Davidson) and standard errors; the lowest score of each set is 0.

    Videos without a vote, and sets whose comparisons do not link all their videos, are left out; votes that cannot
    count are dropped. Each case is reported, and the exit code is then 2. For a video that won or lost all its
    comparisons, the distance to the others is not known; this is reported too, but does not change the exit code.

    Args:
        votes: CSV with `left,right,answer` (left, right or equal), and `group` or `test_case` unless `videos` is given.
        out: Table to write: `video_id`, the set, `score`, `standard_error`, `votes`; with `videos` a manifest with the
            scores as `mos` and their standard errors as `std`.
        videos: Table of the videos that the votes compare: a manifest, or one with CVQAD's columns.
        by: Score each (reference, preset), or each reference across presets; needs `videos`.
        json: File for the result: table, numbers of videos and sets, what was left out and what is unsure.

    Examples:
        cvqa votes scores --votes screened.csv --videos data/mine/manifest.csv --out scored.csv
    """
    if by == "reference" and videos is None:
        raise ValueError("`by` reference needs `videos`, the table that names each video's reference.")
    check_there("table", votes, videos)
    # Slow imports come here, after the arguments are checked.
    from cvqa_models.corpus.folder import write_csv
    from cvqa_models.corpus.labels import vote_files
    from cvqa_models.data.manifest import write_manifest

    fitted, left_out, unsure = vote_files.read_votes(
        votes, None if videos is None else vote_files.read_videos(videos, by)
    )
    if videos is None:
        write_csv(out, fitted)
    else:
        write_manifest(out, vote_files.scored_manifest(videos, out, fitted))
    say(f"{len(fitted)} videos in {fitted['group'].nunique()} sets: {out}")
    if json is not None:
        counts = {"videos": len(fitted), "sets": int(fitted["group"].nunique())}
        write_json(json, {"scores": str(out), **counts, "left_out": left_out, "unsure": unsure})
    return MISTAKE if left_out else 0
