"""CompressedVQA-HDR (ICME 2025): quality of compressed HDR and SDR video, without and with its source."""

from __future__ import annotations

from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.models.rescaled import Rescaled
from cvqa_models.nn.heads import linear_head
from cvqa_models.nn.rescaling import FittedLogistic
from cvqa_models.training.module import Recipe
from cvqa_models.weights.exact import load_exact

TOWER, STAGES = "feature_extraction.", "feature_extraction_stage"
HEADS = tuple(f"quality{number}" for number in range(1, 6))
RECIPE = Recipe(lr_head=1e-5)


class CompressedVqaHdr(Rescaled):
    """Score key frames by SigLIP2's image tower and five linear heads; the mean of the first is the video's score.

    Sun et al., "CompressedVQA-HDR", 2025, second without reference in ICME 2025's challenge. It was trained on several
    data sets in turn and has one head for each; the authors' program prints the first. Here only the first head learns.
    The others stay as published, and their mean scores are given as details.

    Args:
        frames: Tokens of frames; the authors use `Clip` with SigLIP2's tower and, unlike SigLIP2 itself, ImageNet's
            mean and deviation.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        weights: File or name of a published checkpoint for the heads; the branch reads its tower from the same file.
            Null for untrained heads.
        rescale_path: The curve that the authors publish with it, a NumPy file with four numbers; null to report the raw
            score.
    """

    def __init__(
        self,
        frames: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = RECIPE,
        weights: str | None = None,
        rescale_path: str | None = None,
    ) -> None:
        super().__init__({"frames": frames}, loss, recipe, None if rescale_path is None else FittedLogistic())
        self.heads = nn.ModuleDict({name: linear_head(frames.dim) for name in HEADS})
        for name in HEADS[1:]:
            self.heads[name].requires_grad_(False)
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.heads, weights, rename=lambda key: None if key.startswith(TOWER) else key)
        self.read_curve(rescale_path)

    def raw(self, features: dict[str, Tensor]) -> Tensor:
        """Return the mean score of the first head, shape (B,), from tokens (B, N, D)."""
        return self.maps(features)[HEADS[0]].mean(dim=1)

    def details(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `raw`, if there is a curve, and the mean raw scores of the other heads, shape (B,) each."""
        others = {name: frames.mean(dim=1) for name, frames in self.maps(features).items() if name != HEADS[0]}
        return super().details(features) | others

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the raw score of each frame by head, float32, (B, N) each."""
        return {name: head(features["frames"]).squeeze(2) for name, head in self.heads.items()}


class CompressedVqaHdrFr(Rescaled):
    """Score key frames by their similarity to those of the source in a Swin transformer; the video's score is the mean.

    Sun et al., "CompressedVQA-HDR", 2025, first with reference in ICME 2025's challenge. The authors' program samples
    video and source each by its own frame rate; here the source's frame has the same number.

    Args:
        similarity: Similarities of each frame with its source's; the authors use `SwinSimilarity`.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        weights: File or name of a published checkpoint for the head; the branch reads its network from the same file.
            Null for an untrained head.
        rescale_path: As for `CompressedVqaHdr`.
    """

    def __init__(
        self,
        similarity: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = RECIPE,
        weights: str | None = None,
        rescale_path: str | None = None,
    ) -> None:
        super().__init__({"similarity": similarity}, loss, recipe, None if rescale_path is None else FittedLogistic())
        self.quality = linear_head(similarity.dim)
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.quality, weights, rename=fr_head_key)
        self.read_curve(rescale_path)

    def raw(self, features: dict[str, Tensor]) -> Tensor:
        """Return the mean score of the frames, shape (B,), from tokens (B, N, D)."""
        return self.maps(features)["quality"].mean(dim=1)

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `quality`, the raw score of each frame, float32, (B, N)."""
        return {"quality": self.quality(features["similarity"]).squeeze(2)}


def fr_head_key(key: str) -> str | None:
    """Return the head's name of a key of the checkpoint with reference; None for keys of the network."""
    if key in ("mean", "std", "norm.weight", "norm.bias") or key.startswith(STAGES):
        return None
    return key.removeprefix("quality.")
