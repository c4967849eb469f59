"""The training module: gradients, optimiser, schedule, and what a checkpoint holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from einops import rearrange
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cvqa_models.branches.base import Branch
from cvqa_models.branches.timm import Timm
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.training.callbacks.checkpoints import checkpoints
from cvqa_models.training.finite import check_gradients, describe_loss
from cvqa_models.training.module import Recipe
from cvqa_models.types import Batch
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View
from cvqa_models.weights.sources import WeightSource


class MeanColour(Branch):
    """A linear map of an 8x8 frame: the smallest branch with weights and dropout-free gradients."""

    def __init__(self, *, frozen: bool = False, seed: int = 0) -> None:
        super().__init__(View(KeyFrames(2), Resize(8, 8)), 6, frozen=frozen)
        self.sources.take("linear", "colours.safetensors", trained=not frozen)
        self.linear = nn.Linear(192, 6)
        nn.init.normal_(self.linear.weight, generator=torch.Generator().manual_seed(seed))

    def tokens(self, x: Tensor) -> Tensor:
        return torch.tanh(self.linear(rearrange(x, "b n c t h w -> b n (c t h w)").float() / 255))


def make_batch(videos: int = 12, groups: int = 2, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    group = torch.arange(videos) % groups
    return Batch(
        video_id=[f"v{i}" for i in range(videos)],
        group_name=[f"g{int(g)}" for g in group],
        group=group,
        mos=torch.randn(videos, generator=generator),
        weight=torch.ones(videos),
        views={
            MeanColour().view.key: torch.randint(
                0, 256, (videos, 2, 3, 1, 8, 8), generator=generator, dtype=torch.uint8
            )
        },
    )


def make_model(drop: list[str] | None = None, **recipe: object) -> MultiBranch:
    torch.manual_seed(0)
    branches: dict[str, Branch] = {"fixed": MeanColour(frozen=True, seed=1), "moving": MeanColour(seed=2)}
    return MultiBranch(branches, GroupLoss(), recipe=Recipe(**recipe), drop=drop, hidden=8, dropout=0.0)  # type: ignore[arg-type]


class Batches(pl.LightningDataModule):
    def __init__(self, batches: list[Batch]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]

    val_dataloader = train_dataloader


def fit(
    model: MultiBranch, folder: Path, epochs: int = 2, batches: list[Batch] | None = None, **trainer: object
) -> pl.Trainer:
    runner = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **trainer,  # type: ignore[arg-type]
    )
    runner.fit(model, datamodule=Batches(batches or [make_batch(seed=1), make_batch(seed=2)]))
    return runner


def gradients(model: MultiBranch, batch: Batch) -> tuple[float, dict[str, Tensor]]:
    total, count = model.training_loss(model._features_for_training(batch), batch)
    loss = total / count
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("videos_per_pass", [1, 5, 12])
def test_the_gradient_in_passes_equals_the_gradient_at_once(videos_per_pass: int) -> None:
    at_once = gradients(make_model(), make_batch())
    in_passes = gradients(make_model(videos_per_pass=videos_per_pass), make_batch())
    assert in_passes[0] == pytest.approx(at_once[0], abs=1e-6)
    assert in_passes[1].keys() == at_once[1].keys()
    for name, gradient in at_once[1].items():
        torch.testing.assert_close(in_passes[1][name], gradient, atol=1e-5, rtol=1e-5)


class Drawing(MeanColour):
    """A branch that draws by how much it scales a video."""

    def tokens(self, x: Tensor) -> Tensor:
        generators = self.generators()
        assert generators is not None
        scales = torch.cat([torch.rand(1, generator=generator) for generator in generators])
        return super().tokens(x) * scales[:, None, None]


def test_what_a_branch_draws_itself_is_the_same_in_passes_and_when_a_pass_is_computed_again() -> None:
    batch = replace(make_batch(), seeds=torch.arange(12) // 6)
    at_once, in_passes = (
        MultiBranch({"a": Drawing()}, GroupLoss(), recipe=Recipe(videos_per_pass=count), hidden=None, dropout=0.0)
        for count in (None, 5)
    )
    in_passes.load_state_dict(at_once.state_dict())
    expected, found = (gradients(model, batch) for model in (at_once, in_passes))
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-5, rtol=1e-5)


class BatchNormed(MeanColour):
    def __init__(self, *, frozen: bool = False) -> None:
        super().__init__(frozen=frozen)
        self.norm = nn.BatchNorm1d(6)

    def tokens(self, x: Tensor) -> Tensor:
        return rearrange(self.norm(rearrange(super().tokens(x), "b n d -> (b n) d")), "(b n) d -> b n d", b=len(x))


def test_the_gradient_in_passes_is_exact_with_batch_normalisation() -> None:
    at_once, in_passes = (
        MultiBranch({"a": BatchNormed()}, GroupLoss(), recipe=Recipe(videos_per_pass=count), hidden=None, dropout=0.0)
        for count in (None, 2)
    )
    in_passes.load_state_dict(at_once.state_dict())
    expected, found = (gradients(model, make_batch())[1] for model in (at_once, in_passes))
    assert "branches.a.norm.weight" in expected
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5)
    assert torch.equal(in_passes.branches["a"].norm.running_mean, torch.zeros(6))


def test_training_moves_what_is_trained_and_nothing_else(tmp_path: Path) -> None:
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, tmp_path, enable_checkpointing=False)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith("branches.fixed.")}


def test_input_statistics_come_from_training_videos_and_lie_in_the_checkpoint(tmp_path: Path) -> None:
    model = MultiBranch({"fixed": MeanColour(frozen=True, seed=1)}, GroupLoss(), hidden=None, norm="standard")
    trainer = fit(model, tmp_path, epochs=1)
    seen = torch.cat([model.features(make_batch(seed=seed))["fixed"].mean(1) for seed in (1, 2)])
    torch.testing.assert_close(model.head.norms[0].mean, seen.mean(0))
    torch.testing.assert_close(model.head.norms[0].deviation, seen.std(0, correction=0))
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    state = torch.load(tmp_path / "one.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(state["head.norms.0.mean"], seen.mean(0))


def test_input_statistics_leave_out_videos_without_label_or_weight() -> None:
    model = MultiBranch({"fixed": MeanColour(frozen=True, seed=1)}, GroupLoss(), hidden=None, norm="standard")
    batch = make_batch()
    batch.weight[0], batch.mos[1] = 0, float("nan")
    model.fit_inputs([batch])
    used = model.features(batch)["fixed"].mean(1)[2:]
    torch.testing.assert_close(model.head.norms[0].mean, used.mean(0))
    assert model.head.last.bias.item() == pytest.approx(float(batch.mos[2:].mean()))


def test_frozen_branch_stays_in_eval_mode() -> None:
    model = make_model().train()
    assert not model.branches["fixed"].training
    assert model.branches["moving"].training


def test_optimiser_groups_have_the_stated_rates_and_decay(tmp_path: Path) -> None:
    model = make_model(lr_head=1e-2, lr_backbone=1e-4, weight_decay=0.3)
    rates = {}
    for parameters, rate, decay, _ in model._parameter_groups():
        for parameter in parameters:
            name = next(n for n, p in model.named_parameters() if p is parameter)
            rates[name] = (rate, decay)
    assert rates["branches.moving.linear.weight"] == (1e-4, 0.3)
    assert rates["branches.moving.linear.bias"] == (1e-4, 0.0)
    assert rates["head.last.weight"] == (1e-2, 0.3)
    assert rates["head.norms.0.weight"] == (1e-2, 0.0)
    assert set(rates) == {name for name, p in model.named_parameters() if p.requires_grad}


def test_layers_learn_the_slower_the_nearer_they_are_to_the_pixels() -> None:
    branch = Timm("tf_efficientnet_lite0.in1k", num_clips=1)
    recipe = Recipe(lr_backbone=1e-3, layer_decay=0.5)
    model = MultiBranch({"content": branch}, GroupLoss(), recipe=recipe)
    rates = {id(p): rate for own, rate, _, _ in model._parameter_groups() for p in own}
    named = {name: rates[id(p)] for name, p in branch.net.named_parameters()}
    assert set(rates) == {id(p) for p in model.parameters()}
    assert named["conv_stem.weight"] == pytest.approx(1e-3 * 0.5**7)  # the stem, and six stages in between
    assert named["blocks.5.0.conv_pw.weight"] == pytest.approx(1e-3 / 2)
    assert named["conv_head.weight"] == named["bn2.bias"] == 1e-3
    assert rates[id(model.head.last.weight)] == recipe.lr_head


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_a_share_of_the_rate_is_one(share: float) -> None:
    with pytest.raises(ValueError, match=r"`layer_decay` is .*; expected a share above 0, up to 1\."):
        Recipe(layer_decay=share)


def test_a_branch_does_not_move_before_it_is_unfrozen(tmp_path: Path) -> None:
    model = make_model(trained_from_epoch={"moving": 1})
    before = model.branches["moving"].linear.weight.clone()  # type: ignore[union-attr, operator]
    seen: list[bool] = []

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.append(torch.equal(model.branches["moving"].linear.weight, before))  # type: ignore[union-attr, arg-type]

    fit(model, tmp_path, epochs=2, callbacks=[Watch()], enable_checkpointing=False)
    assert seen == [True, False]


def test_learning_rate_rises_then_falls_to_zero(tmp_path: Path) -> None:
    model = make_model(lr_head=1.0, warmup=0.2)
    rates: list[float] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    fit(model, tmp_path, epochs=10, callbacks=[Watch()], enable_checkpointing=False)
    peak = rates.index(max(rates))
    assert 2 <= peak <= 4
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-6)


def test_checkpoint_holds_no_frozen_weights_and_loads_exactly(tmp_path: Path) -> None:
    model = make_model()
    fit(model, tmp_path, enable_checkpointing=False).save_checkpoint(tmp_path / "model.ckpt")
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    assert not [key for key in content["state_dict"] if key.startswith("branches.fixed.")]
    other = make_model()
    other.on_load_checkpoint(content)
    other.load_state_dict(content["state_dict"], strict=True)
    torch.testing.assert_close(other.eval()(make_batch()), model.eval()(make_batch()), atol=0, rtol=0)


def test_checkpoint_made_with_other_frozen_weights_is_refused(tmp_path: Path) -> None:
    fit(make_model(), tmp_path, enable_checkpointing=False).save_checkpoint(tmp_path / "model.ckpt")
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    other = MultiBranch({"fixed": MeanColour(frozen=True, seed=9), "moving": MeanColour()}, GroupLoss(), hidden=8)
    with pytest.raises(ValueError, match="other frozen weights of branch `fixed`"):
        other.on_load_checkpoint(content)


def test_random_frozen_weights_stay_in_the_checkpoint(tmp_path: Path) -> None:
    model = make_model()
    model.branches["fixed"].sources["linear"] = WeightSource(None, seed=1)  # type: ignore[union-attr, operator]
    fit(model, tmp_path, enable_checkpointing=False).save_checkpoint(tmp_path / "model.ckpt")
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    assert content["frozen_digests"] == {}
    other = MultiBranch({"fixed": MeanColour(frozen=True, seed=9), "moving": MeanColour()}, GroupLoss(), hidden=8)
    other.on_load_checkpoint(content)
    other.load_state_dict(content["state_dict"], strict=True)
    torch.testing.assert_close(other.eval()(make_batch()), model.eval()(make_batch()), atol=0, rtol=0)


def test_a_frozen_branch_that_records_nothing_stays_in_the_checkpoint(tmp_path: Path) -> None:
    model = make_model()
    model.branches["fixed"].sources.clear()  # type: ignore[union-attr, operator]
    content = {"state_dict": dict(model.state_dict())}
    model.on_save_checkpoint(content)
    assert content["state_dict"].keys() == model.state_dict().keys()


def test_a_piece_without_a_readable_video_is_passed_over() -> None:
    empty = Batch([], [], group=torch.zeros(0, dtype=torch.int64), mos=torch.zeros(0), weight=torch.zeros(0))
    model = make_model()
    model.validation_step(empty, 0)
    model.test_step(empty, 0)
    assert model.predict_step(empty, 0) == []


def test_a_video_has_the_same_bits_in_every_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model().eval()
    batch = make_batch(28)
    alone = [row.score for one in batch.singles() for row in model.predict_step(one, 0)]
    assert len(set(alone)) == 28
    for size in (4, 7, 28):
        pieces = [batch.select(slice(start, start + size)) for start in range(0, 28, size)]
        assert [row.score for piece in pieces for row in model.predict_step(piece, 0)] == alone
        # Validation and test go by the same scores.
        model._validation.reset()
        for piece in pieces:
            model.validation_step(piece, 0)
        assert [row[3] for row in model._validation._rows] == alone


def spoil(model: MultiBranch, monkeypatch: pytest.MonkeyPatch, value: float, row: int = 3) -> None:
    """Let the score of one video of a batch be no finite number."""
    honest = model.score

    def score(features: dict[str, Tensor]) -> Tensor:
        scores = honest(features)
        place = torch.arange(len(scores)) == (row if len(scores) > 1 else 0)
        return torch.where(place, value, scores)

    monkeypatch.setattr(model, "score", score)


def test_a_loss_that_is_not_finite_stops_with_step_group_and_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    spoil(model, monkeypatch, float("nan"))
    with pytest.raises(
        ValueError,
        match=r"The loss of step 0 is nan in group 'g1', where 1 of its 12 videos.*; lower the",
    ):
        fit(model, tmp_path, enable_checkpointing=False, limit_val_batches=0)
    with pytest.raises(ValueError, match=r"The loss of step 0 is not finite on another rank, whose own message"):
        model._stop_spoilt({}, make_batch(), torch.tensor(0.0), own=False)
    whole = describe_loss(torch.tensor(float("inf")), torch.zeros(12), make_batch(), 7)
    assert whole.startswith("The loss of step 7 is inf in 2 groups (first: 'g0'), where its scores are finite; lower")


def test_a_gradient_that_is_not_finite_stops_before_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    # The root of 0 is finite, its slope is not.
    monkeypatch.setattr(
        model, "training_loss", lambda features, batch: ((model.score(features) * 0).sqrt().sum(), torch.tensor(1))
    )
    with pytest.raises(ValueError, match=r"The gradient of `[a-z.0-9]+` is not finite at step 0; lower the learning"):
        fit(model, tmp_path, enable_checkpointing=False, limit_val_batches=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_large_gradient_is_finite() -> None:
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.full((4,), 3e38)  # the sum of squares is not
    check_gradients([("a", parameter), ("b", nn.Parameter(torch.zeros(1)))], 0)
    check_gradients([("b", nn.Parameter(torch.zeros(1)))], 0)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_score_that_is_not_finite_is_refused(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model().eval()
    spoil(model, monkeypatch, value)
    for step in (model.validation_step, model.test_step, model.predict_step):
        with pytest.raises(ValueError, match=rf"The score of 'v0' is {value} \(.*: the model's weights hold"):
            step(make_batch(), 0)


@pytest.mark.parametrize("videos", [12, 36])
def test_small_groups_are_validated_and_said_once_not_to_be_official(
    videos: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pytorch_lightning")
    runner = fit(make_model(), tmp_path, batches=[make_batch(videos, seed=1)], enable_checkpointing=False)
    said = [line for line in caplog.messages if "not the official value" in line]
    assert len(said) == (videos < 30)  # two groups, which count officially from 15 videos on
    assert "srocc 6, plcc 6, krocc 6" in "".join(said) or videos == 36
    assert runner.callback_metrics["val/result"] > 0


class Reversible(MultiBranch):
    """Scores with what it knows of the truth, or with minus that in the epochs `reversed_in`."""

    reversed_in: tuple[int, ...] = ()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        noise = torch.randn(len(batch), generator=torch.Generator().manual_seed(0))
        sign = -1 if self.current_epoch in self.reversed_in else 1
        truth = batch.mos if sign == -1 else batch.mos + noise
        self._validation.update(batch.video_id, batch.group_name, batch.mos, sign * truth)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._test.update(batch.video_id, batch.group_name, batch.mos, -batch.mos)


@pytest.mark.parametrize(("reversed_in", "best"), [((0, 2), 1), ((0, 1, 2), 0)])
def test_minus_the_truth_is_negative_and_not_the_best(
    reversed_in: tuple[int, ...], best: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Reversible({"moving": MeanColour()}, GroupLoss(), hidden=8)
    model.reversed_in = reversed_in
    keeper, stopper = checkpoints(tmp_path)[0], EarlyStopping("val/result", mode="max", patience=9)
    runner = fit(model, tmp_path, epochs=3, batches=[make_batch(36, seed=1)], callbacks=[keeper, stopper])
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] == best
    assert runner.callback_metrics["val/result"] == -1
    assert (stopper.best_score > 0) == (best == 1)
    said = [line for line in caplog.messages if "orders videos against their scores" in line]
    assert said == ([] if best == 1 else [line for line in said if line.startswith("the best val/result is -1.0000")])
    runner.test(model, DataLoader([make_batch(36)], batch_size=None), verbose=False)  # type: ignore[arg-type]
    assert runner.callback_metrics["test/result"] == -1
    assert "test/result is -1.0000: the model orders videos against their scores" in caplog.messages[-1]


def test_averaged_weights_resume_without_frozen_weights_in_the_file(tmp_path: Path) -> None:
    from pytorch_lightning.callbacks import EMAWeightAveraging

    runner = fit(make_model(), tmp_path, callbacks=[EMAWeightAveraging(decay=0.5)], enable_checkpointing=False)
    runner.save_checkpoint(tmp_path / "model.ckpt")
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    assert not [key for key in content["state_dict"] if key.startswith("branches.fixed.")]
    assert not [key for key in content["current_model_state"] if key.startswith("branches.fixed.")]
    again = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
        callbacks=[EMAWeightAveraging(decay=0.5)],
    )  # fmt: skip
    again.fit(make_model(), datamodule=Batches([make_batch(seed=1)]), ckpt_path=tmp_path / "model.ckpt")
    assert again.current_epoch == 3


def test_autocast_training_keeps_the_score_in_float32(tmp_path: Path) -> None:
    model = make_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(make_batch()).dtype == torch.float32
    fit(model, tmp_path, precision="bf16-mixed", enable_checkpointing=False)


def test_dropping_a_branch_removes_it() -> None:
    model = make_model(drop=["moving"])
    assert list(model.demands) == ["fixed"]
    assert model(make_batch()).shape == (12,)


class FromScratch(BatchNormed):
    """Takes the statistics of the batch, as few branches do."""

    def train(self, mode: bool = True) -> Branch:
        super().train(mode)
        self.norm.train(mode and not self.frozen)
        return self


def test_a_recipe_that_a_branch_cannot_follow_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`videos_per_pass` is 2, but branch 'a' normalises by the statistics of"):
        MultiBranch({"a": FromScratch()}, GroupLoss(), recipe=Recipe(videos_per_pass=2))
    MultiBranch({"a": FromScratch(frozen=True)}, GroupLoss(), recipe=Recipe(videos_per_pass=2))
    with pytest.raises(ValueError, match="`trained_from_epoch` names 'fixed', a branch that is frozen for good; build"):
        make_model(trained_from_epoch={"fixed": 2})


def test_wrong_names_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="`drop` names 'motion', which is no branch"):
        make_model(drop=["motion"])
    with pytest.raises(ValueError, match="`drop` leaves no branch"):
        make_model(drop=["fixed", "moving"])
    with pytest.raises(ValueError, match="`trained_from_epoch` names 'motion'"):
        make_model(trained_from_epoch={"motion": 2})
    with pytest.raises(ValueError, match="`trained_from_epoch` of 'moving' is -1; expected an epoch, counted from 0"):
        make_model(trained_from_epoch={"moving": -1})
    with pytest.raises(ValueError, match="`videos_per_pass` is 0"):
        make_model(videos_per_pass=0)


def test_a_model_without_trainable_parameters_is_refused(tmp_path: Path) -> None:
    model = make_model()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        list(model._parameter_groups()) or model.configure_optimizers()
