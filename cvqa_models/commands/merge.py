"""`cvqa merge`: join the parts of a bulk run to one file."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.ending import MISTAKE
from cvqa_models.files import write_text
from cvqa_models.messages import say

NAMED = 20  # how many missing or faulty videos are named


def merge(out: Path, /, *, videos: list[str] | None = None, csv_file: Path | None = None) -> int:
    """Join the parts that `cvqa score --out FILE` wrote next to FILE, one row per video, and count what is missing.

    The exit code is 2 if a video has no score.

    Args:
        out: FILE, as it was given to `cvqa score`; it then holds all rows, sorted by video.
        videos: The videos as given to `cvqa score`, to name those that have no row.
        csv_file: Also write the scores as a table that `cvqa evaluate` and `cvqa submit` take.

    Examples:
        cvqa merge scores.jsonl --videos /library --csv-file scores.csv
    """
    from cvqa_models.inference.bulk import videos_of
    from cvqa_models.inference.merge import merge as join
    from cvqa_models.inference.merge import table_of

    found = join(out, videos_of(videos or []))
    if csv_file is not None:
        write_text(csv_file, table_of(found.rows))
    scored = len(found.rows) - len(found.faults)
    say(f"{scored} videos have a score, {len(found.faults)} a reason instead, {len(found.missing)} no row: {out}")
    for part in found.absent:
        say(f"cvqa: part {part} was not there", stderr=True)
    told = [*found.faults.values(), *(f"'{video}' has no row; run `cvqa score` again." for video in found.missing)]
    for reason in told[:NAMED]:
        say(f"cvqa: {reason}", stderr=True)
    if len(told) > NAMED:
        say(f"cvqa: and {len(told) - NAMED} more", stderr=True)
    return MISTAKE if told else 0
