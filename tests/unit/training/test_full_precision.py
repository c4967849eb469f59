"""Scores leave every system in float32, with the same bits whatever autocast says, since heads run without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cvqa_models.models.compression_level import CompressionLevelModel
from cvqa_models.models.compression_rq_vqa import CompressionRqVqa
from cvqa_models.models.hive import Hive
from cvqa_models.models.iqa_llava import IqaLlava
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.models.uvq import Uvq
from cvqa_models.training.module import QualityModule
from cvqa_models.types import Batch, Prediction
from tests.unit.models.test_compression_rq_vqa import NAMES, Given
from tests.unit.models.test_cover import build as cover
from tests.unit.models.test_dover import build as dover
from tests.unit.models.test_fastvqa import build as fastvqa
from tests.unit.models.test_level_scorer import scorer
from tests.unit.models.test_tvqa import make_model as tvqa
from tests.unit.models.test_vsfa import make_model as vsfa

SYSTEMS: dict[str, Callable[[], QualityModule]] = {
    "multibranch": lambda: MultiBranch({"a": Given(6), "b": Given(9)}, hidden=8, pooling="mean_std"),
    "compression_level": lambda: CompressionLevelModel(Given(6), hidden=8),
    "compression_rq_vqa": lambda: CompressionRqVqa(**{name: Given(5) for name in NAMES[:5]}),
    "cover": cover,
    "tvqa": tvqa,
    "tvqa_of_means": lambda: tvqa(temporal=False),
    "fastvqa": fastvqa,
    "dover": dover,
    "uvq": lambda: Uvq(Given(2048), Given(2048)),
    "vsfa": vsfa,
    "iqa_llava": lambda: IqaLlava(scorer()),
    "hive": lambda: Hive(scorer(), scorer(1)),
}
TOKENS = {"spatial": 32, "motion": 32}


def cached(model: QualityModule, videos: int = 3) -> Batch:
    """Return a batch in which a store serves every branch."""
    generator = torch.Generator().manual_seed(0)
    branches = model.each_branch().items()
    return Batch(
        video_id=[f"v{i}" for i in range(videos)],
        group_name=["g"] * videos,
        group=torch.zeros(videos, dtype=torch.long),
        mos=torch.rand(videos, generator=generator),
        weight=torch.ones(videos),
        features={n: torch.randn(videos, TOKENS.get(n, 4), b.dim, generator=generator) for n, b in branches},
    )


def bits(prediction: Prediction) -> list[float]:
    maps = [value for found in prediction.maps.values() for value in found.flatten().tolist()]
    return [prediction.score, *prediction.details.values(), *maps]


@pytest.mark.parametrize("system", SYSTEMS)
def test_autocast_changes_no_bit_of_a_score_from_the_same_features(system: str) -> None:
    torch.manual_seed(0)
    model = SYSTEMS[system]().eval()
    batch = cached(model)
    with torch.no_grad():
        expected, alone = model(batch), model.predict_step(batch, 0)
        with torch.autocast("cpu", torch.bfloat16):
            found, mixed = model(batch), model.predict_step(batch, 0)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert [bits(one) for one in mixed] == [bits(one) for one in alone]


def test_features_in_half_precision_become_float32_before_a_head_sees_them() -> None:
    model = SYSTEMS["vsfa"]()
    batch = cached(model)
    rounded = {name: tokens.bfloat16() for name, tokens in batch.features.items()}
    batch.features = {name: tokens.float() for name, tokens in rounded.items()}
    expected = model(batch)
    batch.features = rounded
    assert model.features(batch)["content"].dtype == torch.float32
    assert torch.equal(model(batch), expected)
