"""E-VQA against the outputs of its own network and of its own sampling, fragments to the bit."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cvqa_models.branches.torchvision_swin import TorchvisionSwin
from cvqa_models.models.evqa import AESTHETIC, DISTORTION, Evqa
from cvqa_models.video.in_memory import InMemory
from cvqa_models.video.official_pixels import OfficialCrop, OfficialSharedFragments
from cvqa_models.video.second_middles import OfficialMiddles
from cvqa_models.video.view import View
from tests.parity.fill import clip
from tests.parity.summary import assert_close, assert_summary, official_weights, reference
from tests.parity.swin_index import with_index

RECORDED = reference("evqa")
CASES = RECORDED["cases"]
VIEWS = [name for name, case in CASES.items() if "source" in case]
FRAMES = OfficialMiddles(4, step=2)
BRANCHES = {"aesthetic": (AESTHETIC, OfficialCrop(384, 384)), "distortion": (DISTORTION, OfficialSharedFragments())}
MAPS = tuple(f"aesthetic_frame0_features.{index}_NHWC" for index in (0, 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Evqa:
    """Return the whole system, read from one file as its authors write it."""
    path = tmp_path_factory.mktemp("weights") / "UVQA.pth"
    torch.save(with_index(official_weights(RECORDED["state_dict"])), path)
    branches = {
        name: TorchvisionSwin(str(path), prefix=prefix, view=View(FRAMES, pixels))
        for name, (prefix, pixels) in BRANCHES.items()
    }
    return Evqa(**branches, weights=str(path)).eval()


def test_parameters(model: Evqa) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == RECORDED["params"]


def inputs(name: str) -> dict[str, Tensor]:
    shape, seeds = {"small_224": ((1, 2, 3, 224, 224), (0, 1)), "batch2_160": ((2, 2, 3, 160, 192), (2, 3))}[name]
    return {branch: clip(shape, seed) * 4 - 2 for branch, seed in zip(BRANCHES, seeds, strict=True)}


def source(rule: dict[str, Any]) -> np.ndarray:
    block, height, width = rule["block"], rule["H"], rule["W"]
    small = clip((rule["n"], -(-height // block), -(-width // block), 3), rule["seed"])
    large = small.repeat_interleave(block, 2).repeat_interleave(block, 1)[:, :height, :width]
    return (large * 256).to(torch.uint8).numpy()


def views(name: str) -> dict[str, Tensor]:
    """Return the views of frames in memory, which are one a second as those of the authors' program are."""
    asked = {branch: View(FRAMES, pixels) for branch, (_, pixels) in BRANCHES.items()}
    clips: dict[str, list[Tensor]] = {branch: [] for branch in asked}
    names = {view.key: branch for branch, view in asked.items()}
    # Frames that are padded at the end complete in the order of their first use.
    places = {view.key: {} for view in asked.values()}
    for key, place, content in InMemory(source(CASES[name]["source"]), 1.0).iter_clips(list(asked.values())):
        places[key][place] = content
    for key, found in places.items():
        clips[names[key]] = [found[place] for place in sorted(found)]
    return {branch: torch.stack(found) for branch, found in clips.items()}


@torch.inference_mode()
def assert_network(model: Evqa, expected: dict[str, Any], pictures: dict[str, Tensor]) -> None:
    """Assert maps, features and scores, from normalised pictures (B, N, 3, H, W)."""
    found: dict[str, Tensor] = {}
    trunk = model.branches["aesthetic"].net
    hooks = [
        trunk.features[index].register_forward_hook(lambda module, given, out, key=key: found.update({key: out[:1]}))
        for index, key in enumerate(MAPS)
    ]
    tokens = {
        name: model.branches[name].net(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        for name, frames in pictures.items()
    }
    for hook in hooks:
        hook.remove()
    for key in MAPS:
        assert_summary(found[key], expected[key], atol=1e-3)
    assert_summary(tokens["aesthetic"].flatten(0, 1), expected["aesthetics_features"], atol=1e-3)
    assert_summary(tokens["distortion"].flatten(0, 1), expected["distortion_features"], atol=1e-3)
    assert_close(model.maps(tokens)["quality"].flatten(), expected["per_frame_score"], atol=1e-4, rtol=0)
    assert_close(model.score(tokens), expected["score"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["small_224", "batch2_160"])
def test_maps_features_and_scores(model: Evqa, name: str) -> None:
    assert_network(model, CASES[name], inputs(name))


@pytest.mark.slow
def test_a_video_from_its_frames_to_its_score(model: Evqa) -> None:
    expected, seen = CASES["pipeline_8x540x960"], views("pipeline_8x540x960")
    pictures = {name: model.branches[name].normalise(view)[:, :, 0][None] for name, view in seen.items()}
    assert_network(model, expected, pictures)
    tokens = {name: model.branches[name].tokens(view[None]) for name, view in seen.items()}
    assert_close(model.score(tokens), expected["score"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str) -> None:
    expected, seen = CASES[name], views(name)
    enlarged = min(expected["source"]["H"], expected["source"]["W"]) < 384
    normalise = TorchvisionSwin(width=6, depths=(1, 1), heads=(1, 1)).normalise
    fragments = seen["distortion"][:, :, 0]
    assert (
        hashlib.sha256(fragments.transpose(0, 1).contiguous().numpy().tobytes()).hexdigest()
        == expected["fragments_sha256_round255"]
    )
    # Enlarged frames have levels between whole ones there, and whole ones in a view.
    tolerance = 0.5 / 255 / 0.224 if enlarged else 1e-3
    assert_summary(normalise(seen["aesthetic"])[:, :, 0], expected["aesthetic_view"], atol=1e-3)
    assert_summary(normalise(seen["distortion"])[:, :, 0], expected["distortion_view"], atol=tolerance)
