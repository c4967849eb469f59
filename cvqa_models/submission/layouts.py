"""Layouts of submission files. Scores that are incomplete, not finite or constant are refused."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

from cvqa_models import __version__
from cvqa_models.data.adapters.cvqad import cvqad_id, read_cvqad
from cvqa_models.files import write_bytes, write_text
from cvqa_models.tables import csv_text, harmless, near_misses, read_csv, rows


def check_scores(scores: Mapping[str, float], expected: Collection[str]) -> None:
    """Raise a ValueError unless every `expected` video has a finite score, and they are not all equal."""
    missing = [name for name in expected if name not in scores]
    wanted = set(expected)
    surplus = [name for name in scores if name not in wanted]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(expected)} videos have no score: {near_misses(missing, surplus or list(scores))}; "
            "predict them too."
        )
    bad = [name for name in expected if not math.isfinite(scores[name])]
    if bad:
        raise ValueError(f"The score of {bad[0]!r} is {scores[bad[0]]} ({len(bad)} in all); expected finite numbers.")
    if len(expected) > 1 and len({scores[name] for name in expected}) == 1:
        raise ValueError(
            f"All {len(expected)} scores are {next(iter(scores.values()))}; a constant ranks nothing: check the model."
        )


def write_generic(path: Path, scores: Mapping[str, float]) -> None:
    """Write `filename,score`, one row per video in the order of the predictions."""
    write_text(path, csv_text([["filename", "score"], *([name, repr(score)] for name, score in scores.items())]))


def write_cvqad(path: Path, scores: Mapping[str, float], table: str | Path) -> None:
    """Write CVQAD's own columns with `score` in place of the human score, so that it can be joined with a metric table.

    Rows of groups without any prediction are left out; a group with only some predictions is refused.

    Raises:
        ValueError: If the table is malformed, a group is incomplete, or a prediction is not in the table.
    """
    records = read_cvqad(str(table))
    known = {record.video_id for record in records}
    unknown = [name for name in scores if name not in known]
    if unknown:
        raise ValueError(
            f"'{table}' lacks {len(unknown)} predicted videos: {near_misses(unknown, known)}; correct one."
        )
    groups = {record.group for record in records if record.video_id in scores}
    check_scores(scores, [record.video_id for record in records if record.group in groups])
    kept = [name for name in read_csv(table).columns if name != "subjective_score"]
    lines = [
        [*(row[name] for name in kept), repr(scores[cvqad_id(row)])]
        for row in rows(read_csv(table))
        if cvqad_id(row) in scores
    ]
    write_text(path, csv_text([[*kept, "score"], *lines]))


def write_kvq(path: Path, scores: Mapping[str, float]) -> None:
    """Write a zip with `prediction.csv`, `filename,score`, as the KVQ challenge requires.

    Raises:
        ValueError: If a spreadsheet would run a name as a formula; the challenge's format cannot mark it as text.
    """
    risky = [name for name in scores if harmless(name) != name]
    if risky:
        raise ValueError(
            f"A spreadsheet would run the name {risky[0]!r} as a formula ({len(risky)} in all), and the KVQ format "
            "cannot mark it as text; rename the video."
        )
    lines = [[name if Path(name).suffix else f"{name}.mp4", repr(score)] for name, score in scores.items()]
    write_bytes(path, _zip({"prediction.csv": csv_text([["filename", "score"], *lines])}))


def write_text_layout(
    path: Path, scores: Mapping[str, float], *, seconds_per_video: float | None, extra_data: bool, device: str
) -> None:
    """Write a zip with `output.txt`, `name,score` per line, and the `readme.txt` that CodaLab challenges ask for.

    Raises:
        ValueError: If a name holds a comma or a line break, which the format cannot quote.
    """
    broken = [name for name in scores if "," in name or len(name.splitlines()) > 1]
    if broken:
        raise ValueError(
            f"The name {broken[0]!r} holds a comma or a line break ({len(broken)} in all), and a line of output.txt "
            "cannot quote it; rename the video."
        )
    seconds = "unknown" if seconds_per_video is None else f"{seconds_per_video:.3f}"
    readme = (
        f"runtime per video [s] : {seconds}\nCPU[1] / GPU[0] : {int(device == 'cpu')}\n"
        f"Extra Data [1] / No Extra Data [0] : {int(extra_data)}\nOther description : cvqa_models {__version__}\n"
    )
    output = "".join(f"{name},{score!r}\n" for name, score in scores.items())
    write_bytes(path, _zip({"output.txt": output, "readme.txt": readme}))


def _zip(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            # A fixed date, so that equal scores give equal bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return content.getvalue()
