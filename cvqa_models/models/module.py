"""Training, evaluation and prediction of a quality model: everything but its branches and how it fuses them."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.core.mixins.hparams_mixin import _given_hyperparameters
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint as recompute

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.metrics.accumulate import GroupAccumulator
from cvqa_models.models.finite import check_gradients, check_scores, describe_loss
from cvqa_models.models.schedule import Rates, WarmupCosine
from cvqa_models.places import portable
from cvqa_models.types import Batch, Demand, Prediction
from cvqa_models.weights import digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a model is optimised.

    Attributes:
        lr_head: Peak learning rate of everything that is not a branch.
        lr_backbone: Peak learning rate of trained branches.
        weight_decay: AdamW's decay; biases, norms and other vectors are exempt.
        warmup: Share of all optimiser steps with a linear rise from 0, before the cosine to 0. Where no number of
            steps ends the run (`max_epochs: -1` with `max_time` alone), it is a share of the first epoch, and the
            rate stays at its peak from then on.
        unfreeze_at: Name of a branch with `frozen: false` -> epoch (counted from 0) from which it learns. Until then
            its learning rate is 0: its parameters stay in every gradient reduction, so that unfreezing needs no second
            DDP wrapping.
        videos_per_pass: Videos whose activations are held at once; null holds a whole batch. With k, scores are first
            computed without a graph, and each k videos are recomputed when their gradient is due: the exact gradient
            of a group of any size in the memory of k videos, for one more forward pass. Not for a branch that takes
            the statistics of the batch, as `Compression` does from scratch: k videos have others.
    """

    lr_head: float = 1e-3
    lr_backbone: float = 1e-5
    weight_decay: float = 0.01
    warmup: float = 0.05
    unfreeze_at: dict[str, int] = field(default_factory=dict)
    videos_per_pass: int | None = None

    def __post_init__(self) -> None:
        for name in ("lr_head", "lr_backbone", "weight_decay"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"`{name}` is {value}; expected a finite number, 0 or more.")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"`warmup` is {self.warmup}; expected a share of all steps, from 0 to 1.")
        if self.videos_per_pass is not None and self.videos_per_pass < 1:
            raise ValueError(f"`videos_per_pass` is {self.videos_per_pass}; expected a positive number or null.")


