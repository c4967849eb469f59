"""The whole of COVER against its authors' own code: one checkpoint with their key names, scores, maps, gradients."""

from __future__ import annotations

import hashlib
from pathlib import Path

import decord
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from av.video.frame import VideoFrame
from torch import Tensor, nn

from cvqa_models.branches.clip_frames import ClipFrames
from cvqa_models.branches.convnext3d import ConvNeXt3DMap
from cvqa_models.branches.swin3d import Swin3DMap
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.losses.published import dover_plcc_loss, dover_rank_loss
from cvqa_models.models.cover import Cover
from cvqa_models.nn.swin3d import Swin3D
from cvqa_models.types import Batch
from cvqa_models.video.frame_rules import official_segments
from cvqa_models.video.patches import OfficialFragments
from cvqa_models.video.pixel_rules import Frame
from cvqa_models.video.scaling import Scaler
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import SHARED, assert_close, assert_summary, official_weights, reference

RECORDED = reference("cover")
TRAINING = reference("cover_train")
CLIPS = SHARED / "clips"
CLIP = CLIPS / "video_1.mp4"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a file laid out as the published COVER.pth."""
    weights = official_weights([row[:2] for row in RECORDED["state_dict"]])
    index = Swin3D(depths=(1,), heads=(1,), dim=4).layers[0].blocks[0].attn.relative_position_index
    weights |= {key: index for key in weights if key.endswith("position_index")}
    path: Path = tmp_path_factory.mktemp("weights") / "COVER.pth"
    torch.save({"state_dict": weights, "validation_results": [0.0]}, path)
    return str(path)


def model_of(checkpoint: str, semantic: ClipFrames, *, frozen: bool = False) -> Cover:
    technical = Swin3DMap(checkpoint, frozen=frozen)
    aesthetic = ConvNeXt3DMap(checkpoint, frozen=frozen)
    return Cover(semantic, technical, aesthetic, GroupLoss(), weights=checkpoint).eval()


@pytest.fixture(scope="module")
def whole(checkpoint: str) -> Cover:
    """Return COVER at full size, with CLIP."""
    semantic = ClipFrames()
    tower = official_weights(reference("clip_visual")["state_dict"])
    load_exact(semantic.net, tower, unused=("positional_embedding",))
    return model_of(checkpoint, semantic)


@pytest.fixture
def tiny_semantics(checkpoint: str) -> Cover:
    """Return COVER with full video branches, where a small CLIP holds the place of the one that is not asked."""
    return model_of(checkpoint, ClipFrames(width=8, depth=1, heads=1, dim=768))


def normalised_tokens(model: Cover, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tokens of inputs (B, 3, T, H, W) that are normalised already."""
    tokens = {}
    for name, x in inputs.items():
        branch = model.each_branch()[name]
        own, branch.normalise = branch.normalise, nn.Identity()
        tokens[name] = branch.tokens(x.transpose(1, 2).unsqueeze(3) if name == "semantic" else x.unsqueeze(1))
        branch.normalise = own
    return tokens


def test_sizes(whole: Cover) -> None:
    semantic = sum(parameter.numel() for parameter in whole.branches["semantic"].parameters())
    assert semantic == RECORDED["params_clip_visual"] - 257 * 1024  # COVER does not use the positional embedding
    rest = sum(parameter.numel() for parameter in whole.parameters()) - semantic
    # Their count has CLIP-IQA's prompts, which COVER holds and never reads.
    assert rest == RECORDED["params_registered"] - 2 * 16 * 768
    assert (
        sum(parameter.numel() for parameter in whole.fusion.parameters()) == TRAINING["head_phase"]["trainable_params"]
    )


def test_scores_and_maps(whole: Cover) -> None:
    expected = RECORDED["small"][0]
    inputs = {name: clip(x["shape"], x["seed"]) * 4 - 2 for name, x in expected["inputs"].items()}
    with torch.no_grad():
        tokens = normalised_tokens(whole, inputs)
        maps, scores, overall = whole.maps(tokens), whole.details(tokens), whole.score(tokens)
    assert_summary(tokens["semantic"].transpose(1, 2), expected["semantic_feature"])
    for name, recorded in expected["score_maps"].items():
        assert_summary(maps[name].unsqueeze(1).expand(recorded["shape"]), recorded)
        assert_close(scores[name][0], expected["branch_scores"][name])
    assert_close(overall[0], expected["overall"])


