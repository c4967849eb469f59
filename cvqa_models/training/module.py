"""Train, evaluate and predict with a quality model. A system adds its branches and how it fuses them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint as recompute

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss, Loss
from cvqa_models.metrics.accumulate import GroupAccumulator
from cvqa_models.places import portable
from cvqa_models.training.calibration import from_plain
from cvqa_models.training.finite import check_gradients, check_scores, describe_loss
from cvqa_models.training.lightning_private import built_by_command_line, forget_loader, trainer_of
from cvqa_models.training.schedule import Rates, WarmupCosine
from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.training.slimming import leave_out, put_back
from cvqa_models.types import Batch
from cvqa_models.weights.sources import WeightSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a model is optimised.

    Attributes:
        lr_head: Peak learning rate of everything that is not a branch.
        lr_backbone: Peak learning rate of trained branches.
        layer_decay: Each layer of a trained branch learns at this share of the rate of the layer after it, in (0, 1]:
            layers next to the pixels are the most general, and should change least. The last has `lr_backbone`; 1
            lets all learn alike. Layers are those of `Branch.layers`.
        weight_decay: AdamW's decay; biases, norms and other vectors are exempt.
        warmup: Share of all optimiser steps in which the rate rises linearly from 0; then it falls as a cosine to 0. If
            the run has no fixed number of steps (`max_epochs: -1` with only `max_time`), it is a share of the first
            epoch, and after it the rate stays at its peak.
        trained_from_epoch: Name of a branch -> epoch (counted from 0) from which it learns. A configuration with this
            setting builds the branch with `frozen: false`. Until that epoch its learning rate is 0: its parameters
            still take part in every gradient reduction, so DDP need not wrap the model again.
        videos_per_pass: Videos whose activations are held at once; null holds a whole batch. With k, all scores are
            first computed without a graph, and then k videos at a time are recomputed for their gradient. This gives
            the exact gradient of a group of any size in the memory of k videos, and costs one more forward pass. It
            cannot be used with a branch that normalises by the statistics of the batch (as `Compression` does when
            trained from scratch), because k videos have other statistics.
    """

    lr_head: float = 1e-3
    lr_backbone: float = 1e-5
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.05
    trained_from_epoch: dict[str, int] = field(default_factory=dict)
    videos_per_pass: int | None = None

    def __post_init__(self) -> None:
        for name in ("lr_head", "lr_backbone", "weight_decay"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"`{name}` is {value}; expected a finite number, 0 or more.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"`layer_decay` is {self.layer_decay}; expected a share above 0, up to 1.")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"`warmup` is {self.warmup}; expected a share of all steps, from 0 to 1.")
        for name, epoch in self.trained_from_epoch.items():
            if epoch < 0:
                raise ValueError(f"`trained_from_epoch` of {name!r} is {epoch}; expected an epoch, counted from 0.")
        if self.videos_per_pass is not None and self.videos_per_pass < 1:
            raise ValueError(f"`videos_per_pass` is {self.videos_per_pass}; expected a positive number or null.")


class QualityModule(ScoringModel, pl.LightningModule):
    """A quality model that learns; a system supplies the branches and `score`.

    Args:
        branches: Name -> branch.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.

    Raises:
        ValueError: If the recipe trains a frozen branch, or sets `videos_per_pass` for a branch that normalises by the
            statistics of the batch.

    """

    def __init__(
        self,
        branches: Mapping[str, Branch],
        loss: Loss | None = None,
        recipe: Recipe = Recipe(),
    ) -> None:
        check_names("trained_from_epoch", recipe.trained_from_epoch, branches)
        _check_recipe(recipe, branches)
        super().__init__(branches)
        self.loss: Loss = GroupLoss() if loss is None else loss
        self.recipe = recipe
        self._validation = GroupAccumulator()
        self._test = GroupAccumulator()
        self._told: set[str] = set()
        if built_by_command_line():
            # From the command line, the arguments are plain values. For a model built in Python they are modules, which
            # Lightning would copy and a checkpoint must not pickle.
            self.save_hyperparameters()

    def fit_inputs(self, batches: Iterable[Batch]) -> None:
        """Compute what the inputs need from the training videos, before the first step; nothing by default."""

    def training_loss(self, features: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss summed over the valid groups of a batch, and their number; a system may add terms to it."""
        return self.loss.forward(self.score(features), batch.mos, batch.group, batch.weight)

    def _features_for_training(self, batch: Batch) -> dict[str, Tensor]:
        if self.recipe.videos_per_pass is None or len(batch) <= self.recipe.videos_per_pass:
            return self.features(batch)
        step = self.recipe.videos_per_pass
        parts = [batch.select(slice(start, start + step)) for start in range(0, len(batch), step)]
        tokens = [recompute(self.features, part, use_reentrant=False) for part in parts]
        return {name: torch.cat([part[name] for part in tokens]) for name in tokens[0]}

    def on_train_start(self) -> None:
        self.calibration = None  # it was for other weights
        if self.trainer.ckpt_path is not None:
            return  # a resumed run keeps what its checkpoint holds
        # It reads the data set, not the loader, so every rank sees all training groups and gets the same statistics.
        loader = self.trainer.train_dataloader
        assert loader is not None
        dataset = loader.dataset
        self.fit_inputs(dataset[item].to(self.device) for item in range(len(dataset)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Raises:
            ValueError: If it is not finite, on this rank or another.
        """
        features = self._features_for_training(batch)
        with self.full_precision():
            total, count = self.training_loss(features, batch)
        world = self.trainer.world_size
        spoilt = ~torch.isfinite(total.detach())
        everywhere = torch.stack([count.to(total), spoilt.to(total)])
        if world > 1:
            everywhere = self.trainer.strategy.reduce(everywhere, reduce_op="sum")
        if everywhere[1] > 0:
            self._stop_spoilt(features, batch, total, bool(spoilt))
        # DDP divides gradients by the number of ranks; ranks may hold different numbers of valid groups.
        loss = world * total / torch.clamp(everywhere[0], min=1)
        # This is the mean of this rank only: it is for the progress bar, and a reduction would only cost time.
        self.log("train/loss", total.detach() / max(int(count), 1), prog_bar=True, batch_size=1)
        return loss

    @torch.no_grad()
    def _stop_spoilt(self, features: dict[str, Tensor], batch: Batch, total: Tensor, own: bool) -> NoReturn:
        step = self.trainer.global_step
        if own:
            with self.full_precision():
                raise ValueError(describe_loss(total, self.score(features), batch, step))
        raise ValueError(f"The loss of step {step} is not finite on another rank, whose own message says where.")

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Raise a ValueError if a gradient is not finite."""
        # In half precision, scaled losses may overflow by design, and Lightning skips such steps.
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            check_gradients(self.named_parameters(), self.trainer.global_step)

    def _evaluate(self, batch: Batch) -> Tensor:
        """Return the scores of a batch, (B,); each video is computed by itself."""
        scores = torch.cat([self(one) for one in batch.singles()])
        check_scores(scores, batch)
        return scores

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if len(batch):  # empty where `skip_broken` left every video out
            self._validation.update(batch.video_id, batch.group_name, batch.mos, self._evaluate(batch))

    def on_validation_epoch_end(self) -> None:
        self._log_group_score("val", self._validation)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        if len(batch):  # empty where `skip_broken` left every video out
            self._test.update(batch.video_id, batch.group_name, batch.mos, self._evaluate(batch))

    def on_test_epoch_end(self) -> None:
        self._log_group_score("test", self._test)

    def _log_group_score(self, stage: str, scores: GroupAccumulator) -> None:
        # Every rank computes the same value after a gather, so checkpointing and early stopping agree on all ranks.
        result = scores.compute()
        scores.reset()
        # The few batches of the sanity check hold only parts of groups, so their value means nothing.
        if scores.used != scores.thresholds and stage not in self._told and not self.trainer.sanity_checking:
            self._told.add(stage)
            smaller = ", ".join(f"{name} {least}" for name, least in vars(scores.used).items())
            rank_zero_info(
                f"{stage}/result is not the official value: no group has enough videos for it, so groups count from "
                f"fewer on ({smaller})."
            )
        for name in ("srocc", "plcc", "krocc", "result"):
            value = getattr(result, name)
            # A model that gives no ranking yet gets 0, because NaN would end the run by early stopping. A reversed
            # model gets less than 0: the sign is kept, so it is never the best.
            self.log(f"{stage}/{name}", 0.0 if math.isnan(value) else value, prog_bar=name == "result", batch_size=1)
        if self.trainer.state.fn != "fit":
            self._tell_if_reversed(f"{stage}/result", result.result)

    def on_train_end(self) -> None:
        """Warn if even the best checkpoint of a run is reversed; in single early epochs a model may well be."""
        for keeper in self.trainer.checkpoint_callbacks:
            if isinstance(keeper, ModelCheckpoint) and keeper.mode == "max" and keeper.best_model_score is not None:
                self._tell_if_reversed(f"the best {keeper.monitor}", float(keeper.best_model_score))

    def _tell_if_reversed(self, name: str, value: float) -> None:
        if value < 0 and self.trainer.is_global_zero:
            log.warning(
                "%s is %.4f: the model orders videos against their scores; see if `higher_is_better` fits the labels, "
                "and if the model has learnt anything.",
                name,
                value,
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = list(self._parameter_groups())
        if not groups:
            raise ValueError("The model has no trainable parameter; set `frozen: false` on a branch or use a head.")
        optimizer = torch.optim.AdamW([{"params": p, "lr": lr, "weight_decay": wd} for p, lr, wd, _ in groups])
        total, per_epoch = self._steps()
        warmup = round(self.recipe.warmup * (total or per_epoch))
        rates = Rates(optimizer, [WarmupCosine(total, warmup, start * per_epoch) for *_, start in groups])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def _steps(self) -> tuple[int | None, int]:
        """Return the optimiser steps of the whole run (None if only time or a user ends it) and of an epoch."""
        total = self.trainer.estimated_stepping_batches
        if math.isinf(self.trainer.num_training_batches):
            self.trainer.fit_loop.setup_data()  # Lightning counts batches by itself only if epochs end the run
        batches = self.trainer.num_training_batches
        if self.trainer.ckpt_path is not None:
            # This loader was made before the counters of a resumed run are restored, so it could not go on inside an
            # epoch. Once it is forgotten, Lightning makes another one when training starts.
            forget_loader(self.trainer)
        per_epoch = 1 if math.isinf(batches) else max(1, math.ceil(batches / self.trainer.accumulate_grad_batches))
        return (None if math.isinf(total) else int(total)), per_epoch

    def _parameter_groups(self) -> Iterator[tuple[list[nn.Parameter], float, float, int]]:
        """Yield parameters, peak rate, decay and first epoch: head first, then branches; matrices before vectors."""
        branches = self.each_branch()
        of_branches = {id(p) for branch in branches.values() for p in branch.parameters()}
        head = [p for p in self.parameters() if id(p) not in of_branches]
        owners = [(head, self.recipe.lr_head, 0)]
        for name, branch in branches.items():
            start = self.recipe.trained_from_epoch.get(name, 0)
            layers = [list(branch.parameters())] if self.recipe.layer_decay == 1 else branch.layers()
            rates = [self.recipe.lr_backbone * self.recipe.layer_decay**depth for depth in range(len(layers))]
            owners += [(own, rate, start) for own, rate in zip(layers, reversed(rates), strict=True)]
        for parameters, rate, start in owners:
            matrices = [p for p in parameters if p.requires_grad and p.ndim > 1]
            vectors = [p for p in parameters if p.requires_grad and p.ndim <= 1]
            if matrices:
                yield matrices, rate, self.recipe.weight_decay, start
            if vectors:
                yield vectors, rate, 0.0, start

    def each_source(self) -> dict[str, WeightSource]:
        """Return where the weights of each part came from; the parts are `head` and `BRANCH.PART`."""
        branches = self.each_branch().items()
        parts = {f"{name}.{part}": source for name, branch in branches for part, source in branch.sources.items()}
        return {**parts, **self.sources}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out weights that lie in files, and the folders of these files on this machine (see `portable`)."""
        trainer = trainer_of(self)
        run = None if trainer is None else Path(trainer.default_root_dir)
        if "hyper_parameters" in checkpoint:
            checkpoint["hyper_parameters"] = portable(checkpoint["hyper_parameters"], run)
        leave_out(checkpoint, self.each_branch())
        if self.calibration is not None:
            checkpoint["calibration"] = self.calibration.plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add this module's frozen weights, which the checkpoint left out.

        Raises:
            ValueError: If the checkpoint was made with other frozen weights, or its calibration is not valid.
        """
        put_back(checkpoint, self.each_branch())
        self.calibration = from_plain(checkpoint["calibration"]) if "calibration" in checkpoint else None


def _check_recipe(recipe: Recipe, branches: Mapping[str, Branch]) -> None:
    """Raise a ValueError if the recipe asks a branch for something that it cannot do."""
    for name, branch in branches.items():
        if branch.frozen and name in recipe.trained_from_epoch:
            raise ValueError(
                f"`trained_from_epoch` names {name!r}, a branch that is frozen for good; build it with `frozen=False`, "
                "if its class takes that, or leave it out."
            )
        # Few branches do: see `Branch.train`.
        norms = any(isinstance(module, _BatchNorm) and module.training for module in branch.train().modules())
        if recipe.videos_per_pass is not None and norms:
            raise ValueError(
                f"`videos_per_pass` is {recipe.videos_per_pass}, but branch {name!r} normalises by the statistics of "
                "the batch, which would then be those of so few videos; set it to null, or `weights` or "
                "`frozen: true` on the branch."
            )


def check_names(argument: str, names: Iterable[str], branches: Mapping[str, Branch]) -> None:
    """Raise a ValueError if `names`, the value of `argument`, holds a name that is no branch."""
    unknown = [name for name in names if name not in branches]
    if unknown:
        raise ValueError(f"`{argument}` names {unknown[0]!r}, which is no branch; expected one of {list(branches)}.")
