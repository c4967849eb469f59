"""Many fits of one small model at once: the same training for many subsets of videos, seeds and decays in one program.

A head on cached features is so small that separate training runs would spend little of their time on arithmetic. Here
the parameters of all fits are stacked. Every step scores all videos with all fits, and the loss of each fit counts only
its own training videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from cvqa_models.losses.grouped import GroupLoss, Loss, pad_groups
from cvqa_models.training.module import QualityModule
from cvqa_models.types import Batch


@dataclass(frozen=True)
class HeadFit:
    """One training run.

    Attributes:
        model: Freshly built model; several fits may share one.
        used: Whether each video of the batch is used for training, bool, shape (B,).
        decay: Decoupled weight decay of matrices; it replaces the recipe's.
    """

    model: QualityModule
    used: Tensor
    decay: float


def fit_many(fits: Sequence[HeadFit], batch: Batch, *, steps: int, every: int) -> Tensor:
    """Return the scores of all videos by every fit after every `every` steps, shape (K, steps // every, B).

    The optimiser is AdamW on whole batches. The rate rises linearly over the recipe's share of warm-up to its
    `lr_head`, and then stays constant: the caller chooses where to stop, so nothing may depend on the last step.
    Vectors such as biases have no weight decay.

    Args:
        fits: K training runs of models with the same parameters.
        batch: All videos, with cached features of every branch.
        steps: Number of steps.
        every: Steps between two records of the scores.

    Raises:
        ValueError: If a fit has no group whose labels differ.
    """
    model = fits[0].model.train()
    start = [_state(fit.model, replace(batch, weight=batch.weight * fit.used)) for fit in fits]
    state = {name: torch.stack([own[name] for own in start]) for name in start[0]}
    trained = {name: state[name].requires_grad_() for name, p in model.named_parameters() if name in state}
    decays = torch.tensor([fit.decay for fit in fits])
    used = torch.stack([fit.used for fit in fits])
    loss = model.loss
    groups = _Groups(loss, batch, used) if isinstance(loss, GroupLoss) else _OneByOne(loss, batch, used)
    optimizer = torch.optim.Adam(trained.values())
    warmup = round(model.recipe.warmup * steps)
    records = []
    for step in range(steps):
        rate = model.recipe.lr_head * min(1.0, (step + 1) / (warmup + 1))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        groups.loss(_scores(model, state, batch)).sum().backward()
        with torch.no_grad():
            for parameter in trained.values():
                if parameter.ndim > 2:
                    parameter.mul_(1 - rate * decays.view(-1, 1, 1))
        optimizer.step()
        if (step + 1) % every == 0:
            with torch.no_grad():
                records.append(_scores(model.eval(), state, batch))
            model.train()
    return torch.stack(records, dim=1)


def _state(model: QualityModule, batch: Batch) -> dict[str, Tensor]:
    """Return copies of all that may differ between fits: trained parameters and the head's buffers."""
    model.fit_inputs([batch])
    parameters = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    buffers = {name: b.clone() for name, b in model.named_buffers() if not name.startswith("branches.")}
    return {**parameters, **buffers}


def _scores(model: QualityModule, state: dict[str, Tensor], batch: Batch) -> Tensor:
    """Return the scores of every fit, shape (K, B)."""

    def one(own: dict[str, Tensor]) -> Tensor:
        score: Tensor = functional_call(model, own, (batch,))
        return score

    scores: Tensor = vmap(one, randomness="different")(state)
    return scores


class _Groups:
    """Training groups of every fit, padded to a few sizes: the cost of pairs grows with the square of the padded size.

    A loss that compares across groups gets all groups at once.
    """

    SIZES = 3

    def __init__(self, loss: GroupLoss, batch: Batch, used: Tensor) -> None:
        self.function = loss
        sizes = 1 if loss.across else self.SIZES
        row, size = torch.unique(batch.group, return_inverse=True, return_counts=True)[1:]
        limits = torch.quantile(size.unique().float(), torch.linspace(0, 1, sizes + 1))[1:]
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []
        labelled = ~batch.mos.isnan()
        weight = (batch.weight * labelled) * used
        lower = torch.tensor(0.0)
        for limit in limits:
            rows = torch.nonzero((size[row] > lower) & (size[row] <= limit))[:, 0]
            lower = limit
            if len(rows):
                # Places count from 1, because 0 means padding.
                places = pad_groups((rows + 1)[None].float(), batch.group[rows])[0].long()
                index = (places - 1).clamp(min=0)
                padded = weight[:, index] * (places > 0)
                self.parts.append((index, batch.mos.nan_to_num()[index].expand_as(padded), padded))

    def loss(self, scores: Tensor) -> Tensor:
        """Return the mean loss over the valid groups of each fit, shape (K,), from scores of shape (K, B).

        Raises:
            ValueError: If a fit has no valid group.
        """
        values, counts = zip(
            *(self.function.per_group(scores[:, index], mos, weight) for index, mos, weight in self.parts),
            strict=True,
        )
        return _mean(torch.cat(values, dim=1).sum(1), torch.cat(counts, dim=1).sum(1))


class _OneByOne:
    """Training groups of every fit, one after the other, for a loss from outside, which cannot take stacked fits."""

    def __init__(self, loss: Loss, batch: Batch, used: Tensor) -> None:
        self.function = loss
        self.batch = batch
        self.weights = batch.weight * used

    def loss(self, scores: Tensor) -> Tensor:
        """Return the mean loss of each fit, as `_Groups.loss` does."""
        pairs = zip(scores, self.weights, strict=True)
        results = [self.function.forward(own, self.batch.mos, self.batch.group, weight) for own, weight in pairs]
        values, counts = zip(*results, strict=True)
        return _mean(torch.stack(values), torch.stack(counts))


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    if not counts.all():
        raise ValueError("A fit has no group whose labels differ; use fewer folds.")
    return values / counts