def published_loss(scores: dict[str, Tensor], mos: Tensor) -> Tensor:
    return sum(dover_plcc_loss(score, mos) + 0.3 * dover_rank_loss(score, mos) for score in scores.values())


def training_tokens(model: Cover) -> dict[str, Tensor]:
    """Return tokens of the recorded training step, whose semantic features are the pixels themselves."""
    pixels = clip([3, 3, 4, 16, 16], 10) - 0.5
    video = {"technical": clip([3, 3, 8, 224, 224], 11) * 4 - 2, "aesthetic": clip([3, 3, 8, 224, 224], 12) * 4 - 2}
    return {"semantic": F.normalize(pixels.transpose(1, 2).flatten(2), dim=-1)} | normalised_tokens(model, video)


def norm_of_gradient(module: nn.Module) -> float:
    return torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm().item()


@pytest.mark.slow
def test_training_step(tiny_semantics: Cover) -> None:
    model, expected = tiny_semantics, TRAINING["end_to_end"]
    mos = clip([3, 1], 13).squeeze(1) * 4 + 1
    scores = model.details(training_tokens(model))
    for name, recorded in TRAINING["head_phase"]["branches"].items():
        assert_close(scores[name], recorded["scores"])
        assert_close(dover_plcc_loss(scores[name], mos), recorded["plcc_loss"])
        assert_close(dover_rank_loss(scores[name], mos), recorded["rank_loss"])
    loss = published_loss(scores, mos)
    assert_close(loss, expected["total_loss"])
    loss.backward()
    parts = {
        "technical_backbone": model.branches["technical"].net,
        "aesthetic_backbone": model.branches["aesthetic"].net,
    }
    for name, norm in expected["grad_l2"].items():
        part = parts[name] if name in parts else model.fusion.get_submodule(name)
        assert norm_of_gradient(part) == pytest.approx(norm, rel=1e-3)
    for key, first in TRAINING["head_phase"]["grad_first8"].items():
        assert_close(model.fusion.get_parameter(key).grad[:8], first, rtol=1e-3)

    backbones = [parameter for part in parts.values() for parameter in part.parameters()]
    groups = [{"params": model.fusion.parameters(), "lr": 1e-3}, {"params": backbones, "lr": 1e-4}]
    torch.optim.AdamW(groups, weight_decay=0.05).step()
    with torch.no_grad():
        scores = model.details(training_tokens(model))
    # The losses do not know the level of the scores, so the gradient of a head's last bias is rounding alone, and the
    # first step of Adam, which is the sign of the gradient, moves the level by 0.001 up or down.
    for name, recorded in expected["after_one_step"]["branches"].items():
        theirs = torch.tensor(recorded["scores"])
        torch.testing.assert_close(scores[name] - scores[name].mean(), theirs - theirs.mean(), rtol=1e-3, atol=1e-3)


def test_loss_is_the_sum_over_branches(tiny_semantics: Cover) -> None:
    model = tiny_semantics
    with torch.no_grad():
        tokens = training_tokens(model)
        mos, group, weight = torch.tensor([1.0, 3.0, 2.0]), torch.zeros(3, dtype=torch.int64), torch.ones(3)
        batch = Batch(["a", "b", "c"], ["g"] * 3, group, mos, weight)
        total, count = model.training_loss(tokens, batch)
        parts = [model.loss(score, mos, group, weight)[0] for score in model.details(tokens).values()]
    assert count.item() == 1
    torch.testing.assert_close(total, parts[0] + parts[1] + parts[2])


def official_fragments(frames: np.ndarray) -> Frame:
    """Return the technical view, (T, 224, 224, 3), of frames (T, H, W, 3)."""
    rule = OfficialFragments()
    places = rule.draw(*frames.shape[1:3], 1, None)[0]
    return np.stack([rule.cut(frame, places) for frame in frames])


