"""FAST-VQA and FasterVQA: a Swin3D over fragments of the whole video, with a score for every place and moment."""

from __future__ import annotations

from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.views import places
from cvqa_models.losses.grouped import Loss
from cvqa_models.models.rescaled import Rescaled
from cvqa_models.nn.map_head import MapHead
from cvqa_models.nn.rescaling import Logistic
from cvqa_models.training.module import Recipe
from cvqa_models.weights.exact import load_exact


class FastVqa(Rescaled):
    """Score every place and moment of fragments; the raw score of a video is their mean.

    Wu et al., "FAST-VQA", ECCV 2022, and "Neighbourhood Representative Sampling", TPAMI 2023 (FasterVQA). The variants
    differ in the view of `fragments`, in its `window` for M, and in `rescale`: docs/systems/fastvqa.md lists them.

    The authors choose frames in two ways, which give one file different scores: in their data sets
    (`OfficialUniformClips`), from which their published figures come, and in `vqa.py` (`OfficialCentredClips`). Both
    draw patches at random (`OfficialFragments`), and of an enlarged frame these show only the upper left part. The
    views of our configurations do neither.

    Args:
        fragments: Tokens of maps; the authors use `Swin3DMap` with `adaptive_window`.
        loss: The loss; null is the usual `GroupLoss`.
        hidden: Width of the head's hidden layer.
        recipe: How the model is optimised.
        weights: File or name of a FAST-VQA checkpoint for the head; null for an untrained one. The branch has its own
            `weights`.
        rescale: The published curve from raw scores to 0 to 1, which differs by variant; null to report raw scores.
    """

    def __init__(
        self,
        fragments: Branch,
        loss: Loss | None = None,
        *,
        hidden: int = 64,
        recipe: Recipe = Recipe(lr_backbone=1e-4, weight_decay=0.05),  # noqa: B008 - frozen
        weights: str | None = None,
        rescale: Logistic | None = None,
    ) -> None:
        super().__init__({"fragments": fragments}, loss, recipe, rescale)
        self.heads = nn.ModuleDict({"vqa_head": MapHead(fragments.dim, hidden)})
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.heads, weights, rename=lambda key: None if key.startswith("fragments_backbone.") else key)

    def raw(self, features: dict[str, Tensor]) -> Tensor:
        """Return the mean score of all places, moments and clips, float32, (B,), from tokens (B, M, D)."""
        return self._scores(features).mean(dim=1)

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `quality`, the raw score of every moment and place, float32, (B, T, rows, columns).

        Places are in the order of the frame, because fragments are put together in that order; moments go clip by clip.
        """
        view = self.each_branch()["fragments"].view
        return {} if view is None else {"quality": places(self._scores(features), view)}

    def _scores(self, features: dict[str, Tensor]) -> Tensor:
        scores: Tensor = self.heads["vqa_head"](features["fragments"].unsqueeze(2))
        return scores.squeeze(2)
