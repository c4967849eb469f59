"""The videos of a comparison of encoders: the source, encoder, rate and scores of each."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cvqa_models.data.manifest import read_table
from cvqa_models.data.videos import composed, find_videos
from cvqa_models.evaluation.score_table import LABEL_COLUMNS
from cvqa_models.messages import OF_A_FILE, sentence_of
from cvqa_models.metrics.direction import is_lower_better, is_measure
from cvqa_models.tables import near_misses, number, read_csv

log = logging.getLogger(__name__)

HUMAN = "mos"
MANIFEST = "manifest.csv"
_NAME = re.compile(r"(?:enc_res_)?(?P<codec>[^_]+)_(?P<preset>[^_]+)_(?P<reference>.+)_(?P<rung>[^_]+)")
# Columns of numbers in a table that are not scores.
_SETTINGS = LABEL_COLUMNS | {
    "video", "notes", "height", "width", "resolution", "fps", "frames", "seconds", "duration", "crf", "qp", "rung",
    "kbps", "bits", "bytes", "filesize", "bpp", "bit_depth", "encoder", "standard", "encoding_time", "seed",
    "std", "ci", "var", "weight",
    "display", "low", "high", "frozen_seconds", "repeated_frames",  # what `cvqa score` writes beside a score
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Columns of scores, aligned with a table of videos.

    Attributes:
        values: Name -> scores as they were given, NaN if missing, shape (N,).
        turned: Names of columns for which lower is better.
        problems: One sentence for each thing that is missing.
    """

    values: Mapping[str, pd.Series]
    turned: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()