class QualityModule(pl.LightningModule, ABC):
    """A quality model over branches; a system supplies the branches and `score`.

    Args:
        branches: Name -> branch.
        loss: Group-wise loss.
        recipe: How the model is optimised.

    Raises:
        ValueError: If the recipe unfreezes a frozen branch, or passes few videos through a branch that takes the
            statistics of the batch.

    Attributes:
        reads_order: Whether a score hangs on the order of a branch's tokens; else frames are judged alone.
    """

    reads_order: ClassVar[bool] = False

    def __init__(self, branches: Mapping[str, Branch], loss: GroupLoss, recipe: Recipe) -> None:
        super().__init__()
        check_names("unfreeze_at", recipe.unfreeze_at, branches)
        _check_recipe(recipe, branches)
        self.branches = nn.ModuleDict(branches)
        for branch in self.each_branch().values():
            branch.freeze()
        self.loss = loss
        self.recipe = recipe
        self._validation = GroupAccumulator()
        self._test = GroupAccumulator()
        self._told: set[str] = set()
        if _given_hyperparameters.get() is not None:
            # Plain values from the command line. Built by hand, the arguments are modules, which Lightning would copy
            # and a checkpoint must not pickle.
            self.save_hyperparameters()

    @abstractmethod
    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens per branch, each of shape (B, N, D)."""

    def fit_inputs(self, batches: Iterable[Batch]) -> None:
        """Take what the inputs need from training videos before the first step; nothing by default."""

    def details(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return named extra scores per video, each of shape (B,); none by default."""
        return {}

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return named scores of moments, (B, T), or of positions too, (B, T, rows, columns); none by default."""
        return {}

    def each_branch(self) -> dict[str, Branch]:
        """Return the branches by name."""
        return {name: branch for name, branch in self.branches.items() if isinstance(branch, Branch)}

    @property
    def demands(self) -> dict[str, Demand]:
        """Return what each branch needs from the data side."""
        return {name: branch.demand for name, branch in self.each_branch().items()}

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Return the tokens of every branch, (B, N, D) each: cached ones as they are, the others computed."""
        tokens: dict[str, Tensor] = {}
        for name, branch in self.each_branch().items():
            if name in batch.features:
                tokens[name] = batch.features[name]
            elif branch.frozen:
                with torch.no_grad():
                    tokens[name] = branch.tokens(batch.views[branch.view.key])
            else:
                tokens[name] = branch.tokens(batch.views[branch.view.key])
        return tokens

    def forward(self, batch: Batch) -> Tensor:
        """Return one score per video of the batch, float32, shape (B,)."""
        return self.score(self.features(batch))

    def training_loss(self, features: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss summed over the valid groups of a batch, and their number; a system may add terms to it."""
        return self.loss(self.score(features), batch.mos, batch.group, batch.weight)  # type: ignore[no-any-return]

    def _features_for_training(self, batch: Batch) -> dict[str, Tensor]:
        if self.recipe.videos_per_pass is None or len(batch) <= self.recipe.videos_per_pass:
            return self.features(batch)
        step = self.recipe.videos_per_pass
        parts = [batch.select(slice(start, start + step)) for start in range(0, len(batch), step)]
        tokens = [recompute(self.features, part, use_reentrant=False) for part in parts]
        return {name: torch.cat([part[name] for part in tokens]) for name in tokens[0]}

    def on_train_start(self) -> None:
        if self.trainer.ckpt_path is not None:
            return  # a resumed run keeps what its checkpoint holds
        # The data set, not the loader: every rank sees all training groups and gets the same statistics.
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
        # A rank's own mean: the number is for the progress bar, and a reduction here would only cost time.
        self.log("train/loss", total.detach() / max(int(count), 1), prog_bar=True, batch_size=1)
        return loss

    @torch.no_grad()
    def _stop_spoilt(self, features: dict[str, Tensor], batch: Batch, total: Tensor, own: bool) -> NoReturn:
        step = self.trainer.global_step
        if own:
            raise ValueError(describe_loss(total, self.score(features), batch, step))
        raise ValueError(f"The loss of step {step} is not finite on another rank, whose own message says where.")

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Raise a ValueError if a gradient is not finite."""
        # Scaled losses of half precision overflow on purpose, and their steps are passed over.
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            check_gradients(self.named_parameters(), self.trainer.global_step)

    def _evaluate(self, batch: Batch) -> Tensor:
        """Return the scores of a batch, (B,), each video by itself."""
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
        # Computed alike on every rank after a gather, so that checkpointing and early stopping agree everywhere.
        result = scores.compute()
        scores.reset()
        # The few batches of the sanity check hold parts of groups, which say nothing of the whole.
        if scores.used != scores.thresholds and stage not in self._told and not self.trainer.sanity_checking:
            self._told.add(stage)
            smaller = ", ".join(f"{name} {least}" for name, least in vars(scores.used).items())
            rank_zero_info(
                f"{stage}/result is not the official value: no group has enough videos for it, so groups count from "
                f"fewer on ({smaller})."
            )
        for name in ("srocc", "plcc", "krocc", "result"):
            value = getattr(result, name)
            # A model that has no ranking yet scores 0, not NaN, which would stop early stopping for good. A reversed
            # one is below that: the sign stays, so that it is never the best.
            self.log(f"{stage}/{name}", 0.0 if math.isnan(value) else value, prog_bar=name == "result", batch_size=1)
        if self.trainer.state.fn != "fit":
            self._tell_if_reversed(f"{stage}/result", result.result)

    def on_train_end(self) -> None:
        """Say it where even the best checkpoint of a run is reversed; single epochs of a young model may well be."""
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

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Prediction]:
        """Return the prediction of every video, each by itself: its bits depend on no other video.

        Raises:
            ValueError: If a score is not finite.
        """
        return [self._predict(one) for one in batch.singles()]

    def _predict(self, one: Batch) -> Prediction:
        features = self.features(one)
        score = self.score(features)
        check_scores(score, one)
        return Prediction(
            one.video_id[0],
            one.group_name[0],
            score.item(),
            details={name: values.item() for name, values in self.details(features).items()},
            maps={name: values[0].float().cpu() for name, values in self.maps(features).items()},
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
        """Return the optimiser steps of the whole run, None if only time or a user ends it, and those of an epoch."""
        total = self.trainer.estimated_stepping_batches
        if math.isinf(self.trainer.num_training_batches):
            self.trainer.fit_loop.setup_data()  # Lightning counts batches on its own only where epochs end the run
        batches = self.trainer.num_training_batches
        if self.trainer.ckpt_path is not None:
            # This loader was made before the counters of the resumed run are restored, by which it would go on inside
            # an epoch; without it, Lightning makes another one when training starts.
            self.trainer.fit_loop._combined_loader = None
        per_epoch = 1 if math.isinf(batches) else max(1, math.ceil(batches / self.trainer.accumulate_grad_batches))
        return (None if math.isinf(total) else int(total)), per_epoch

    def _parameter_groups(self) -> Iterator[tuple[list[nn.Parameter], float, float, int]]:
        """Yield parameters, peak rate, decay and first epoch: the head, then each branch; matrices, then vectors."""
        branches = self.each_branch()
        of_branches = {id(p) for branch in branches.values() for p in branch.parameters()}
        head = [p for p in self.parameters() if id(p) not in of_branches]
        owners = [(head, self.recipe.lr_head, 0)]
        for name, branch in branches.items():
            owners.append((list(branch.parameters()), self.recipe.lr_backbone, self.recipe.unfreeze_at.get(name, 0)))
        for parameters, rate, start in owners:
            matrices = [p for p in parameters if p.requires_grad and p.ndim > 1]
            vectors = [p for p in parameters if p.requires_grad and p.ndim <= 1]
            if matrices:
                yield matrices, rate, self.recipe.weight_decay, start
            if vectors:
                yield vectors, rate, 0.0, start

    def _left_out(self) -> dict[str, Branch]:
        """Return the frozen branches that a checkpoint need not hold, since their weights lie in files of their own."""
        return {n: branch for n, branch in self.each_branch().items() if branch.frozen and not self._is_random(n)}

    def _is_random(self, name: str) -> bool:
        """Return whether the frozen part of a branch started from no file: random numbers, which exist nowhere else."""
        config = {**self.hparams, **self.hparams.get("branches", {})}.get(name)
        arguments = config.get("init_args", {}) if isinstance(config, Mapping) else {}
        return any((key == "base" or key.endswith("weights")) and arguments[key] is None for key in arguments)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave weights out that lie in files; their digests go in, so that loading can tell if they are the same.

        Where these files lie on this machine is left out, too: see `portable`.
        """
        left_out = self._left_out()
        run = Path(self._trainer.default_root_dir) if self._trainer is not None else None
        if "hyper_parameters" in checkpoint:
            checkpoint["hyper_parameters"] = portable(checkpoint["hyper_parameters"], run)
        checkpoint["frozen_digests"] = {name: digest(branch) for name, branch in left_out.items()}
        for state in _states(checkpoint):
            for name, branch in left_out.items():
                for key in branch.state_dict():
                    state.pop(f"branches.{name}.{key}", None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put this module's frozen weights in the place of those that the checkpoint left out.

        Raises:
            ValueError: If the checkpoint was made with other frozen weights or branches.
        """
        stored = checkpoint.get("frozen_digests", {})
        for name, branch in self.each_branch().items():
            if not branch.frozen or name not in stored:
                continue
            if stored[name] != digest(branch):
                raise ValueError(
                    f"The checkpoint was trained with other frozen weights of branch `{name}` (digest "
                    f"{stored[name][:12]}, here {digest(branch)[:12]}); give the weights it was made with."
                )
            for state in _states(checkpoint):
                for key, value in branch.state_dict().items():
                    state[f"branches.{name}.{key}"] = value


def _states(checkpoint: dict[str, Any]) -> list[dict[str, Tensor]]:
    """Return the state dicts of a checkpoint: the weights and, with averaged weights, the current ones beside them."""
    return [checkpoint[key] for key in ("state_dict", "current_model_state") if key in checkpoint]


def _check_recipe(recipe: Recipe, branches: Mapping[str, Branch]) -> None:
    """Raise a ValueError if the recipe asks of a branch what it cannot do."""
    for name, branch in branches.items():
        if branch.frozen and name in recipe.unfreeze_at:
            raise ValueError(
                f"`unfreeze_at` names {name!r}, a branch that is frozen for good; set `frozen: false` on it (until "
                "that epoch it does not move), or leave it out."
            )
        # Few branches do: see `Branch.train`.
        norms = any(isinstance(module, _BatchNorm) and module.training for module in branch.train().modules())
        if recipe.videos_per_pass is not None and norms:
            raise ValueError(
                f"`videos_per_pass` is {recipe.videos_per_pass}, but branch {name!r} normalises by the statistics of "
                "the batch, which would come from so many videos instead; set it to null, or `weights` or "
                "`frozen: true` on the branch."
            )


def check_names(argument: str, names: Iterable[str], branches: Mapping[str, Branch]) -> None:
    """Raise a ValueError if `names`, the value of `argument`, holds a name that is no branch."""
    unknown = [name for name in names if name not in branches]
    if unknown:
        raise ValueError(f"`{argument}` names {unknown[0]!r}, which is no branch; expected one of {list(branches)}.")
