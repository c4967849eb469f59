"""CompressedVQA-HDR, alone and beside a source, against the outputs of its own networks, heads and curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cvqa_models.branches.clip import Clip
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD
from cvqa_models.branches.swin_similarity import SwinSimilarity
from cvqa_models.branches.views import key_frame_view
from cvqa_models.models.compressed_vqa_hdr import HEADS, CompressedVqaHdr, CompressedVqaHdrFr
from cvqa_models.nn.rescaling import FittedLogistic
from tests.parity.fill import clip
from tests.parity.summary import assert_close, assert_summary, official_weights, reference
from tests.parity.swin_index import with_index

RECORDED = reference("compressedvqa_hdr")
NR, FR = RECORDED["nr"], RECORDED["fr"]
# Case -> number of videos and frames, seed, block, as its name says.
TOWERS = {
    "tower_1x2x3x384x384_seed2": (1, 2, 2, 1),
    "tower_1x1x3x384x384_seed3_block16": (1, 1, 3, 16),
    "tower_2x1x3x384x384_seed4_block8": (2, 1, 4, 8),
}
# Case -> shape, seed, size of the noise.
PAIRS = {
    "1x2x3x224x224": ((1, 2, 3, 224, 224), 0, 0.3),
    "2x2x3x192x192": ((2, 2, 3, 192, 192), 1, 0.1),
    "identical_1x2x3x224x224": ((1, 2, 3, 224, 224), 0, 0.0),
    "1x2x3x384x384": ((1, 2, 3, 384, 384), 2, 0.2),
}


def blocks(shape: tuple[int, ...], seed: int, block: int) -> Tensor:
    """Return a normalised input of squares of one colour."""
    *first, height, width = shape
    small = clip((*first, height // block, width // block), seed)
    return small.repeat_interleave(block, -1).repeat_interleave(block, -2) * 4 - 2


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> CompressedVqaHdr:
    path = tmp_path_factory.mktemp("weights") / "NR_HDR_VQA.pth"
    torch.save(official_weights(NR["state_dict"]), path)
    tower = Clip(
        "ViT-B-16-SigLIP2-384",
        str(path),
        prefix="feature_extraction.",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        view=key_frame_view(size=384),
    )
    return CompressedVqaHdr(tower, weights=str(path)).eval()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> CompressedVqaHdrFr:
    path = tmp_path_factory.mktemp("weights") / "FR_HDR_VQA.pth"
    weights = with_index(official_weights(FR["state_dict"]))
    weights |= {
        "mean": torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1),
        "std": torch.tensor(IMAGENET_STD).view(1, 3, 1, 1),
    }
    torch.save({f"module.{key}": value for key, value in weights.items()}, path)  # as its authors write it
    return CompressedVqaHdrFr(SwinSimilarity(str(path)), weights=str(path)).eval()


def test_parameters(alone: CompressedVqaHdr, beside: CompressedVqaHdrFr) -> None:
    assert sum(parameter.numel() for parameter in alone.parameters()) == NR["params"]
    assert sum(parameter.numel() for parameter in alone.branches.parameters()) == NR["params_tower"]
    # Theirs has a norm that no score passes.
    assert sum(parameter.numel() for parameter in beside.parameters()) == FR["params"] - 2 * 1024


@pytest.mark.parametrize("seed", [0, 1])
@torch.inference_mode()
def test_heads(alone: CompressedVqaHdr, seed: int) -> None:
    expected = NR["cases"][f"heads_only_features_seed{seed}"]["heads_per_frame"]
    found = alone.maps({"frames": clip((4, 768), seed)[None] * 4 - 2})
    for name in HEADS:
        assert_close(found[name][0], expected[name], atol=1e-4, rtol=0)


SLOW = {"tower_1x2x3x384x384_seed2", "tower_2x1x3x384x384_seed4_block8", "2x2x3x192x192", "1x2x3x384x384"}


def marked(names: Iterable[str]) -> list[Any]:
    """Return the names as parameters, some of them slow ones."""
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in names]


@pytest.mark.parametrize("name", marked(TOWERS))
@torch.inference_mode()
def test_tower_and_scores(alone: CompressedVqaHdr, name: str) -> None:
    expected, (videos, frames, seed, block) = NR["cases"][name], TOWERS[name]
    pictures = blocks((videos * frames, 3, 384, 384), seed, block)
    net = alone.branches["frames"].net
    tokens = net.trunk.forward_features(pictures[:1])
    assert_summary(tokens, expected["tokens_frame0"], atol=1e-3 * expected["tokens_frame0"]["std"])
    features = net(pictures)
    assert_summary(features, expected["features"], atol=1e-3 * expected["features"]["std"])
    seen = {"frames": features.unflatten(0, (videos, frames))}
    for number, (head, found) in enumerate(alone.maps(seen).items()):
        assert_close(found.flatten(), expected["heads_per_frame"][head], atol=1e-4, rtol=0)
        assert_close(found.mean(1), expected["scores_mean_over_frames"][number], atol=1e-4, rtol=0)
    assert_close(alone.score(seen), expected["scores_mean_over_frames"][0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", marked(PAIRS))
@torch.inference_mode()
def test_levels_similarities_and_scores(beside: CompressedVqaHdrFr, name: str) -> None:
    expected, (shape, seed, noise) = FR["cases"][name], PAIRS[name]
    source = blocks(shape, seed, 8)
    distorted = source + noise * (clip(shape, seed + 1000) * 2 - 1)
    branch = beside.branches["similarity"]
    for number, level in enumerate(branch.levels(source.flatten(0, 1))):
        assert_summary(level, expected[f"ref_stage{number}"], atol=1e-3 * expected[f"ref_stage{number}"]["std"])
    tokens = branch.similarities(source.flatten(0, 1), distorted.flatten(0, 1))
    assert_summary(tokens, expected["similarity_vector_3846"], atol=1e-3, rtol=0)
    score = beside.score({"similarity": tokens.unflatten(0, shape[:2])})
    assert_close(score, expected["score"], atol=1e-4, rtol=0)


def curves() -> Iterator[tuple[list[float], float, float]]:
    for case in RECORDED["logistic"]:
        yield case["params"], case["x"], case["y"]


@pytest.mark.parametrize(("numbers", "raw", "expected"), curves())
def test_the_curve_from_its_file(tmp_path: Path, numbers: list[float], raw: float, expected: float) -> None:
    np.save(tmp_path / "curve.npy", np.array(numbers))
    curve = FittedLogistic()
    curve.read(tmp_path / "curve.npy")
    assert_close(curve(torch.tensor([raw])), [expected], atol=1e-5, rtol=1e-6)
