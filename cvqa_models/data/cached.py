"""Read and stack the cached features of many videos. A run first checks all those of a set, and names the bad ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.types import VideoRecord

NAMED = 3  # how many bad videos a message names


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
        store: Store that holds the features.
        cached: Branch name -> cache key.
        records: B videos.
        faults: Filled with row -> what is wrong with its features; the row gets zeros. None raises at the first fault.
        keep: Whether the features are returned; otherwise they are only checked.

    Raises:
        ValueError: If features cannot be used, or the features of a branch differ in shape.
        FileNotFoundError: If features are missing.
    """
    features = {}
    for name, key in cached.items():
        tokens: dict[int, Tensor] = {}
        first: tuple[VideoRecord, tuple[int, ...]] | None = None
        for row, record in enumerate(records):
            source = key, record.video_id, record.path, record.reference_path
            try:
                one = store.read(*source) if keep else None
                shape = store.look(*source) if one is None else tuple(one.shape)
            except (ValueError, FileNotFoundError) as error:
                if faults is None:
                    raise
                faults.setdefault(row, str(error))
                continue
            first = first or (record, shape)
            if shape != first[1]:
                raise ValueError(
                    f"Features of branch `{name}` are {shape} for {record.video_id!r} but {first[1]} for "
                    f"{first[0].video_id!r}; remove '{store.path(key, record.video_id).parent}' and extract again."
                )
            if one is not None:
                tokens[row] = one
        if keep and first is not None:
            empty = torch.zeros(first[1])
            features[name] = torch.stack([tokens.get(row, empty) for row in range(len(records))])
    store.keep_times()
    return features


def describe_faults(faults: Mapping[int, str], records: Sequence[VideoRecord]) -> str:
    """Return a sentence about the rows with a fault: how many, the first names, and what is wrong with the first."""
    rows = sorted(faults)
    names = ", ".join(repr(records[row].video_id) for row in rows[:NAMED])
    more = ", ..." if len(rows) > NAMED else ""
    return f"Features of {len(rows)} of {len(records)} videos cannot be used ({names}{more}): {faults[rows[0]]}"
