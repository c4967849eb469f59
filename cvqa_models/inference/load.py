"""`load`: make a scorer from a name, checkpoint, run folder, hub repository or configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cvqa_models.inference.scorer import Scorer
from cvqa_models.models.shipped_level import SHIPPED, WEIGHTS, shipped_level
from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.types import Precision
from cvqa_models.video.reader import ReadOptions


def load(
    model: str | Path = SHIPPED,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "32-true",
    reading: ReadOptions | None = None,
    trust: Sequence[str] = (),
) -> Scorer:
    """Return a scorer that holds a model in memory.

    Args:
        model: The model: `compression_level`, the network that ships with the package; a checkpoint; the folder of a
            run, whose best checkpoint is taken; `hf:OWNER/NAME`, a repository of a model hub that `push` made, which is
            fetched; or the configuration of a system that needs no training, as a file or by its name in
            `configs/model`, such as `ms_ssim`. A `Path` is never taken for a name.
        weights: File or name of weights for the head of a configuration, or for the compression level.
        device: Torch device; `auto` is a GPU if there is one.
        precision: `32-true`, or `bf16-mixed`, which is faster on processors with bfloat16; see `Scorer`.
        reading: How files are decoded.
        trust: Your own packages whose classes a checkpoint or configuration may build; their code is run.

    Raises:
        FileNotFoundError: If nothing has that name, or weights are missing.
        ValueError: If it is not a trained model, or cannot be built here.

    Examples:
        >>> import cvqa_models
        >>> scorer = cvqa_models.load("compression_level", device="cpu")
        >>> scorer.scale
        "compression damage on VMAF's scale from 0 to 100 (100 is clean), not human opinion...
    """
    return Scorer(_model(model, weights, trust), device=device, precision=precision, reading=reading)


def _model(name: str | Path, weights: str | Path | None, trust: Sequence[str]) -> ScoringModel:
    if name == SHIPPED:
        return shipped_level(WEIGHTS if weights is None else str(weights))
    # Trained models need the modules for training, which take seconds to import.
    from cvqa_models.inference.trained import trained_model

    return trained_model(name, weights, trust)
