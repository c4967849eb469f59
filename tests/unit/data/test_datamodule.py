"""The data module under a real trainer: whole groups, every video once, the order of a resumed run."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.manifest import Mixed
from cvqa_models.data.splits import Split
from cvqa_models.types import Batch, Demand, VideoRecord
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Crop, Resize
from cvqa_models.video.view import View
from tests.unit.data.footage import make_videos

VIEW = View(KeyFrames(1), Resize(4, 4))


class Source:
    """Six references with two groups each; groups have 3 to 8 videos."""

    def records(self) -> list[VideoRecord]:
        return [
            VideoRecord(f"r{r}_{p}_{i}", None, f"r{r}/{p}", f"r{r}", mos=float(i))
            for r in range(6)
            for p in ("fast", "slow")
            for i in range(3 + r if p == "fast" else 4)
        ]


class Listed:
    """A source of given records."""

    def __init__(self, records: list[VideoRecord]) -> None:
        self.listed = records

    def records(self) -> list[VideoRecord]:
        return self.listed


class Model(pl.LightningModule):
    """Remembers which videos each step saw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.seen: list[tuple[str, list[str]]] = []

    @property
    def demands(self) -> dict[str, Demand]:
        return {"a": Demand(VIEW, "key")}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen.append(("train", batch.video_id))
        return self.layer(batch.features["a"]).mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen.append(("val", batch.video_id))

    def predict_step(self, batch: Batch, batch_idx: int) -> list[str]:
        return batch.video_id

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def store(tmp_path: Path) -> str:
    data = GroupDataModule(Source(), store=str(tmp_path / "store"))
    assert isinstance(data.store, FeatureStore)
    for record in Source().records():
        data.store.write("key", record.video_id, torch.ones(1, 2), {"reading": data.options.key})
    return str(tmp_path / "store")


def trainer(tmp_path: Path, epochs: int = 1, **options: object) -> pl.Trainer:
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*num_workers.*|.*log_every_n_steps.*|.*checkpoint directory.*")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return pl.Trainer(default_root_dir=tmp_path, max_epochs=epochs, num_sanity_val_steps=0, **quiet, **options)  # type: ignore[arg-type]


def test_steps_hold_whole_groups_and_evaluation_every_video(tmp_path: Path, store: str) -> None:
    model = Model()
    data = GroupDataModule(Source(), store=store, videos_per_group=None, split=Split(val=["r1"], test=["r2"]))
    run = trainer(tmp_path)
    run.fit(model, data)
    sides = data.records()
    trained = [names for side, names in model.seen if side == "train"]
    assert sorted(name for names in trained for name in names) == sorted(r.video_id for r in sides["train"])
    assert all(len({name.rsplit("_", 1)[0] for name in names}) == 1 for names in trained)
    validated = [name for side, names in model.seen if side == "val" for name in names]
    assert Counter(validated) == Counter(r.video_id for r in sides["val"])
    predicted = [name for names in run.predict(model, data) or [] for name in names]
    assert Counter(predicted) == Counter(r.video_id for r in sides["test"])


def test_large_groups_are_capped_and_groups_share_a_step(tmp_path: Path, store: str) -> None:
    model = Model()
    data = GroupDataModule(Source(), store=store, videos_per_group=3, groups_per_batch=2, split=Split(val=["r1"]))
    trainer(tmp_path).fit(model, data)
    trained = [names for side, names in model.seen if side == "train"]
    assert [len(names) for names in trained] == [6] * 5


def test_a_resumed_run_sees_what_the_whole_run_saw(tmp_path: Path, store: str) -> None:
    def fit(epochs: int, ckpt: str | None, **options: object) -> tuple[pl.Trainer, list[tuple[str, list[str]]]]:
        model = Model()
        data = GroupDataModule(Source(), store=store, videos_per_group=3, split=Split(val=["r1"]))
        run = trainer(tmp_path, epochs, **options)
        run.fit(model, data, ckpt_path=ckpt)
        return run, [seen for seen in model.seen if seen[0] == "train"]

    _, whole = fit(3, None, enable_checkpointing=False)
    first, start = fit(2, None)
    first.save_checkpoint(tmp_path / "two.ckpt")
    _, rest = fit(3, str(tmp_path / "two.ckpt"), enable_checkpointing=False)
    assert start + rest == whole
    assert whole[:10] != whole[10:20]


class Pool:
    """A data set without groups, and the split that it prescribes."""

    def __init__(self, count: int, validated: int) -> None:
        self.count, self.validated = count, validated

    def records(self) -> list[VideoRecord]:
        sides = ["val"] * self.validated + ["train"] * (self.count - self.validated)
        return [VideoRecord(f"p{i}", None, "pool", f"p{i}", float(i), split=side) for i, side in enumerate(sides)]


