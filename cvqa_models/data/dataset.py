"""Make batches of records: the input of each branch comes from the store, or from one decode per video."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cvqa_models.data.cached import describe_faults, read_features
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.groups import Deck
from cvqa_models.types import Batch, Demand, VideoRecord
from cvqa_models.video.copies import local, local_if
from cvqa_models.video.reader import ReadOptions, read_views
from cvqa_models.video.view import View

log = logging.getLogger(__name__)


def load_batch(
    records: Sequence[VideoRecord],
    demands: Mapping[str, Demand],
    store: FeatureStore | None,
    options: ReadOptions,
    rngs: Sequence[np.random.Generator] | None = None,
) -> Batch:
    """Return the batch of `records`, on the CPU.

    A branch reads from `store` if it holds its features for all of these videos; the views of all other branches are
    filled from one decode per video.

    Args:
        records: Videos, of one or several groups.
        demands: Branch name -> what it needs.
        store: Cached features, or None.
        options: How videos are read.
        rngs: One generator per video, for views that are random in training; None gives the views of evaluation.

    Raises:
        ValueError: If a video has no path or cannot be decoded, or one view would hold frames of different sizes.
        FileNotFoundError: If a video is not there.
    """
    return _read_batch(records, plan_reading(records, demands, store), store, options, rngs)


def _read_batch(
    records: Sequence[VideoRecord],
    plan: Reading,
    store: FeatureStore | None,
    options: ReadOptions,
    rngs: Sequence[np.random.Generator] | None,
) -> Batch:
    features: dict[str, Tensor] = {}
    if store is not None:
        features = read_features(store, plan.cached, records)
    views = [
        _decode(record, plan.views, options, None if rngs is None else rngs[row])
        for row, record in enumerate(records)
        if plan.views
    ]
    stacked = {key: _stack_view(key, [view[key] for view in views], records) for key in plan.views}
    return _batch(records, stacked, features)


@dataclass(frozen=True)
class Reading:
    """Where each branch's input comes from.

    Attributes:
        cached: Branch name -> cache key, for branches that are complete in the store.
        views: View key -> view that must be decoded for the others.
    """

    cached: dict[str, str]
    views: dict[str, View]


def plan_reading(records: Sequence[VideoRecord], demands: Mapping[str, Demand], store: FeatureStore | None) -> Reading:
    """Return which branches can read from the store for all of `records`, and which views the others need decoded.

    Raises:
        ValueError: If the store lacks measured values: decoding cannot give these.
    """
    video_ids = {record.video_id for record in records}
    cached = {
        name: demand.cache_key
        for name, demand in demands.items()
        if store is not None and demand.cache_key is not None and store.complete(demand.cache_key, video_ids)
    }
    views: dict[str, View] = {}
    for name, demand in demands.items():
        if name in cached:
            continue
        if demand.view is None:
            raise ValueError(_measured_elsewhere(name, demand, video_ids, store))
        views[demand.view.key] = demand.view
    return Reading(cached, views)


def is_packed(plan: Reading, records: Sequence[VideoRecord], store: FeatureStore | None) -> bool:
    """Return whether all branches read from shards of the store, so that features need not be held in memory."""
    names = [record.video_id for record in records]
    return not plan.views and store is not None and all(store.packed(key, names) for key in plan.cached.values())


def _measured_elsewhere(name: str, demand: Demand, video_ids: Iterable[str], store: FeatureStore | None) -> str:
    """Return a sentence about missing measured values, with the command that adds them."""
    where = "there is no `data.store`"
    if store is not None and demand.cache_key is not None:
        missing = sorted(one for one in video_ids if not store.has(demand.cache_key, one))
        where = f"'{store.path(demand.cache_key, '').parent}' lacks {len(missing)} videos (first: {missing[0]!r})"
    return (
        f"Branch `{name}` takes measured values, which cannot be computed from frames, and {where}; run `cvqa extract "
        "--from-table TABLE --columns ... --store STORE` with the store of this run."
    )


class VideoDataset(Dataset[Batch]):
    """Videos in items of one group each; an item is a `Batch`.

    Args:
        records: Videos of one split.
        items: Rows of each item, all of one group. In training, the rows of each group; a `Deck` makes items of them.
        demands: Branch name -> what it needs.
        store: Cached features, or None.
        options: How videos are read.
        videos_per_item: Largest number of videos of a group in an item, for training; None takes all.
        seed: None gives the views of evaluation. A number seeds the random draws per (seed, epoch, group), or without
            `shared_views` per (seed, epoch, video).
        skip_broken: Whether videos that cannot be read, or whose cached features cannot, are left out of their item and
            counted; otherwise they end the run.
        kept_draws: Number of epochs whose views are kept in memory and then used again in turn, so that each video is
            decoded only so many times. None decodes again in each epoch.
        shared_views: Whether random views show the videos of a group at the same places and times.

    Raises:
        ValueError: If cached features cannot be used; with `skip_broken`, only if none can be used.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        items: Sequence[Sequence[int]],
        demands: Mapping[str, Demand],
        store: FeatureStore | None,
        options: ReadOptions,
        *,
        videos_per_item: int | None = None,
        seed: int | None = None,
        skip_broken: bool = False,
        kept_draws: int | None = None,
        shared_views: bool = True,
    ) -> None:
        self.records = list(records)
        self.items = [list(rows) for rows in items]
        self.demands = dict(demands)
        self.store = store
        self.options = options
        self.seed = seed
        self.skip_broken = skip_broken
        self.kept_draws = kept_draws
        self.shared_views = shared_views
        self._deck = Deck(self.items, self.records, videos_per_item, seed) if seed is not None else None
        self._kept: dict[tuple[int, int], Batch] = {}
        self._plan = plan = plan_reading(records, demands, store)
        # A branch reads from the store only if the store is complete for it: never for a part of a data set.
        self.demands = {
            name: demand if name in plan.cached else Demand(demand.view, None) for name, demand in demands.items()
        }
        self.cached = not plan.views
        # Packed features stay where they are: every item reads its own rows.
        self.packed = bool(plan.cached) and is_packed(plan, records, store)
        # Shared with worker processes, so that this process knows the count of broken videos.
        self.broken = torch.zeros(len(self.records), dtype=torch.bool).share_memory_()
        self._table = self._open(plan) if self.records else None

    def __len__(self) -> int:
        return len(self.items if self._deck is None else self._deck)

    def __getitem__(self, index: int | tuple[int, int]) -> Batch:
        """Return an item; an index from `EpochSampler` is (epoch, item).

        With `skip_broken`, an item of evaluation is empty if none of its videos can be read. An item of training then
        draws other videos of its group.

        Raises:
            ValueError: If a video cannot be read; with `skip_broken`, if no video of a training group can be read.
        """
        epoch, item = index if isinstance(index, tuple) else (0, index)
        rows = self._draw(epoch, item)
        if self._table is not None and (rows or self._deck is None):
            return _take(self._table, rows)
        if not self.skip_broken:
            return self._load(epoch, rows)
        while rows:
            parts = [part for row in rows if (part := self._try(epoch, row)) is not None]
            if parts:
                return concatenate(parts)
            rows = self._draw(epoch, item)  # among the videos not known to be broken
        if self._deck is None:
            return _batch([], {}, {})  # this is a piece of a group; its other pieces may be readable
        group = self.records[self._deck.group(epoch, item)[0]].group
        raise ValueError(f"No video of group {group!r} could be read; run `cvqa check` on its files.")

    def _open(self, plan: Reading) -> Batch | None:
        """Check all cached features, so that bad ones are named before the run; return them if nothing must be decoded.

        With `skip_broken`, videos with bad features are left out, unless all are bad.
        """
        if self.store is None:
            return None if plan.views else _batch(self.records, {}, {})
        faults: dict[int, str] = {}
        held = self.cached and not self.packed
        features = read_features(self.store, plan.cached, self.records, faults=faults, keep=held)
        if len(faults) == len(self.records) or (faults and not self.skip_broken):
            raise ValueError(describe_faults(faults, self.records))
        if faults:
            log.warning("left out: %s", describe_faults(faults, self.records))
        self.broken[list(faults)] = True
        return _batch(self.records, {}, features) if held else None

    def broken_videos(self) -> list[str]:
        """Return the videos that were left out so far, on this rank, because they could not be read."""
        return [record.video_id for record, bad in zip(self.records, self.broken.tolist(), strict=True) if bad]

    def _draw(self, epoch: int, item: int) -> list[int]:
        broken = set(self.broken.nonzero().flatten().tolist()) if self.skip_broken else set()
        if self._deck is None:
            return [row for row in self.items[item] if row not in broken]
        return self._deck.rows(epoch, item, broken)

    def _load(self, epoch: int, rows: Sequence[int]) -> Batch:
        generators = self._rngs(epoch, rows)
        if generators is None or self.packed:
            return self._read(epoch, rows)
        # These seeds are of this epoch even if its views are kept ones, and independent of the views' draws.
        seeds = [int(rng.spawn(1)[0].integers(2**63)) for rng in generators]
        return replace(self._seen(epoch, rows), seeds=torch.tensor(seeds, dtype=torch.int64))

    def _seen(self, epoch: int, rows: Sequence[int]) -> Batch:
        if self.kept_draws is None:
            return self._read(epoch, rows)
        keys = [(epoch % self.kept_draws, row) for row in rows]
        for key in keys:
            if key not in self._kept:
                self._kept[key] = self._read(key[0], [key[1]])
        return concatenate([self._kept[key] for key in keys])

    def _read(self, epoch: int, rows: Sequence[int]) -> Batch:
        records = [self.records[row] for row in rows]
        # This uses the plan for all videos: to look for files again at every item would load a network disk for
        # nothing.
        return _read_batch(records, self._plan, self.store, self.options, self._rngs(epoch, rows))

    def _rngs(self, epoch: int, rows: Sequence[int]) -> list[np.random.Generator] | None:
        if self.seed is None:
            return None
        records = [self.records[row] for row in rows]
        names = [record.group if self.shared_views else record.video_id for record in records]
        seeds = [zlib.crc32(name.encode()) for name in names]
        return [np.random.default_rng((self.seed, epoch, seed)) for seed in seeds]

    def _try(self, epoch: int, row: int) -> Batch | None:
        try:
            return self._load(epoch, [row])
        except (ValueError, FileNotFoundError) as error:
            self.broken[row] = True
            log.warning("left out: %s", error)
            return None


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Return several batches as one, with groups numbered over all of them.

    Raises:
        ValueError: If one view would hold frames of different sizes.
    """
    if len(batches) == 1:
        return batches[0]
    ids = [video_id for batch in batches for video_id in batch.video_id]
    names = [name for batch in batches for name in batch.group_name]
    return Batch(
        video_id=ids,
        group_name=names,
        group=_group_index(names),
        mos=torch.cat([batch.mos for batch in batches]),
        weight=torch.cat([batch.weight for batch in batches]),
        views={
            key: torch.cat(_same_size(key, [batch.views[key] for batch in batches], [b.video_id[0] for b in batches]))
            for key in batches[0].views
        },
        features={name: torch.cat([batch.features[name] for batch in batches]) for name in batches[0].features},
        seeds=torch.cat(seeds) if (seeds := [b.seeds for b in batches if b.seeds is not None]) else None,
    )


def _decode(
    record: VideoRecord, views: Mapping[str, View], options: ReadOptions, rng: np.random.Generator | None
) -> dict[str, Tensor]:
    if record.path is None:
        raise ValueError(
            f"{record.video_id!r} has no file, and the store lacks features of it for view {next(iter(views))!r}; give "
            "the folder of the videos, or run `cvqa extract` where they are."
        )
    with local(record.path) as file, local_if(record.reference_path) as reference:
        return read_views(str(file), list(views.values()), options, rng=rng, reference=reference)


def _stack_view(key: str, views: Sequence[Tensor], records: Sequence[VideoRecord]) -> Tensor:
    return torch.stack(_same_size(key, views, [record.video_id for record in records]))


def _same_size(key: str, views: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
    for view, name in zip(views, names, strict=True):
        if view.shape[-2:] != views[0].shape[-2:]:
            (h, w), (h0, w0) = view.shape[-2:], views[0].shape[-2:]
            raise ValueError(
                f"View {key!r} is {w0}x{h0} for {names[0]!r} but {w}x{h} for {name!r}, which cannot share a batch; "
                "use a view of fixed size, or `videos_at_once: 1` to evaluate and groups of one size to train."
            )
    return list(views)


def _batch(records: Sequence[VideoRecord], views: dict[str, Tensor], features: dict[str, Tensor]) -> Batch:
    names = [record.group for record in records]
    mos = torch.tensor([record.mos for record in records], dtype=torch.float32)
    for record, held in zip(records, mos.tolist(), strict=True):
        if math.isinf(held) or (record.mos and not held):
            raise ValueError(
                f"`mos` of {record.video_id!r} is {record.mos}, outside the range of float32, in which models compute; "
                "rescale the scores."
            )
    return Batch(
        video_id=[record.video_id for record in records],
        group_name=names,
        group=_group_index(names),
        mos=mos,
        weight=torch.tensor([record.weight for record in records], dtype=torch.float32),
        views=views,
        features=features,
    )


def _group_index(names: Sequence[str]) -> Tensor:
    order = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([order[name] for name in names], dtype=torch.int64)


def _take(table: Batch, rows: Sequence[int]) -> Batch:
    """Return rows of a batch in memory, all of one group."""
    picked = torch.tensor(rows, dtype=torch.int64)
    return Batch(
        video_id=[table.video_id[row] for row in rows],
        group_name=[table.group_name[row] for row in rows],
        group=torch.zeros(len(rows), dtype=torch.int64),
        mos=table.mos[picked],
        weight=table.weight[picked],
        features={name: tokens[picked] for name, tokens in table.features.items()},
    )
