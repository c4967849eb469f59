"""Weights and arguments of the branches that read published networks."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import timm
import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.clip import Clip
from cvqa_models.branches.compression import Compression
from cvqa_models.branches.inputs import Normalise
from cvqa_models.branches.slowfast import SlowFast
from cvqa_models.branches.swin import Swin
from cvqa_models.branches.timm import Timm
from cvqa_models.branches.views import key_frame_view
from cvqa_models.nn.slowfast import SlowFastNet
from cvqa_models.video.frame_rules import Chunks, KeyFrames
from cvqa_models.video.pixel_rules import Crop, Fit, PixelRule, Resize
from cvqa_models.video.view import View
from cvqa_models.weights.exact import digest
from tests.unit.branches.tiny import TINY

SLOWFAST = TINY["cvqa_models.branches.slowfast.SlowFast"]
SWIN = TINY["cvqa_models.branches.swin.Swin"]
CLIP = TINY["cvqa_models.branches.clip.Clip"]
COMPRESSION = TINY["cvqa_models.branches.compression.Compression"]
BRANCHES: list[tuple[type[Branch], dict]] = [
    (SlowFast, SLOWFAST),
    (Swin, SWIN),
    (Clip, CLIP),
    (Compression, COMPRESSION),
]


def saved(folder: Path, tensors: dict[str, Tensor]) -> str:
    torch.save(tensors, folder / "weights.pt")
    return str(folder / "weights.pt")


def test_normalise_takes_uint8_to_published_units() -> None:
    normalise = Normalise((0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    x = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 1, 3, 1, 1, 2)
    expected = torch.tensor([[-1.0, 1.0], [-1.0, 3.0], [0.0, 1.0]])
    torch.testing.assert_close(normalise(x)[0, 0, :, 0, 0], expected)
    assert not normalise.state_dict()


@pytest.mark.parametrize("pathway", ["slow", "fast", "both"])
def test_slowfast_takes_the_published_file_whatever_the_pathway(tmp_path: Path, pathway: str) -> None:
    whole = SlowFastNet("both", depth=SLOWFAST["depth"], width=SLOWFAST["width"], ratio=SLOWFAST["ratio"])
    head = {"blocks.6.proj.weight": torch.zeros(4, 2), "blocks.6.proj.bias": torch.zeros(4)}
    path = saved(tmp_path, {"model_state": whole.state_dict() | head})
    branch = SlowFast(path, **(SLOWFAST | {"pathway": pathway}))
    state = whole.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in branch.net.state_dict().items())
    path = saved(tmp_path, whole.state_dict() | {"blocks.5.extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"1 unexpected \(blocks\.5\.extra\)"):
        SlowFast(path, **(SLOWFAST | {"pathway": pathway}))


def test_slowfast_features_differ_by_pathway_and_so_do_their_keys() -> None:
    keys = {
        SlowFast(**(SLOWFAST | {"pathway": pathway, "frozen": True})).demand.cache_key for pathway in ("slow", "fast")
    }
    assert len(keys) == 2


def test_slowfast_refuses_a_length_that_the_pathways_cannot_share() -> None:
    with pytest.raises(ValueError, match=r"`view` has 30 frames in a clip .* takes a multiple of 4; choose"):
        SlowFast(view=View(Chunks(8, 30), Resize(32, 32)))


def old_swin_key(key: str) -> str:
    """Return timm 0.6's name: a merge of patches closes a stage there."""
    first, index, *rest = key.split(".")
    if first == "layers" and rest[0] == "downsample":
        index = str(int(index) - 1)
    return ".".join([first, index, *rest]) if first == "layers" else key


def test_swin_takes_files_of_timm_1_and_0_6(tmp_path: Path) -> None:
    source = timm.create_model(SWIN["name"], num_classes=3, img_size=32, **SWIN["args"]).state_dict()
    trunk = {key: tensor for key, tensor in source.items() if not key.startswith("head.")}
    new = Swin(weights=saved(tmp_path, source), **SWIN)
    old = {old_swin_key(key): tensor for key, tensor in trunk.items()}
    assert "layers.0.downsample.norm.weight" in old
    old |= {"head.weight": torch.zeros(3, 16), "head.bias": torch.zeros(3)}
    old |= {
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(2),
        "layers.0.blocks.1.attn_mask": torch.zeros(1),
    }
    older = Swin(weights=saved(tmp_path, {"model": old}), **SWIN)
    for branch in (new, older):
        assert all(torch.equal(tensor, source[key]) for key, tensor in branch.net.state_dict().items())


