"""DOVER and DOVER-Mobile against their authors' own code: views, maps, heads, fusion, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from cvqa_models.branches.convnext3d import ConvNeXt3DMap
from cvqa_models.branches.swin3d import Swin3DMap
from cvqa_models.models.dover import Dover, Fusion
from cvqa_models.nn.rescaling import Logistic
from cvqa_models.nn.swin3d import Swin3D
from cvqa_models.shipped import CONFIGS
from cvqa_models.video.frame_rules import OfficialUniformClips, official_segments
from cvqa_models.video.patches import OfficialFragments
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View
from tests.parity.fill import clip
from tests.parity.sources import made_video, seen, sha256
from tests.parity.summary import assert_close, assert_summary, official_weights, reference

RECORDED = {name: reference(name) for name in ("dover", "dover_mobile")}
FUSION = Fusion(Logistic(0.1107, 0.07355), Logistic(-0.08285, 0.03774), 0.6104)
PIPELINE = "pipeline_100x270x480"
INPUTS = {
    "small": {"technical": ((1, 3, 16, 112, 112), 0), "aesthetic": ((1, 3, 8, 64, 96), 1)},
    "mid_2clips": {"technical": ((2, 3, 8, 224, 224), 2), "aesthetic": ((1, 3, 8, 224, 224), 3)},
}
CASES = [
    pytest.param(system, case, marks=[] if (system, case) == ("dover", "small") or quick else [pytest.mark.slow])
    for system, quick in (("dover", False), ("dover_mobile", True))
    for case in (*INPUTS, PIPELINE)
]
FEMTO = {"depths": (2, 2, 6, 2), "dims": (48, 96, 192, 384), "response_norm": True}


def official_views(frames: int) -> dict[str, View]:
    """Return the authors' views with their generators at 42; the aesthetic draw has room for none of its own."""
    seed = 42 - frames
    return {
        "technical": View(OfficialUniformClips(3, 32, 2, seed=seed), OfficialFragments(aligned=32)),
        "aesthetic": View(Spliced(OfficialUniformClips(32, 1, 2, seed=seed)), Resize(224, 224)),
    }


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return files laid out as the published ones: flat tables of tensors."""
    files = {}
    index = Swin3D(depths=(1,), heads=(1,), dim=4).layers[0].blocks[0].attn.relative_position_index
    for system, recorded in RECORDED.items():
        weights = official_weights([row[:2] for row in recorded["state_dict"]])
        weights |= {key: index for key in weights if key.endswith("position_index")}
        path: Path = tmp_path_factory.mktemp("weights") / f"{system}.pth"
        torch.save(weights, path)
        files[system] = str(path)
    return files


@pytest.fixture(scope="module")
def models(checkpoints: dict[str, str]) -> dict[str, Dover]:
    views = official_views(100)
    large, mobile = checkpoints["dover"], checkpoints["dover_mobile"]
    return {
        "dover": Dover(
            Swin3DMap(large, view=views["technical"]),
            ConvNeXt3DMap(large, view=views["aesthetic"]),
            weights=large,
            fusion=FUSION,
        ).eval(),
        "dover_mobile": Dover(
            ConvNeXt3DMap(mobile, view=views["technical"], part="technical", **FEMTO),
            ConvNeXt3DMap(mobile, view=views["aesthetic"], **FEMTO),
            hidden=32,
            weights=mobile,
            fusion=FUSION,
        ).eval(),
    }


def inputs_of(model: Dover, case: str) -> dict[str, Tensor]:
    """Return normalised clips of each branch, (N, 3, T, H, W)."""
    if case in INPUTS:
        return {name: clip(*given) * 4 - 2 for name, given in INPUTS[case].items()}
    frames = made_video(RECORDED["dover"]["cases"][PIPELINE]["source"])
    views = {name: seen(frames, view) for name, view in official_views(len(frames)).items()}
    views["aesthetic"] = authors_resize(frames)
    return {name: branch.normalise(views[name]) for name, branch in model.each_branch().items()}


def authors_resize(frames: np.ndarray) -> Tensor:
    """Return the aesthetic view as their torchvision scales it; ours is swscale's, which differs by one level."""
    chosen = frames[RECORDED["dover"]["cases"][PIPELINE]["views"]["aesthetic"]["frame_indices"]]
    pictures = torch.from_numpy(chosen).permute(3, 0, 1, 2).contiguous().float()
    return F.interpolate(pictures, (224, 224), mode="bilinear", antialias=True).round().to(torch.uint8)[None]


@pytest.mark.parametrize(("system", "case"), CASES)
@torch.inference_mode()
def test_maps_scores_and_fusion(models: dict[str, Dover], system: str, case: str) -> None:
    model, expected = models[system], RECORDED[system]["cases"][case]
    raw = {}
    for name, x in inputs_of(model, case).items():
        recorded = expected[name]
        assert_summary(x, recorded["input"])
        maps = torch.cat([model.each_branch()[name].net(one) for one in x.split(1)])
        assert_summary(maps, recorded["features"], 1e-3)
        assert_summary(maps.mean((2, 3, 4)), recorded["features_pooled"], 1e-3)
        tokens = maps.flatten(2).transpose(1, 2)
        scores = model.heads[f"{name}_head"](tokens.unsqueeze(2)).squeeze(2)
        assert_summary(scores.view(recorded["score_map"]["shape"]), recorded["score_map"], 1e-4)
        assert_close(scores.mean(1), recorded["score_per_clip"], 1e-4)
        raw[name] = tokens.flatten(0, 1)[None]
    details, fused = model.details(raw), expected["fused"]
    for name in ("technical", "aesthetic"):
        assert_close(details[f"{name}_raw"], [expected[name]["score"]], 1e-4)
        assert_close(details[name], [fused[f"{name}_01"]], 1e-3)
    # The fusion divides by 0.04 to 0.07, so that an error of a score grows 14 to 27 times.
    assert_close(details["raw"], [fused["x"]], 3e-3)
    assert_close(model.score(raw), [fused["overall_01"]], 1e-3)


