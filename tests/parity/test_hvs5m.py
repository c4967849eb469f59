"""HVS-5M against the outputs of its authors' own code."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cvqa_models.branches.hvs5m import HvsMotion, HvsSpatial, convnext_key, fast_pathway_key, saliency_weight
from cvqa_models.models.tvqa import matching_motion
from cvqa_models.nn.canny import canny
from cvqa_models.nn.gru_pool import Hvs5mHead
from cvqa_models.nn.slowfast import SlowFastNet
from cvqa_models.video.dense import MotionChunks, MotionSteps, OfficialMotionChunks, OfficialMotionSteps
from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_close, assert_summary, official_weights, reference

POST = reference("hvs5m_saliency_edge_post")
MOTION = reference("hvs5m_motion")
FUSION = reference("hvs5m_fusion_indices")
QUALITY = reference("hvs5m_quality_model")
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.mark.parametrize(("case", "size"), [(0, (96, 128)), (1, (90, 122)), (2, (540, 960))])
def test_saliency_becomes_weights(case: int, size: tuple[int, int]) -> None:
    weight = saliency_weight(clip(size, seed=5)[None, None])
    assert_summary(weight[0, 0], POST["saliency_cases"][case]["output"])


@pytest.mark.parametrize(("case", "size"), [(0, (96, 128)), (1, (90, 122))])
def test_edges_are_those_of_opencv_bit_for_bit(case: int, size: tuple[int, int]) -> None:
    expected = POST["canny_cases"][case]
    blocks = clip((3, size[0] // 16, size[1] // 16), seed=6)
    frame = F.interpolate(blocks[None], size=size, mode="bilinear", align_corners=False)[0]
    frame = (255 * frame).round().to(torch.uint8)
    assert digest(frame) == expected["frame_sha256"]
    edges = canny(frame, 5, 140)
    assert (edges > 0).sum((1, 2)).tolist() == expected["edge_pixels_per_channel"]
    assert digest(edges) == expected["edge_sha256"]


def digest(frame: Tensor) -> str:
    """Return the sha256 of the bytes of a frame (3, H, W), as rows of pixels."""
    return hashlib.sha256(frame.permute(1, 2, 0).contiguous().numpy().tobytes()).hexdigest()


def spatial_features(branch: HvsSpatial, numbers: dict[str, Any]) -> None:
    """Assert the features of both images under the recorded weights."""
    content = (clip((2, 3, 96, 128), seed=7) - MEAN) / STD
    edge = ((clip((2, 3, 96, 128), seed=8) > 0.9).float() - MEAN) / STD
    weight = clip((2, 1, 3, 4), seed=9) + 1
    with torch.no_grad():
        assert_summary(branch.net.forward_features(content), numbers["last_map_content"])
        both = [branch._statistics(image, weight) for image in (content, edge)]
    names = ("content_mean", "content_std", "edge_mean", "edge_std")
    for name, vector in zip(names, [half for image in both for half in image.chunk(2, dim=1)], strict=True):
        assert_summary(vector, numbers[name])
    assert_summary(torch.cat(both, dim=1), numbers["concatenated"])


@pytest.mark.parametrize("name", ["hvs5m_convnext_small8", "hvs5m_convnext_tiny"])
def test_content_and_edges_with_official_names(name: str) -> None:
    numbers = reference(name)
    branch = HvsSpatial(None, None, name="convnext_tiny")
    if name.endswith("small8"):
        import timm

        branch.net = timm.create_model("convnext_tiny", num_classes=0, depths=(1, 1, 2, 1), dims=(8, 16, 32, 64))
    weights = official_weights(numbers["state_dict"])
    load_exact(branch.net, weights, rename=convnext_key, unused=("head.fc.weight", "head.fc.bias"))
    spatial_features(branch.eval(), numbers)


def test_content_and_edges_with_timm_names() -> None:
    numbers = reference("hvs5m_convnext_tiny")["timm_keys"]
    branch = HvsSpatial(None, None, name="convnext_tiny").eval()
    assert {key: list(v.shape) for key, v in branch.net.state_dict().items()} == dict(numbers["state_dict"])
    load_exact(branch.net, official_weights(numbers["state_dict"]), rename=convnext_key)
    content = (clip((2, 3, 96, 128), seed=7) - MEAN) / STD
    edge = ((clip((2, 3, 96, 128), seed=8) > 0.9).float() - MEAN) / STD
    weight = clip((2, 1, 3, 4), seed=9) + 1
    with torch.no_grad():
        both = torch.cat([branch._statistics(image, weight) for image in (content, edge)], dim=1)
    assert_summary(both, numbers["output"])


def test_motion_from_the_fast_pathway_alone() -> None:
    branch = HvsMotion(None)
    load_exact(branch.net, official_weights(MOTION["state_dict"]), rename=fast_pathway_key)
    assert sum(p.numel() for p in branch.net.parameters()) == 514_152
    frames = (255 * clip((64, 64, 96, 3), seed=11)).round().to(torch.uint8)
    chunk = frames[torch.from_numpy(MotionChunks(1).indices(frame_times(64), None)[0])].permute(3, 0, 1, 2)
    branch.freeze()
    with torch.no_grad():
        (maps,) = branch.net(branch.normalise(chunk[None]))
        assert_summary(maps, MOTION["fast_s5"])
        assert_summary(branch.tokens(chunk[None, None])[0], MOTION["motion_feature_32x512"])


def test_fast_maps_are_the_same_to_the_bit_without_the_slow_pathway() -> None:
    both = fill_(SlowFastNet("both")).eval()
    alone = SlowFastNet("fast").eval()
    load_exact(alone, both.state_dict(), rename=fast_pathway_key)
    x = clip((1, 3, 32, 64, 96), seed=11)
    with torch.no_grad():
        assert torch.equal(both(x)[1], alone(x)[0])


def test_full_size_network_has_the_published_size() -> None:
    import timm

    with torch.device("meta"):
        network = timm.create_model("convnext_xlarge", num_classes=0)
    assert sum(p.numel() for p in network.parameters()) == 348_147_968


def frame_times(frames: int) -> FrameTimes:
    return FrameTimes(frames, 30.0, tuple(i / 30 for i in range(frames)))


@pytest.mark.parametrize("case", range(len(FUSION["cases"])))
def test_frames_of_each_step(case: int) -> None:
    expected = FUSION["cases"][case]
    total, full = expected["frames"], expected["full_chunks_before_tail"]
    tiled = [64 * c + step for c in range(full) for step in MOTION["fast_index"]]
    for rule, tail in ((MotionSteps(), "tail_intended"), (OfficialMotionSteps(), "tail_official")):
        frames = rule.indices(frame_times(total), None)
        assert frames.shape == (expected["steps"], 1)
        assert frames.reshape(-1).tolist() == tiled + expected[tail]
    chunks = OfficialMotionChunks().indices(frame_times(total), None)
    assert chunks.shape == (full + 1, 32)
    # The motion tokens that match the spatial ones are of the very same frames.
    motion = torch.from_numpy(chunks).reshape(1, -1, 1)
    mended = MotionSteps().indices(frame_times(total), None)
    np.testing.assert_array_equal(matching_motion(motion, len(mended))[0].numpy(), mended)


def quality_key(key: str) -> str | None:
    """Return our name of a key of HVS-5M's quality model; None for its scale per data set."""
    table = {
        "dimemsion_reduction": "pool.reduce",
        "feature_aggregation": "pool.gru",
        "regression": "pool.quality",
        "nlm.0": "mapping.slope",
        "nlm.2": "mapping.scale",
    }
    root, name = key.rsplit(".", 1)
    return None if root.startswith("lm.") else f"{table[root]}.{name}"