@pytest.mark.parametrize("kept", ["whole model", "tower"])
def test_clip_takes_a_whole_model_or_its_tower(tmp_path: Path, kept: str) -> None:
    text = {"context_length": 4, "vocab_size": 5, "width": 8, "heads": 1, "layers": 1}
    whole = open_clip.CLIP(CLIP["dim"], open_clip.get_model_config("ViT-B-16")["vision_cfg"] | CLIP["vision"], text)
    path = saved(tmp_path, (whole if kept == "whole model" else whole.visual).state_dict())
    assert digest(Clip(weights=path, **CLIP).net) == digest(whole.visual)


def test_clip_keeps_nothing_of_the_text_tower_and_the_activation_of_the_name() -> None:
    branch = Clip("ViT-B-16-quickgelu", dim=16, vision=CLIP["vision"])
    assert "QuickGELU" in str(branch.net)
    assert "QuickGELU" not in str(Clip("ViT-B-16", dim=16, vision=CLIP["vision"]).net)
    assert branch.dim == 16
    assert branch.view.pixels.output_size(100, 200) == (32, 32)


def test_compression_takes_the_published_file(tmp_path: Path) -> None:
    source = Compression(**COMPRESSION)
    unused = {"conv3d_0c.conv.weight": torch.zeros(1), "nonlinear1.bias": torch.zeros(1)}
    branch = Compression(saved(tmp_path, source.net.state_dict() | unused), **COMPRESSION)
    assert digest(branch) == digest(source)


def fitted(height: int, width: int) -> View:
    return View(Chunks(2, 5, fps=5), Fit(height, width))


@pytest.mark.parametrize(
    "changes", [{"view": fitted(191, 448)}, {"view": fitted(192, 449)}, {"grid": (4, 2)}, {"grid": (2, 4)}]
)
def test_compression_refuses_patches_that_do_not_fit(changes: dict) -> None:
    with pytest.raises(ValueError, match=r"pixels do not split into \d x \d patches of at least 193 x 65; change"):
        Compression(**(COMPRESSION | changes))


def test_timm_takes_a_file_with_its_classifier(tmp_path: Path) -> None:
    source = timm.create_model("test_convnext", num_classes=5)
    branch = Timm("test_convnext", saved(tmp_path, source.state_dict()), view=key_frame_view(size=32))
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in branch.net.state_dict().items())
    assert branch.dim == source.num_features


def test_timm_knows_size_and_colours_of_its_networks() -> None:
    branch = Timm("test_vit")
    record = timm.get_pretrained_cfg("test_vit")
    assert branch.view.pixels.output_size(300, 400) == record.input_size[1:]
    assert branch.normalise.mean.flatten().tolist() == pytest.approx(record.mean)


@pytest.mark.parametrize("pixels", [Crop(32, short=32), Crop(32, short=32, random=True), Resize(32, 32)])
def test_random_crops_are_never_cached(pixels: PixelRule) -> None:
    branch = Timm("test_vit", view=View(KeyFrames(8), pixels), frozen=True)
    assert branch.view.random == pixels.random == (branch.demand.cache_key is None)
    assert branch.view.pixels.output_size(90, 160) == (32, 32)


def test_unknown_networks_are_named_with_near_ones() -> None:
    with pytest.raises(ValueError, match=r"timm has no model 'swin_huge'; names that start alike: swin_base"):
        Timm("swin_huge")
    with pytest.raises(ValueError, match=r"no weights tagged like 'resnet50\.best'; give one of .*resnet50\.a1_in1k"):
        Timm("resnet50.best")
    with pytest.raises(ValueError, match=r"open_clip has no model 'ViT-Z-14'; names that start alike: ViT-"):
        Clip("ViT-Z-14")


@pytest.mark.parametrize(("branch", "arguments"), BRANCHES)
def test_missing_weights_are_an_error_without_a_network_connection(
    branch: type[Branch], arguments: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a constructor opened a connection"))
    branch(**arguments)
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.pt' are neither a file"):
        branch(**(arguments | {"weights": "nowhere.pt"}))


def test_a_network_from_scratch_takes_the_statistics_of_the_whole_batch_at_once() -> None:
    torch.manual_seed(0)
    branch = Compression(**COMPRESSION)
    branch.freeze()
    x = torch.randint(0, 256, (2, 2, 3, 5, 192, 448), dtype=torch.uint8)
    norm = next(module for module in branch.modules() if isinstance(module, nn.BatchNorm3d))
    branch.train()(x)
    assert int(norm.num_batches_tracked) == 1
    branch.eval()(x)
    assert int(norm.num_batches_tracked) == 1
