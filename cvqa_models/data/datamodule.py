"""The data side of training: splits, groups and loaders. The model says what to decode."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from cvqa_models.data.checks import check_files, check_labels, check_spread
from cvqa_models.data.dataset import VideoDataset, concatenate, is_packed, plan_reading
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.groups import EpochSampler, group_rows, in_pieces
from cvqa_models.data.manifest import Source, check_unique
from cvqa_models.data.progress import TrainingProgress
from cvqa_models.data.splits import Split, divide
from cvqa_models.types import Batch, DecoderName, Demand, Hdr, Untagged, VideoRecord
from cvqa_models.video.reader import ReadOptions

log = logging.getLogger(__name__)

STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}


class GroupDataModule(pl.LightningDataModule):
    """Videos with labels, loaded in groups.

    A training item is a group, or a random part of it. A group of several references, such as a data set without
    groups, is divided into pieces instead, so that each epoch shows every video once. Each rank gets whole items of its
    own. A checkpoint stores how many items of its epoch are done, so that a run goes on with the rest, on any number of
    ranks. Evaluation uses every video, in pieces of groups. Prediction uses the test references if there are any, else
    the validation references, else every video.

    Args:
        source: Data set of the videos and labels.
        split: Which references train, validate and test.
        store: Folder of cached features; null decodes everything.
        decoder: Decoding library.
        untagged: Colour matrix of streams of 720 lines and more that name none.
        hdr: `refuse` refuses HDR videos; `tonemap` turns them into SDR by the curve of ITU-R BT.2390; `keep` takes
            their values as if they were SDR's, as in the training of CompressedVQA-HDR.
        stream: Number of the video stream in files that hold several, from 0; null is the largest.
        display: Lines of the screen on which the videos are watched; pictures are first scaled to it. Null keeps each
            video's own lines. Ladders of several sizes need it: the loss from fewer lines only shows on a common
            screen.
        videos_per_group: Largest number of videos in a training item, chosen again in each epoch; null takes whole
            groups, even of thousands of videos.
        groups_per_batch: Items in a training step.
        videos_at_once: Videos that are decoded together in evaluation. Each is still scored by itself, so no bit of a
            score depends on this number.
        num_workers: Decoding processes; 0 decodes in the main process.
        timeout: Seconds after which a stuck worker ends the run.
        skip_broken: Whether videos that are missing or cannot be read are left out and counted; otherwise they end the
            run. Training still ends if no video of a group can be read.
        seed: Seed of every random draw.
        kept_draws: Number of training epochs whose decoded views are kept in memory, and then used again in turn; those
            of one validation are kept too. For small data that is costly to decode. Null decodes again in each epoch.
        shared_views: Whether random views show all videos of a group at the same places and times in training. Then
            only the work of the encoders differs between them, and the order inside a group is learned fast; but the
            content is common to all and cancels out. To learn a scale that holds across groups, give each video its own
            views.

    Attributes:
        predicted: Videos that prediction skips, because an earlier run has predicted them.
    """

    def __init__(
        self,
        source: Source,
        *,
        split: Split = Split(),  # noqa: B008 - frozen
        store: str | None = None,
        decoder: DecoderName = "auto",
        untagged: Untagged = "bt709",
        hdr: Hdr = "refuse",
        stream: int | None = None,
        display: int | None = None,
        videos_per_group: int | None = 8,
        groups_per_batch: int = 1,
        videos_at_once: int = 4,
        num_workers: int = 0,
        timeout: float = 300.0,
        skip_broken: bool = False,
        seed: int = 0,
        kept_draws: int | None = None,
        shared_views: bool = True,
    ) -> None:
        super().__init__()
        if videos_per_group is not None and videos_per_group < 2:
            raise ValueError(f"`videos_per_group` is {videos_per_group}; expected at least 2, since groups are ranked.")
        counts = {"groups_per_batch": groups_per_batch, "videos_at_once": videos_at_once, "kept_draws": kept_draws}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise ValueError(f"`{name}` is {value}; expected at least 1.")
        self.source = source
        self.split = split
        self.options = ReadOptions(decoder=decoder, untagged=untagged, hdr=hdr, stream=stream, display=display)
        self.store = FeatureStore(store, self.options.key) if store is not None else None
        self.videos_per_group = videos_per_group
        self.groups_per_batch = groups_per_batch
        self.videos_at_once = videos_at_once
        self.num_workers = num_workers
        self.timeout = timeout
        self.skip_broken = skip_broken
        self.seed = seed
        self.kept_draws = kept_draws
        self.shared_views = shared_views
        self.datasets: dict[str, VideoDataset] = {}
        self.predicted: Collection[str] = ()
        self._progress: TrainingProgress | None = None
        self._items_done: int | None = None

    def records(self) -> dict[str, list[VideoRecord]]:
        """Return the videos of `train`, `val`, `test` and `predict`.

        Raises:
            ValueError: If the source is malformed, or a reference falls on two sides.
        """
        everything = self.source.records()
        check_unique(everything, type(self.source).__name__)
        sides = divide(everything, self.split)
        chosen = sides["test"] or sides["val"] or everything
        return {**sides, "predict": [record for record in chosen if record.video_id not in self.predicted]}

    def setup(self, stage: str) -> None:
        demands = self._demands()
        records = self.records()
        for side in STAGES[stage]:
            if not records[side]:
                raise ValueError(f"`split` leaves no video for {side!r}; give `split.{side}` a share or references.")
        for side in STAGES[stage]:
            if side != "predict":
                check_labels(side, records[side])
                if side != "val" or self._validates():
                    check_spread(side, records[side])
        for side in STAGES[stage]:
            chosen = records[side]
            self.datasets[side] = self._dataset(side, chosen, demands)
            if not self.datasets[side].cached and not self.skip_broken:
                views = [demand.view for demand in demands.values() if demand.view is not None]
                check_files(side, chosen, any(view.with_reference for view in views))
            groups = len({record.group for record in chosen})
            how = "cached" if self.datasets[side].cached else "decoded"
            log.info("%s: %d videos in %d groups, %s", side, len(chosen), groups, how)

    def _validates(self) -> bool:
        return self.trainer is not None and self.trainer.limit_val_batches != 0

    def _demands(self) -> Mapping[str, Demand]:
        if self.trainer is None:
            raise ValueError("The data module has no trainer; run it through `train.py`, or call `load_batch`.")
        demands: Mapping[str, Demand] = self.trainer.lightning_module.demands  # type: ignore[assignment]
        return demands

    def _dataset(self, side: str, records: list[VideoRecord], demands: Mapping[str, Demand]) -> VideoDataset:
        training = side == "train"
        groups = group_rows(records)
        plan = plan_reading(records, demands, self.store)
        if training:
            items = [rows for rows in groups if len(rows) > 1]
        elif side == "predict" or plan.views or is_packed(plan, records, self.store):
            # Pieces are small in prediction from cached features too, so that every rank gets one.
            items = in_pieces(groups, self.videos_at_once)
        else:
            items = groups
        return VideoDataset(
            records,
            items,
            demands,
            self.store,
            self.options,
            videos_per_item=self.videos_per_group if training else None,
            seed=self.seed if training else None,
            skip_broken=self.skip_broken,
            # Evaluation shows the same views in every epoch.
            kept_draws=self.kept_draws if training or self.kept_draws is None else 1,
            shared_views=self.shared_views,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        assert self.trainer is not None
        self._progress = TrainingProgress(self.trainer, len(self.datasets["train"]), self.groups_per_batch)
        epoch, done = self._progress.resume(self._items_done)
        sampler = EpochSampler(
            self.datasets["train"],
            num_replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
            seed=self.seed,
            epoch=epoch,
            done=done,
        )
        return self._loader("train", sampler)

    def state_dict(self) -> dict[str, int]:
        """Return how many items of the epoch are done, on all ranks together; a checkpoint stores it."""
        return {} if self._progress is None else {"items_done": self._progress.items_done()}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Take the result of `state_dict`; the next training loader uses it."""
        self._items_done = state_dict.get("items_done")

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self._loader("predict")

    def _loader(self, side: str, sampler: EpochSampler | None = None) -> DataLoader[Batch]:
        dataset = self.datasets[side]
        # Cached features are in memory, or rows on the disk: a worker process could only copy them.
        workers = 0 if dataset.cached else self.num_workers
        return DataLoader(
            dataset,
            batch_size=self.groups_per_batch if side == "train" else 1,
            sampler=sampler,
            collate_fn=concatenate,
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
            timeout=self.timeout if workers else 0,
            persistent_workers=workers > 0,
        )

    def left_out(self, side: str) -> list[str]:
        """Return the videos of a side that this rank has left out so far, because they could not be read."""
        return self.datasets[side].broken_videos() if side in self.datasets else []

    def teardown(self, stage: str) -> None:
        for side, dataset in self.datasets.items():
            if names := self.left_out(side):
                log.warning("%s: %d of %d videos were left out: %s", side, len(names), len(dataset.records), names[:5])