def test_quality_model_starts_as_published() -> None:
    head = Hvs5mHead(8704)
    init = QUALITY["init"]
    for layer, name in ((head.mapping.slope, "nlm.0"), (head.mapping.scale, "nlm.2")):
        assert_close(layer.weight[0], init[f"{name}.weight"])
        assert_close(layer.bias, init[f"{name}.bias"])
    scale_per_data_set = 2
    trainable = sum(p.numel() for p in head.parameters() if p.requires_grad)
    assert trainable + scale_per_data_set == QUALITY["trainable_after_init"]


def test_quality_model() -> None:
    head = Hvs5mHead(8704).eval()
    weights = official_weights(QUALITY["state_dict"])
    load_exact(head, weights, rename=quality_key)
    for case in QUALITY["cases"]:
        steps = case["frame_q"]["shape"][1]
        tokens = clip((2, steps, 8704), seed=steps)
        with torch.no_grad():
            assert_summary(head.pool(tokens).unsqueeze(2), case["frame_q"])
            for row, length in enumerate((steps, max(steps // 2, 1))):
                cut = tokens[row : row + 1, :length]
                assert_close(head.relative(cut)[0], case["relative"][row])
                mapped = head(cut)
                assert_close(mapped[0], case["mapped"][row])
                aligned = F.linear(mapped[:, None], weights["lm.K.weight"], weights["lm.K.bias"])
                assert_close(aligned[0, 0], case["aligned"][row])
