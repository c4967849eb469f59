"""Check a set of videos before a run starts, for faults that the run would find late, or never."""

from __future__ import annotations

import logging
from pathlib import Path

from cvqa_models.metrics.group_score import SMALLEST_GROUP
from cvqa_models.remote import remote
from cvqa_models.tables import near_misses
from cvqa_models.types import VideoRecord

log = logging.getLogger(__name__)


def check_labels(side: str, records: list[VideoRecord]) -> None:
    """Raise a ValueError if a video has no score."""
    missing = [record.video_id for record in records if record.mos != record.mos]
    if missing:
        raise ValueError(
            f"`mos` is missing for {len(missing)} of {len(records)} {side} videos (first: {missing[0]!r}); fill the "
            "column, or give those rows another split."
        )


def check_spread(side: str, records: list[VideoRecord]) -> None:
    """Raise a ValueError if no group that counts has different scores: the loss or the result would always be 0.

    A training group counts if two of its videos have a label with a weight; in evaluation, a group needs three videos.
    """
    groups: dict[str, list[float]] = {}
    for record in records:
        if side != "train" or record.weight > 0:
            groups.setdefault(record.group, []).append(record.mos)
    least = 2 if side == "train" else SMALLEST_GROUP
    flat = [name for name, scores in groups.items() if len(scores) < least or len(set(scores)) == 1]
    if len(flat) < len(groups):
        if flat:
            log.warning(
                "%s: %d of %d groups do not count, having fewer than %d videos or equal scores (first: %r)",
                side, len(flat), len(groups), least, flat[0],
            )  # fmt: skip
        return
    if groups and all(len(scores) == 1 for scores in groups.values()):
        raise ValueError(f"Every {side} group has a single video, which ranks nothing; correct the `group` column.")
    cost = "there is no order to learn" if side == "train" else f"`{side}/result` would be 0 whatever is predicted"
    raise ValueError(
        f"None of the {len(groups)} {side} groups has {least} videos whose scores differ, so {cost}; correct the "
        f"columns `mos` and `group`, or give `split.{side}` other references."
    )


def check_files(side: str, records: list[VideoRecord], with_reference: bool) -> None:
    """Raise a ValueError if a file that will be decoded is missing; else the run would fail only when it needs it."""
    files = [(record.video_id, record.path) for record in records]
    if with_reference:
        files += [(record.video_id, record.reference_path) for record in records]
    here = [(video_id, Path(path)) for video_id, path in files if path is not None and remote(path) is None]
    lost = [(video_id, path) for video_id, path in here if not path.is_file()]
    if lost:
        video_id, first = lost[0]
        folder = first.parent
        where = f"there is no folder '{folder}'"
        if folder.is_dir():
            names = [path.name for _, path in lost if path.parent == folder]
            where = f"'{folder}' holds no {near_misses(names, [path.name for path in folder.iterdir()])}"
        raise ValueError(
            f"{len(lost)} of {len(files)} {side} files are not there (first: {video_id!r}): {where}; correct the paths "
            "of the table, or leave such videos out with `skip_broken`."
        )
