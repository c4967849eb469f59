"""Cached features of many videos, stacked; those of a whole set are looked at before a run, and all bad ones named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.types import VideoRecord

NAMED = 3  # bad videos that a message names


def read_features(
    store: FeatureStore,
    cached: Mapping[str, str],
    records: Sequence[VideoRecord],
    *,
    faults: dict[int, str] | None = None,
    keep: bool = True,
) -> dict[str, Tensor]:
    """Return the tokens of each branch, float32, shape (B, N, D).

    Args:
        store: Where they lie.
        cached: Branch name -> cache key.
        records: B videos.
        faults: Takes row -> what is wrong with its features, whose place is filled with 0; None raises at the first.
        keep: Whether the features are returned, or only looked at.

    Raises:
        ValueError: If features cannot be used, or those of a branch differ in shape.
        FileNotFoundError: If features are not there.
    """
    features = {}
    for name, key in cached.items():
        tokens: dict[int, Tensor] = {}
        first: tuple[VideoRecord, torch.Size] | None = None
        for row, record in enumerate(records):
            try:
                one = store.read(key, record.video_id, record.path, record.reference_path)
            except (ValueError, FileNotFoundError) as error:
                if faults is None:
                    raise
                faults.setdefault(row, str(error))
                continue
            first = first or (record, one.shape)
            if one.shape != first[1]:
                raise ValueError(
                    f"Features of branch `{name}` are {tuple(one.shape)} for {record.video_id!r} but "
                    f"{tuple(first[1])} for {first[0].video_id!r}; remove '{store.path(key, record.video_id).parent}' "
                    "and extract again."
                )
            if keep:
                tokens[row] = one
        if keep and first is not None:
            empty = torch.zeros(first[1])
            features[name] = torch.stack([tokens.get(row, empty) for row in range(len(records))])
    return features


def describe(faults: Mapping[int, str], records: Sequence[VideoRecord]) -> str:
    """Return a sentence on the rows with a fault: how many, the first names, and what is wrong with the first."""
    rows = sorted(faults)
    names = ", ".join(repr(records[row].video_id) for row in rows[:NAMED])
    more = ", ..." if len(rows) > NAMED else ""
    return f"Features of {len(rows)} of {len(records)} videos cannot be used ({names}{more}): {faults[rows[0]]}"