def authors_resize(frames: Tensor, size: list[int], *, antialias: bool) -> Tensor:
    """Return uint8 frames (3, T, H, W) as torchvision scales them; the authors' pinned version has no antialias."""
    return F.interpolate(frames.float(), size, mode="bilinear", antialias=antialias).round().to(torch.uint8)


@pytest.mark.parametrize("case", reference("cover_sampling")["resize"], ids=lambda case: f"{case['size']}")
def test_our_resize_is_that_of_newer_torchvisions(case) -> None:
    """It does not alias, where that of the authors' pinned version does: noise keeps its deviation there."""
    shape = [int(number) for number in case["input"].split("[")[1].split("]")[0].split(",")]
    frames = (clip(shape, 7) * 256).to(torch.uint8)
    theirs = authors_resize(frames, case["size"], antialias=case["antialias"])
    # Without antialias pixels fall on halves, which the last bit of a machine's arithmetic rounds up or down.
    assert (theirs.flatten()[:16].int() - torch.tensor(case["first16"])).abs().max() <= 1
    assert theirs.float().mean().item() == pytest.approx(case["mean"], abs=1e-3)
    assert theirs.float().std(correction=0).item() == pytest.approx(case["std"], abs=1e-3)
    if case["antialias"]:
        scaler, pictures = Scaler("bt709"), frames.permute(1, 2, 3, 0).contiguous().numpy()
        ours = [scaler.scale(VideoFrame.from_ndarray(p, "rgb24"), *case["size"], "bilinear") for p in pictures]
        assert np.mean(ours) == pytest.approx(case["mean"], abs=0.05)
        assert np.std(ours) == pytest.approx(case["std"], rel=0.01)


@pytest.mark.parametrize("name", RECORDED["views_only"])
def test_frames_and_fragments_of_a_clip(name: str) -> None:
    """1724.mp4 is portrait and long enough for random places in time. Resized views: `test_a_whole_video`."""
    recorded, path = RECORDED["views_only"][name], CLIPS / name.split("|")[0]
    randint = np.random.RandomState(42).randint
    for branch, length in (("semantic", 1), ("technical", 2), ("aesthetic", 2)):
        indices = official_segments(recorded["num_frames"], 20, length, 2, randint).reshape(-1).tolist()
        assert indices == recorded["views"][branch]["frame_indices"]
    if not path.is_file():
        pytest.skip(f"'{path.name}' lies beside the project only")
    technical = recorded["views"]["technical"]
    frames = decord.VideoReader(str(path)).get_batch(technical["frame_indices"]).asnumpy()
    view = np.ascontiguousarray(official_fragments(frames).transpose(3, 0, 1, 2))
    assert hashlib.sha256(view.tobytes()).hexdigest() == technical["view_sha256_uint8_CTHW"]


@pytest.mark.slow
@pytest.mark.skipif(not CLIP.is_file(), reason=f"'{CLIP.name}' lies beside the project only")
def test_a_whole_video(whole: Cover) -> None:
    expected = RECORDED["demo_video_1_full"]
    video = decord.VideoReader(str(CLIP))
    views = {}
    for name, recorded in expected["views"].items():
        frames = torch.from_numpy(video.get_batch(recorded["frame_indices"]).asnumpy())
        if name == "technical":
            view = torch.from_numpy(official_fragments(frames.numpy())).permute(3, 0, 1, 2)
        else:
            size = recorded["tensor"]["shape"][-2:]
            view = authors_resize(frames.permute(3, 0, 1, 2), size, antialias=False)
        assert view.float().mean().item() == pytest.approx(recorded["view_mean"], abs=1e-4)
        views[name] = view.transpose(0, 1).unsqueeze(2) if name == "semantic" else view.unsqueeze(0)
    with torch.no_grad():
        tokens = {name: whole.each_branch()[name].tokens(view.unsqueeze(0)) for name, view in views.items()}
        maps, overall = whole.maps(tokens), whole.score(tokens)
    assert_summary(tokens["semantic"][0].T, expected["semantic_feature_CxT"], atol=1e-4)
    for name, recorded in expected["score_maps"].items():
        assert_summary(maps[name].unsqueeze(1).expand(recorded["shape"]), recorded, atol=1e-4)
    assert_close(overall[0], expected["overall"], atol=1e-4)
