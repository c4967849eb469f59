"""VSFA against the outputs of its authors' own code, with the published head where it lies beside the project."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.resnet50_stats import ResNet50Stats
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.vsfa import Vsfa, head_key
from cvqa_models.nn.gru_pool import GruPool, subjective_pooling
from cvqa_models.video.dense import OfficialEveryFrame
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import SHARED, assert_close, assert_summary, official_weights, reference

HEAD = reference("vsfa_head")
POOLING = reference("vsfa_temporal_pooling")
RESNET = reference("vsfa_resnet50_stats")
WHOLE = reference("vsfa_full_mp4")
WEIGHTS = SHARED / "weights" / "VSFA.pt"
CLIP = SHARED / "clips" / "test.mp4"

needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"'{WEIGHTS.name}' lies beside the project only")
needs_clip = pytest.mark.skipif(not CLIP.is_file(), reason=f"'{CLIP.name}' lies beside the project only")


def head_with(source: Any) -> GruPool:
    head = GruPool(4096, 128, 32)
    load_exact(head, source, rename=head_key)
    return head.eval()


def score(head: GruPool, tokens: Tensor) -> Tensor:
    return subjective_pooling(head(tokens)).mean(1)


@pytest.fixture(scope="module")
def published() -> GruPool:
    return head_with(WEIGHTS)


@pytest.fixture(scope="module")
def branch() -> ResNet50Stats:
    branch = ResNet50Stats(None, view=View(OfficialEveryFrame(), Native()))
    load_exact(branch.net, official_weights(RESNET["state_dict"]))
    branch.freeze()
    return branch


@pytest.mark.parametrize("case", range(len(POOLING["cases"])))
def test_pooling(case: int) -> None:
    expected = POOLING["cases"][case]
    shape, seed = {1: ((1, 1), 0), 3: ((3, 1), 1), 12: ((12, 1), 2), 13: ((13, 1), 3), 30: ((30, 1), 4)}[
        expected["pooled"]["shape"][0]
    ]
    assert f"clip({shape}, seed={seed})".replace(" ", "") in expected["input"].replace(" ", "")
    pooled = subjective_pooling((clip(shape, seed) * 4 - 2).T, expected["tau"], expected["beta"])
    assert_summary(pooled[0], expected["pooled"])
    assert_close(pooled.mean(), expected["mean"])


def test_gradient_of_pooling() -> None:
    quality = (clip((30, 1), 4) * 4 - 2).T.requires_grad_()
    subjective_pooling(quality).mean().backward()
    assert quality.grad is not None
    assert_summary(quality.grad[0], POOLING["grad_of_mean_wrt_q"]["grad"])


@pytest.mark.parametrize("case", range(len(HEAD["cases_fill_rule"])))
def test_head_filled_by_rule(case: int) -> None:
    expected = HEAD["cases_fill_rule"][case]
    steps = expected["frame_q"]["shape"][0]
    head = head_with(official_weights(HEAD["state_dict"]))
    with torch.no_grad():
        tokens = clip((1, steps, 4096), seed=steps)
        assert_summary(head(tokens)[0], expected["frame_q"])
        assert_close(score(head, tokens)[0], expected["score"])


@needs_weights
@pytest.mark.parametrize("case", range(len(HEAD["cases_real_weights"])))
def test_published_head(published: GruPool, case: int) -> None:
    expected = HEAD["cases_real_weights"][case]
    tokens = clip((1, expected["T"], 4096), seed=expected["T"])
    with torch.no_grad():
        quality = published(tokens)
        assert_summary(quality[0], expected["frame_q"])
        assert_summary(subjective_pooling(quality)[0], expected["pooled"])
        assert_close(score(published, tokens)[0], expected["score"])


@needs_weights
def test_published_head_on_videos_of_several_lengths(published: GruPool) -> None:
    expected = HEAD["batched_real_weights"]["scores"]
    tokens = clip((3, 40, 4096), seed=7)
    with torch.no_grad():
        for row, length in enumerate((40, 13, 5)):
            assert_close(score(published, tokens[row : row + 1, :length])[0], expected[row])


@needs_weights
def test_model_loads_the_published_head(branch: ResNet50Stats) -> None:
    model = Vsfa(branch, GroupLoss(), weights=str(WEIGHTS))
    expected = HEAD["cases_real_weights"][3]
    with torch.no_grad():
        assert_close(model.score({"content": clip((1, 12, 4096), seed=12)})[0], expected["score"])


def test_resnet_statistics(branch: ResNet50Stats) -> None:
    assert {key: list(value.shape) for key, value in branch.net.state_dict().items()} == dict(RESNET["state_dict"])
    with torch.no_grad():
        for name, expected in RESNET["outputs"].items():
            shape = (2, 3, 64, 96) if "64" in name else (1, 3, 75, 101)
            pixels = 255 * clip(shape, seed=1)
            if "as is" in name:  # undo the branch's normalisation
                pixels = pixels * branch.normalise.std[:, 0] + 255 * branch.normalise.mean[:, 0]
            assert_summary(branch.tokens(pixels[:, None, :, None])[:, 0], expected)


@needs_weights
@needs_clip
@pytest.mark.slow
def test_whole_system_on_a_video(branch: ResNet50Stats, published: GruPool) -> None:
    from cvqa_models.video.reader import ReadOptions, read_views

    pytest.importorskip("decord", reason="the reference numbers are of frames decoded by decord")
    expected = WHOLE["decord_0.6_rgb"]
    frames = read_views(CLIP, [branch.view], ReadOptions(decoder="decord", untagged="bt601"))[branch.view.key][:16]
    assert frames.shape == (16, 3, 1, 540, 960)
    assert_close(frames.float().mean(), expected["frame_mean"])
    with torch.no_grad():
        tokens = torch.cat([branch.tokens(frame[None, None]) for frame in frames], dim=1)
        assert_summary(tokens[0], expected["features"])
        quality = published(tokens)
        assert_summary(quality[0], expected["frame_q"])
        assert_close(score(published, tokens)[0], expected["score"])