@pytest.mark.parametrize(
    ("saved", "options"),
    [
        ({"every_n_train_steps": 4}, {}),
        ({"every_n_train_steps": 4, "save_on_train_epoch_end": False}, {"limit_train_batches": 7}),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": False}, {"val_check_interval": 0.5}),
    ],
    ids=["steps", "limited", "validation"],
)
def test_a_checkpoint_inside_an_epoch_goes_on_with_the_rest(
    tmp_path: Path, store: str, saved: dict[str, object], options: dict[str, object]
) -> None:
    """Checkpoints inside epochs, at the last step of one, and after its validation: each item once, none again."""

    def fit(ckpt: Path | None, **more: object) -> list[tuple[str, list[str]]]:
        model = Model()
        data = GroupDataModule(Source(), store=store, videos_per_group=3, split=Split(val=["r1"]))
        trainer(tmp_path, 2, **options, **more).fit(model, data, ckpt_path=ckpt)
        return model.seen

    keep = ModelCheckpoint(dirpath=tmp_path / "kept", filename="{step}", save_top_k=-1, **saved)  # type: ignore[arg-type]
    whole = fit(None, callbacks=[keep])
    files = {int(path.stem.removeprefix("step=")): path for path in (tmp_path / "kept").glob("*.ckpt")}
    assert len(files) >= 3
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*ended before the epoch ended")
        for step, path in files.items():
            rest = fit(path, enable_checkpointing=False)
            trained = [seen for seen in whole if seen[0] == "train"]
            assert [seen for seen in rest if seen[0] == "train"] == trained[step:], step
            assert rest == whole[len(whole) - len(rest) :], "validation comes at the same places"


def test_a_mix_of_sources_keeps_its_weights(tmp_path: Path) -> None:
    def data(weights: list[float] | None) -> GroupDataModule:
        whole = Mixed([Source(), Pool(100, 20)], weights=weights)
        return GroupDataModule(whole, store=str(tmp_path / "store"), split=Split(val=["r1"]))

    keys = data(None)
    assert keys.store is not None
    for record in keys.source.records():
        keys.store.write("key", record.video_id, torch.ones(1, 2), {"reading": keys.options.key})
    steps = []
    for weights in (None, [3.0, 0.5]):
        model = Model()
        trainer(tmp_path, enable_checkpointing=False).fit(model, data(weights))
        seen = Counter(names[0][0] for side, names in model.seen if side == "train")
        steps.append(dict(seen))
    assert steps == [{"r": 10, "p": 10}, {"r": 30, "p": 5}]


class Decoding(Model):
    """Decodes a random view, and remembers what it saw of it."""

    @property
    def demands(self) -> dict[str, Demand]:
        return {"a": Demand(View(KeyFrames(2), Crop(16, random=True)), None)}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        (view,) = batch.views.values()
        self.seen.append((str(view.sum((1, 2, 3, 4, 5)).tolist()), batch.video_id))
        return self.layer(view.float().mean((2, 3, 4, 5))).mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        return


def test_workers_give_what_the_main_process_gives(tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", 6)
    records = [replace(video, reference=f"r{i // 2}", group=f"g{i // 2}") for i, video in enumerate(videos)]
    seen = []
    for workers in (0, 1):
        model = Decoding()
        data = GroupDataModule(Listed(records), num_workers=workers, split=Split(val=["r0"]))
        trainer(tmp_path, 2, enable_checkpointing=False, limit_val_batches=0).fit(model, data)
        seen.append(model.seen)
    assert seen[0] == seen[1]
    assert sorted(seen[0][:2]) != sorted(seen[0][2:])


@pytest.mark.parametrize("shared", [True, False])
def test_training_shares_views_in_a_group_as_it_is_told(tmp_path: Path, store: str, shared: bool) -> None:
    data = GroupDataModule(Source(), store=store, shared_views=shared, split=Split(val=["r1"]))
    trainer(tmp_path).fit(Model(), data)
    assert data.datasets["train"].shared_views is shared


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"videos_per_group": 1}, "`videos_per_group` is 1; expected at least 2"),
        ({"groups_per_batch": 0}, "`groups_per_batch` is 0; expected at least 1"),
        ({"kept_draws": 0}, "`kept_draws` is 0; expected at least 1"),
        ({"videos_at_once": 0}, "`videos_at_once` is 0; expected at least 1"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupDataModule(Source(), **arguments)  # type: ignore[arg-type]


def test_without_a_trainer_there_is_nothing_to_ask() -> None:
    with pytest.raises(ValueError, match="The data module has no trainer"):
        GroupDataModule(Source()).setup("fit")


def listed(**scores: float) -> list[VideoRecord]:
    """Return videos whose group is the first letter of their name."""
    return [VideoRecord(name, "x", name[0], name[0], mos) for name, mos in scores.items()]


@pytest.mark.parametrize(
    ("records", "split", "message"),
    [
        (
            [VideoRecord("a", None, "g", "a"), VideoRecord("b", None, "g", "b")],
            Split(val=["a"]),
            "`mos` is missing for 1 of 1 train",
        ),
        (
            [VideoRecord("a", None, "g", "a", 1.0), VideoRecord("b", None, "h", "b", 1.0)],
            Split(val=["a"]),
            "single video",
        ),
        (
            listed(a1=2, a2=2, b1=1, b2=2),
            Split(val=["b"]),
            "None of the 1 train groups has 2 videos whose scores differ",
        ),
        (
            listed(a1=1, a2=2, b1=1, b2=2),
            Split(val=["b"]),
            "None of the 1 val groups has 3 videos whose scores differ",
        ),
        ([VideoRecord(name, "x", "g", "a", 1.0) for name in "ab"], Split(val=0.0), "`split` leaves no video for 'val'"),
        ([VideoRecord("a", None, "g", "a", 1.0)] * 2, Split(), "'Listed': 'a' stands twice in group 'g'"),
    ],
)
def test_data_that_cannot_train_are_refused(
    tmp_path: Path, records: list[VideoRecord], split: Split, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).fit(Model(), GroupDataModule(Listed(records), split=split))
