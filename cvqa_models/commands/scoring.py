"""The two kinds of output of `cvqa score`: a table of a few files, and rows of a library."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from cvqa_models.commands.score_pictures import Pictures
from cvqa_models.commands.scores import PLOTS, Scores
from cvqa_models.data.shards import parse_shard
from cvqa_models.ending import MISTAKE
from cvqa_models.inference.bulk import Job, made_by, run_bulk
from cvqa_models.inference.opened import as_file
from cvqa_models.inference.scorer import chosen_device, score_together
from cvqa_models.messages import OF_A_FILE, follow, say, sentence_of
from cvqa_models.models.shipped_level import MEASURES
from cvqa_models.types import Per

NAMED = 20  # how many faults are named on the screen; the rows hold all


def score_each(
    videos: Sequence[str],
    job: Job,
    timeline: Sequence[Path],
    per: Per,
    maps: Path | None,
    csv_file: Path | None,
    json: Path | None,
) -> int:
    """Print a row per file, write the requested files, and return the exit code."""
    scorer = job.scorer()
    scorer.check(reference=job.reference)
    result = Scores(scorer.name, job.reading.display)
    seen = Pictures(scorer, stills=any(path.suffix in PLOTS for path in timeline), maps=maps)
    asked = per if timeline or maps is not None else None
    try:
        for path in follow(videos, "scoring", shown=not sys.stdout.isatty()):  # the rows show it
            try:
                with as_file(path) if seen.any else nullcontext(path) as file:
                    found = scorer(file, reference=job.reference, per=asked)
                    stills, heat = seen.of(file, found)
            except OF_A_FILE as error:
                result.unscored[path] = sentence_of(path, error)
                continue
            result.stills[path] = stills
            result.add(path, found, over_time=bool(timeline))
            seen.write(path, found, heat)
    finally:
        result.say(len(set(videos)))
        if result.rows or set(result.unscored) == set(videos):  # else no video was done: keep old files
            result.write(csv_file, json, timeline)
    return MISTAKE if result.unscored else 0


def score_with_all(
    videos: Sequence[str], job: Job, models: Sequence[str], csv_file: Path | None, json: Path | None
) -> int:
    """Print a row per file with a column per model, each file decoded once, and return the exit code."""
    scorers = {Path(name).stem: replace(job, model=name).scorer() for name in models}
    if len(scorers) < len(models):
        raise ValueError(f"Two of the models {', '.join(models)} have one name, so one column; rename a file.")
    for scorer in scorers.values():
        scorer.check(reference=job.reference if scorer.compares else None)
    result = Scores(next(iter(scorers)), job.reading.display)
    try:
        for path in follow(videos, "scoring", shown=not sys.stdout.isatty()):
            try:
                found = score_together(scorers, path, reference=job.reference)
            except OF_A_FILE as error:
                result.unscored[path] = sentence_of(path, error)
                continue
            result.add_together(path, found)
    finally:
        result.say(len(set(videos)))
        if result.rows or set(result.unscored) == set(videos):
            result.write(csv_file, json, [])
    return MISTAKE if result.unscored else 0


def score_into(
    out: Path,
    job: Job,
    videos: Mapping[str, str],
    *,
    shard: str | None,
    workers: int | None,
    limit: float,
    retry: bool,
) -> int:
    """Write a row per video, name the faults, and return the exit code."""
    scorer = replace(job, device="cpu").scorer()
    scorer.check(reference=job.reference)
    job = replace(job, device=str(chosen_device(job.device)))
    own = parse_shard(shard)
    if own[1] > 1:
        say(f"part {own[0] + 1} of {own[1]}", stderr=True)
    by = made_by(scorer, job.device)
    done = run_bulk(job, videos, out, by, shard=own, workers=workers, limit=limit, retry=retry)
    if scorer.scale == MEASURES:
        say(f"score measures {MEASURES}.", stderr=True)
    say(f"{done.scored} videos scored, {done.present} had a row, {len(done.faults)} have no score", stderr=True)
    for reason in list(done.faults.values())[:NAMED]:
        say(f"cvqa: {reason}", stderr=True)
    if len(done.faults) > NAMED:
        say(f"cvqa: and {len(done.faults) - NAMED} more, each with its reason in the rows", stderr=True)
    return MISTAKE if done.faults else 0
