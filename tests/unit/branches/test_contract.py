"""What every branch promises, checked for each one that the package holds."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

import cvqa_models.branches
from cvqa_models.branches.base import Branch
from cvqa_models.branches.compression import Compression
from cvqa_models.video.frame_rules import KeyFrames, OfficialKeyFrames
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.view import View
from tests.unit.branches.tiny import TINY

TABLE = "cvqa_models.branches.table.Table"  # holds measured values and computes nothing from frames
FRAME = (64, 96)  # height and width of the decoded frames that the views below are cut from
PAIRED_FRAME = (161, 176)  # MS-SSIM takes no smaller ones


def class_path(branch: type[Branch]) -> str:
    return f"{branch.__module__}.{branch.__qualname__}"


def branch_classes() -> dict[str, type[Branch]]:
    """Return every concrete Branch that the package defines, by class path."""
    modules = [
        importlib.import_module(f"cvqa_models.branches.{found.name}")
        for found in pkgutil.iter_modules(cvqa_models.branches.__path__)
    ]
    found = [thing for module in modules for thing in vars(module).values() if inspect.isclass(thing)]
    return {
        class_path(thing): thing
        for thing in found
        if issubclass(thing, Branch) and not inspect.isabstract(thing) and thing.__module__.startswith("cvqa_models.")
    }


CLASSES = branch_classes()
TINY_CLASSES = sorted(TINY.keys() & CLASSES.keys())
# Some branches are frozen by nature and take no such argument.
TRAINABLE = [path for path in TINY_CLASSES if "frozen" in inspect.signature(CLASSES[path]).parameters]


def build(path: str, **changes: Any) -> Branch:
    """Return the tiny branch `path`, the same one at every call, as its owner would hold it."""
    torch.manual_seed(0)
    branch = CLASSES[path](**(TINY[path] | changes))
    branch.freeze()
    return branch


def draw(branch: Branch, videos: int) -> Tensor:
    """Return a view of `videos` videos of noise, each different."""
    view, generator = branch.view, torch.Generator().manual_seed(7)
    channels, frame = (6, PAIRED_FRAME) if view.with_reference else (3, FRAME)
    shape = (videos, view.frames.num_clips, channels, view.frames.clip_length, *view.pixels.output_size(*frame))
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_every_branch_has_a_tiny_configuration() -> None:
    assert sorted(CLASSES.keys() - {TABLE}) == sorted(TINY), "give each branch one row in tests/unit/branches/tiny.py"


@pytest.mark.parametrize("path", TINY_CLASSES)
def test_width_is_as_declared(path: str) -> None:
    branch = build(path).eval()
    x = draw(branch, videos=2)
    with torch.no_grad():
        tokens, feature = branch.tokens(x), branch(x)
    assert tokens.shape[::2] == feature.shape == (2, branch.dim)
    assert tokens.is_floating_point()
    assert feature.isfinite().all()


@pytest.mark.parametrize("path", TINY_CLASSES)
def test_a_video_has_the_same_feature_alone_and_in_a_batch(path: str) -> None:
    branch = build(path).eval()
    x = draw(branch, videos=2)
    with torch.no_grad():
        together = branch(x)
        alone = torch.cat([branch(video) for video in x.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", TINY_CLASSES)
def test_the_source_of_all_weights_is_recorded(path: str) -> None:
    branch = build(path)
    assert bool(branch.sources) == bool(list(branch.parameters()))
    assert all(source.random and source.seed == 0 for source in branch.sources.values())
    assert not branch.lies_in_files or not branch.sources
    assert set(branch.fixed_keys()) <= set(branch.state_dict())
    if branch.frozen:
        assert not [part for part, source in branch.sources.items() if source.trained]


@pytest.mark.parametrize("path", TRAINABLE)
def test_trainable_parameters_get_gradients(path: str) -> None:
    branch = build(path, frozen=False).train()
    branch(draw(branch, videos=2)).float().square().sum().backward()
    trainable = {name: parameter for name, parameter in branch.named_parameters() if parameter.requires_grad}
    assert trainable
    for name, parameter in trainable.items():
        assert parameter.grad is not None, f"{name} takes no part in the feature"
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("path", TRAINABLE)
def test_batch_normalisation_keeps_its_statistics_in_training(path: str) -> None:
    branch = build(path, frozen=False)
    if isinstance(branch, Compression):
        branch.from_scratch = False  # as with weights from a file
        branch.train()
    norms = [module for module in branch.modules() if isinstance(module, _BatchNorm)]
    for step in range(2):  # as its owner built it, and as a trainer calls it
        assert branch.training
        assert not any(norm.training for norm in norms), step
        assert all(norm.weight.requires_grad and norm.bias.requires_grad for norm in norms)
        branch.train()


@pytest.mark.parametrize("path", TINY_CLASSES)
def test_a_frozen_branch_does_not_move(path: str) -> None:
    branch = build(path, frozen=True) if path in TRAINABLE else build(path)
    before = {key: tensor.clone() for key, tensor in branch.state_dict().items()}
    branch.train()
    feature = branch(draw(branch, videos=2))
    assert not feature.requires_grad
    assert not any(module.training for module in branch.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in branch.state_dict().items())


@pytest.mark.parametrize("path", TRAINABLE)
def test_only_frozen_features_are_cached(path: str) -> None:
    assert build(path, frozen=False).demand.cache_key is None
    frozen = build(path, frozen=True)
    assert (frozen.demand.cache_key is None) == frozen.view.random
    assert frozen.demand.view is frozen.view


@pytest.mark.parametrize("path", TRAINABLE)
def test_other_weights_have_another_cache_key(path: str) -> None:
    branch = build(path, frozen=True)
    before = branch.demand.cache_key
    with torch.no_grad():
        next(branch.parameters()).add_(1)
    assert branch.demand.cache_key != before


@pytest.mark.parametrize("path", ["qalign.QAlign", "qalign.QAlignLevels", "lmm_levels.LmmLevels", "liqe.Liqe"])
def test_native_key_frames_may_be_those_of_the_first_seconds(path: str) -> None:
    first = View(OfficialKeyFrames(2), Native())
    assert build(f"cvqa_models.branches.{path}", view=first, num_clips=None).view == first
    assert build(f"cvqa_models.branches.{path}").view.frames == KeyFrames(2)


def test_cache_keys_are_the_same_in_another_process() -> None:
    program = (
        "import json; from tests.unit.branches.test_contract import TRAINABLE, build\n"
        "print(json.dumps({path: build(path, frozen=True).demand.cache_key for path in TRAINABLE}))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == {path: build(path, frozen=True).demand.cache_key for path in TRAINABLE}