def read_videos(videos: Path, by: Sequence[str]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return one row per encode, the columns of their table, and a sentence for each file that cannot be used.

    Args:
        videos: A manifest, or a folder: of `cvqa build encode`, of folders `SOURCE/ENCODER/`, or of files named
            `ENCODER_PRESET_SOURCE_RATE`. Rates that no table gives are measured.
        by: Columns that name what is compared.

    Returns:
        Columns `video_id`, `path` (None if unknown), `source`, `preset` (empty if it is part of `by`), `encoder`
        (the cells of `by`, joined by `/`), `lines` (height; 0 if unknown), `kbps`, `mos`.

    Raises:
        FileNotFoundError: If there is no such table or folder.
        ValueError: If the table is malformed, lacks a column, or gives a rate that is not positive.
    """
    table = videos / MANIFEST if videos.is_dir() else videos
    if videos.is_dir() and not table.is_file():
        frame, cells = _of_names(videos)
    elif table.is_file():
        frame, cells = _of_table(table)
    else:
        raise FileNotFoundError(f"There is no table or folder '{videos}'; give a manifest or a folder of encodes.")
    header = [str(name) for name in cells.columns]
    unknown = [name for name in by if name not in header]
    if unknown:
        expected = [name for name in ("codec", "preset") if name in header] or header
        raise ValueError(
            f"`by` names {near_misses(unknown, header)}, which '{table}' has not; expected some of "
            f"{', '.join(expected)}."
        )
    frame["encoder"] = ["/".join(row) for row in cells[list(by)].itertuples(index=False, name=None)]
    frame["lines"] = _lines(cells)
    if "preset" in by:
        frame["preset"] = ""
        _drop_apart(frame)
    known, problems = _with_rates(frame.drop(columns="group"), table)
    return known, header, problems


def _drop_apart(frame: pd.DataFrame) -> None:
    """Drop human scores, in place, of sources whose encodes are in several groups: these scores cannot be compared."""
    groups = frame[frame[HUMAN].notna()].groupby("source")["group"].nunique()
    apart = groups[groups > 1].index
    if len(apart):
        frame.loc[frame["source"].isin(apart), HUMAN] = np.nan
        log.warning(
            "human scores of %d sources are left out (first: %r): they compare inside a group only, and here presets "
            "stand beside each other.", len(apart), apart[0],
        )  # fmt: skip


def _of_table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    records, cells = read_table(path), read_csv(path)
    if "sequence" not in cells and "reference" not in cells:
        raise ValueError(f"'{path}' has no column `reference`; add one that names the source of each encode.")
    columns = {
        "video_id": "video_id",
        "path": "path",
        "source": "reference",
        "preset": "preset",
        HUMAN: "mos",
        "group": "group",
    }
    frame = pd.DataFrame({name: [getattr(one, field) for one in records] for name, field in columns.items()})
    frame["kbps"] = [one.bitrate_kbps for one in records]
    twice = [name for name, count in Counter(frame["video_id"]).items() if count > 1]
    if twice:
        raise ValueError(f"'{path}': {twice[0]!r} stands twice; a comparison needs one row per encode.")
    return frame, cells


def _of_names(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the encodes of a folder without a table, from the names of folders or files.

    Raises:
        ValueError: If a name does not give source and encoder.
    """
    rows = []
    for path in find_videos(folder):
        parts, told = path.relative_to(folder).parts, _NAME.fullmatch(composed(path.stem))
        if len(parts) == 3:
            rows.append({"reference": parts[0], "codec": parts[1], "preset": ""})
        elif told:
            rows.append({key: told[key] for key in ("reference", "codec", "preset")})
        else:
            raise ValueError(
                f"'{path}' does not tell its source and encoder; put it into a folder SOURCE/ENCODER/, name it "
                "ENCODER_PRESET_SOURCE_RATE, or give a manifest with `reference`, `codec` and `path`."
            )
        rows[-1] |= {"path": str(path), "video_id": "/".join([*parts[:-1], composed(path.stem)])}
    cells = pd.DataFrame(rows)
    frame = cells.rename(columns={"reference": "source"}).drop(columns="codec")
    frame[HUMAN], frame["kbps"], frame["group"] = np.nan, np.nan, ""
    return frame, cells


def _lines(cells: pd.DataFrame) -> list[int]:
    """Return the height of each encode from its table, 0 if the table does not give it."""
    column = next((name for name in ("height", "resolution") if name in cells), None)
    if column is None:
        return [0] * len(cells)
    found = [re.search(r"(\d+)p?$", cell.strip()) for cell in cells[column]]  # `720`, `720p`, `1280x720`
    return [int(match[1]) if match else 0 for match in found]


def _with_rates(frame: pd.DataFrame, table: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with the rates and heights of its files filled in, without files that cannot be measured.

    Raises:
        ValueError: If a rate is not positive, or none is known.
    """
    wrong = frame[frame["kbps"] <= 0]
    if len(wrong):
        name, rate = wrong["video_id"].iloc[0], wrong["kbps"].iloc[0]
        raise ValueError(f"'{table}': `bitrate_kbps` of {name!r} is {rate:g}; expected a positive number.")
    problems = []
    if frame["kbps"].isna().any():  # decoders are slow to import, and most tables need none
        from cvqa_models.video.facts import bitrate_kbps
        from cvqa_models.video.reader import probe
    for index, row in frame[frame["kbps"].isna()].iterrows():
        if row["path"] is None:
            problems.append(f"{row['video_id']!r} has no rate: fill `bitrate_kbps`, or `path` to measure it.")
            continue
        try:
            info = probe(row["path"])
            frame.loc[index, "kbps"] = bitrate_kbps(info)  # type: ignore[index]
            frame.loc[index, "lines"] = frame.loc[index, "lines"] or info.height  # type: ignore[index]
        except OF_A_FILE as error:
            problems.append(sentence_of(row["path"], error))
    known = frame[frame["kbps"].notna()].reset_index(drop=True)
    if known.empty:
        raise ValueError(f"No encode of '{table}' has a rate: {problems[0]}")
    return known, problems


def read_scores(
    files: Sequence[Path], videos: pd.DataFrame, header: Collection[str], lower_is_better: Collection[str] = ()
) -> Columns:
    """Return the columns of scores of some tables, and the human scores of the videos if they are known.

    A column of numbers is one of scores, unless the table of the videos has it, too: then it says how an encode was
    made, as `quality` may be a CRF, and counts only if its name is that of a known measure, such as `vmaf`.

    Args:
        files: Tables with `video_id`, or `video` as `cvqa score --csv_file` writes it, and a column per score.
        videos: Table as from `read_videos`.
        header: Columns of the table of the videos.
        lower_is_better: Columns to negate, in addition to those that are known by name.

    Raises:
        FileNotFoundError: If a table is not there.
        ValueError: If a table has no key or no score, is of other videos, or two tables have a column of the same name;
            also if `lower_is_better` names a column that is missing.
    """
    values: dict[str, pd.Series] = {}
    problems: list[str] = []
    for file in files:
        found, missing = _scores_of(file, videos, set(header) - set(lower_is_better))
        shared = sorted(set(found) & set(values))
        if shared:
            raise ValueError(f"'{file}' and a table before it both have {shared[0]!r}; rename one of the columns.")
        values |= found
        problems += missing
    if videos[HUMAN].notna().any():
        values[HUMAN] = videos[HUMAN]
    unknown = [name for name in lower_is_better if name not in values]
    if unknown:
        raise ValueError(
            f"`--lower-is-better` names {near_misses(unknown, values)}; expected some of {', '.join(values)}."
        )
    turned = frozenset({name for name in values if is_lower_better(name)} | set(lower_is_better))
    return Columns(values, turned, tuple(problems))


def _scores_of(file: Path, videos: pd.DataFrame, header: Collection[str]) -> tuple[dict[str, pd.Series], list[str]]:
    table = read_csv(file)
    if "video_id" not in table and "video" not in table:
        raise ValueError(
            f"'{file}' has no column `video_id`; add one that names the videos, or `video` with their files."
        )
    rows = _rows(file, table, videos)
    if not rows:
        own = table["video_id" if "video_id" in table else "video"]
        raise ValueError(
            f"'{file}' scores none of the {len(videos)} videos, but {near_misses(own, set(videos['video_id']))}; give "
            "the scores of these videos."
        )
    names = _names_of_scores(file, table, header)
    found, problems = {}, []
    for name in names:
        cells = table[name].tolist()
        column = [number(cells[rows[key]]) if key in rows else None for key in videos["video_id"]]
        found[name] = pd.Series([np.nan if value is None else value for value in column], dtype=float)
        missing = videos["video_id"][found[name].isna()].tolist()
        if missing:
            surplus = set(table["video_id" if "video_id" in table else "video"]) - set(videos["video_id"])
            problems.append(
                f"'{file}' has no finite `{name}` for {len(missing)} of {len(videos)} videos, which its curves do "
                f"without: {near_misses(missing, surplus)}."
            )
    return found, problems


def _names_of_scores(file: Path, table: pd.DataFrame, header: Collection[str]) -> list[str]:
    """Return the columns of a table that are scores; see `read_scores`."""
    free = [name for name in table.columns if name not in _SETTINGS]
    numeric = [name for name in free if any(number(cell) is not None for cell in table[name])]
    settings = [name for name in numeric if name in header and not is_measure(name)]
    if settings:
        log.warning(
            "'%s': passed over as a setting, because the table of the videos has it, too: %s; a score among them needs "
            "another name, and a table with `video_id` and scores alone.",
            file, ", ".join(f"`{name}`" for name in settings),
        )  # fmt: skip
    names = [name for name in numeric if name not in settings]
    if not names:
        raise ValueError(f"'{file}' has no column of scores; its header is {', '.join(table.columns)[:200]}.")
    return names


def _rows(file: Path, table: pd.DataFrame, videos: pd.DataFrame) -> dict[str, int]:
    """Return the table's row of each video, found by its id, its path, or the stem of its file.

    Raises:
        ValueError: If a video is repeated.
    """
    ids = {name: name for name in videos["video_id"]}
    if "video_id" not in table:
        stems = Counter(Path(path).stem for path in videos["path"].dropna())
        for name, path in zip(videos["video_id"], videos["path"], strict=True):
            if path:
                ids[str(Path(path).resolve())] = name
                if stems[Path(path).stem] == 1:
                    ids[Path(path).stem] = name
    rows: dict[str, int] = {}
    for place, cell in enumerate(table["video_id"] if "video_id" in table else table["video"]):
        spelt = [cell] if "video_id" in table else [cell, str(Path(cell).resolve()), Path(cell).stem]
        name = next((ids[key] for key in spelt if key in ids), None)
        if name in rows:
            raise ValueError(f"'{file}' scores {name!r} twice; keep one row per video.")
        if name is not None:
            rows[name] = place
    return rows