@torch.inference_mode()
def test_a_branch_gives_what_its_network_does_of_each_clip(models: dict[str, Dover]) -> None:
    branch = models["dover_mobile"].each_branch()["technical"]
    x = (clip((1, 2, 3, 4, 64, 64), 5) * 255).to(torch.uint8)
    expected = torch.cat([branch.net(branch.normalise(one)).flatten(2).transpose(1, 2) for one in x[0].split(1)])
    assert torch.equal(branch.tokens(x)[0], expected.flatten(0, 1))


@pytest.mark.parametrize("system", RECORDED)
def test_views(system: str) -> None:
    case = RECORDED[system]["cases"][PIPELINE]
    frames = made_video(case["source"])
    # One stream of draws there, technical first; here each view has its own.
    randint = np.random.RandomState(42).randint
    for name, (parts, length) in {"technical": (3, 32), "aesthetic": (32, 1)}.items():
        indices = official_segments(len(frames), parts, length, 2, randint)
        assert indices.flatten().tolist() == case["views"][name]["frame_indices"]
    views = {name: seen(frames, view) for name, view in official_views(len(frames)).items()}
    assert sha256(views["technical"]) == case["views"]["technical"]["view_sha256_uint8_CTHW"]
    theirs = authors_resize(frames)
    assert sha256(theirs) == case["views"]["aesthetic"]["view_sha256_uint8_CTHW"]
    difference = views["aesthetic"].float() - theirs
    assert difference.abs().max() <= 1
    assert difference.abs().mean() < 0.05


@pytest.mark.parametrize("system", RECORDED)
def test_the_shipped_configuration_has_the_authors_numbers(system: str) -> None:
    recorded = RECORDED[system]
    config = yaml.safe_load((CONFIGS / f"model/{system}.yaml").read_text())["model"]["init_args"]
    fusion = config["fusion"]
    curves = {name: Logistic(**fusion[name]) for name in ("technical", "aesthetic")}
    assert Fusion(**curves, share=fusion["share"]) == FUSION
    assert recorded["fusion"].startswith("t=(technical-0.1107)/0.07355; a=(aesthetic+0.08285)/0.03774; overall")
    assert config.get("hidden", 64) == recorded["model_args"]["vqa_head"]["hidden_channels"]
    options = recorded["sample_types"]
    for name, part in options.items():
        view = config[name]["init_args"]["view"]
        frames = view["frames"]["init_args"]
        frames = frames["runs"]["init_args"] if "runs" in frames else frames
        assert frames["num_clips"] == part.get("t_frag", part["num_clips"])
        assert frames["num_clips"] * frames["clip_length"] == part["clip_len"] * part["num_clips"]
        pixels = view["pixels"]["init_args"]
        if "grid" in pixels:
            assert (pixels["grid"], frames["stride"]) == ([part["fragments_h"], part["fragments_w"]], 2)
        else:
            assert (pixels["height"], pixels["width"]) == (part["size_h"], part["size_w"])


def test_sizes(models: dict[str, Dover]) -> None:
    """The published DOVER-Mobile holds two classifiers that nothing uses, which are not built here."""
    for system, model in models.items():
        unused = 2 * (1000 * 384 + 1000) if system == "dover_mobile" else 0
        assert sum(parameter.numel() for parameter in model.parameters()) + unused == RECORDED[system]["params"]


def test_scores_go_by_name_where_the_program_for_onnx_swaps_them() -> None:
    technical, aesthetic = torch.tensor([0.12]), torch.tensor([-0.06])
    assert FUSION(technical, aesthetic).sigmoid().item() == pytest.approx(0.5776, abs=5e-5)
    assert FUSION(aesthetic, technical).sigmoid().item() == pytest.approx(0.6632, abs=5e-5)


def test_files_of_others_are_refused_with_their_keys(checkpoints: dict[str, str]) -> None:
    large, mobile = checkpoints["dover"], checkpoints["dover_mobile"]
    tiny: dict[str, Any] = {"depths": (1,), "dims": (8,)}
    with pytest.raises(ValueError, match=r"dover_mobile\.pth' do not fit Swin3D: keys 191 missing \(patch_embed\.proj"):
        Swin3DMap(mobile)
    with pytest.raises(ValueError, match=r"do not fit ConvNeXt3D: keys .* missing .*unexpected"):
        ConvNeXt3DMap(large, **FEMTO)
    with pytest.raises(ValueError, match=r"do not fit ModuleDict: keys 2 of another shape \(technical_head\.fc_hid"):
        Dover(ConvNeXt3DMap(**tiny), ConvNeXt3DMap(**tiny), weights=large)
    strange = {f"semantic_head.{key}": torch.zeros(1) for key in ("fc_hid.weight", "fc_hid.bias")}
    torch.save(torch.load(large, weights_only=True) | strange, Path(large).with_name("more.pth"))
    with pytest.raises(
        ValueError, match=r"more\.pth' do not fit ModuleDict: keys 2 unexpected \(semantic_head\.fc_hid"
    ):
        Dover(Swin3DMap(), ConvNeXt3DMap(), weights=str(Path(large).with_name("more.pth")))
