"""RQ-VQA and its extension by a compression branch, against the released classes under both of timm's layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.swin_attention import SwinAttention
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.compression_rq_vqa import CompressionRqVqa
from cvqa_models.nn.attention_stack import AttentionStack
from cvqa_models.video.frame_rules import FrameTimes, KeyFrames, OfficialUniformClips, official_segments
from cvqa_models.video.patches import Fragments, OfficialFragments
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import assert_close, assert_summary, official_weights, reference

CURRENT = reference("rqvqa_timm1")
# The base model of this file, a Swin and motion alone, is no system of ours; its Swin is the one checked below.
RELEASED = reference("rqvqa_timm06_released")
SAMPLING = reference("rqvqa_sampling")


class Given(Branch):
    """Stands for a frozen extractor whose features are given."""

    def __init__(self, dim: int) -> None:
        super().__init__(View(KeyFrames(2), Native()), dim, frozen=True)

    def tokens(self, x: Tensor) -> Tensor:
        raise AssertionError(x.shape)


def features() -> dict[str, Tensor]:
    return {
        "motion": clip((1, 2, 256), 1),
        "language": clip((1, 2, 4096), 2) * 2 - 1,
        "agreement": clip((1, 2, 495), 3) * 20,
        "fragments": clip((1, 2, 768), 4) * 2 - 1,
        "compression": clip((1, 2, 1600), 5) * 2 - 1,
    }


def frames() -> Tensor:
    """Return two normalised frames, (1, 2, 3, 1, 384, 384)."""
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    return ((clip((1, 2, 3, 384, 384), 0) - mean) / std).unsqueeze(3)


def save(recorded, folder: Path, prefix: str) -> str:
    """Return a file laid out as a published checkpoint; shift masks of old timm are no weights and are left at 0."""
    listing = [row[:2] for row in recorded["state_dict"]]
    weights = official_weights([row for row in listing if not row[0].endswith(("attn_mask", "position_index"))])
    for key, shape in listing:
        weights.setdefault(key, torch.zeros(shape))
    path = folder / "rqvqa.pth"
    torch.save({prefix + key: tensor for key, tensor in weights.items()}, path)
    return str(path)


def model_of(checkpoint: str, *, compression: bool = False) -> CompressionRqVqa:
    spatial = SwinAttention(weights=checkpoint)
    spatial.normalise = nn.Identity()
    given = {name: Given(tokens.shape[2]) for name, tokens in features().items()}
    extra = given.pop("compression")
    return CompressionRqVqa(
        spatial,
        *given.values(),
        GroupLoss(),
        compression=extra if compression else None,
        weights=None if compression else checkpoint,
    ).eval()


def test_attention_stack() -> None:
    stack = AttentionStack()
    listing = [
        (key.removeprefix("bot4."), shape) for key, shape, *_ in CURRENT["state_dict"] if key.startswith("bot4.")
    ]
    load_exact(stack, official_weights(listing))
    assert sum(parameter.numel() for parameter in stack.parameters()) == CURRENT["params"]["bot"]
    with torch.no_grad():
        assert_summary(stack.eval()(clip((1, 1024, 12, 12), 6) * 2 - 1), CURRENT["outputs"]["bot_alone"])


def test_current_timm(tmp_path: Path) -> None:
    model = model_of(save(CURRENT, tmp_path, ""))
    assert sum(parameter.numel() for parameter in model.parameters()) == CURRENT["params"]["total"]
    spatial = model.branches["spatial"]
    with torch.no_grad():
        tokens = spatial.tokens(frames())
        score = model.score({"spatial": tokens} | features())
    assert_summary(tokens[0], CURRENT["outputs"]["bot_pooled_1024"])
    assert_close(score, CURRENT["outputs"]["score"]["first16"], atol=5e-5)


def test_released_layout_with_prefix_of_data_parallel(tmp_path: Path) -> None:
    model = model_of(save(RELEASED, tmp_path, "module."))
    with torch.no_grad():
        tokens = model.branches["spatial"].tokens(frames())
        score = model.score({"spatial": tokens} | features())
    assert_summary(tokens[0], RELEASED["outputs"]["rqvqa_bot4_pooled"])
    assert_close(score, RELEASED["outputs"]["rqvqa_score"]["first16"], atol=5e-5)


def test_with_compression(tmp_path: Path) -> None:
    model = model_of(save(CURRENT, tmp_path, ""), compression=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == CURRENT["params"]["aim_reconstruction_total"]
    load_exact(
        model.quality,
        official_weights(
            [
                ("quality.0.weight", [128, 8239]),
                ("quality.0.bias", [128]),
                ("quality.1.weight", [1, 128]),
                ("quality.1.bias", [1]),
            ]
        ),
        prefix="quality.",
    )
    with torch.no_grad():
        score = model.score({"spatial": model.branches["spatial"].tokens(frames())} | features())
    assert_close(score, CURRENT["outputs"]["aim_reconstruction_score"]["first16"], atol=5e-5)


@pytest.mark.parametrize("size", SAMPLING["fastvqa_grid"])
@pytest.mark.parametrize("rule", [Fragments(), OfficialFragments()])
def test_grid_of_fast_vqa(size: str, rule: Fragments) -> None:
    expected = SAMPLING["fastvqa_grid"][size]
    places = rule.draw(*map(int, size.split("x")), 4, None)
    for places_on, axis, name in ((0, 1, "row"), (1, 0, "col")):
        offset = np.stack([np.moveaxis(p[places_on], axis, 0) for p in places]) - expected[f"{name}s"]
        low, high = expected[f"{name}_offset_range"]
        assert low <= offset.min() <= offset.max() <= max(low, high - 1)  # their draw leaves the last place out


@pytest.mark.parametrize("frames", SAMPLING["fastvqa_frames"])
def test_clips_of_fast_vqa(frames: str) -> None:
    expected, total = SAMPLING["fastvqa_frames"][frames], int(frames)
    frame_times = FrameTimes(total, 25.0, tuple(index / 25 for index in range(total)))
    indices = OfficialUniformClips(4, 32, 2).indices(frame_times)
    starts = [clip * expected["seg_len"] for clip in range(4)]
    low, high = expected["offset_range"]
    assert all(low <= first - start <= max(low, high - 1) for first, start in zip(indices[:, 0], starts, strict=True))
    if not expected["deterministic"]:  # the same rule with the recorded seed in the place of the video's own
        indices = official_segments(total, 4, 32, 2, np.random.RandomState(0).randint)
    assert indices[:, 0].tolist() == expected["starts_seed0"]
    assert indices[:, -1].tolist() == expected["ends_seed0"]
