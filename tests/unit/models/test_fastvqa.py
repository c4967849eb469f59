"""FAST-VQA over a tiny branch: mean of the map, rescaled score, a published file as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from cvqa_models.branches.swin3d import Swin3DMap
from cvqa_models.inference.load import load
from cvqa_models.models.fastvqa import FastVqa
from cvqa_models.nn.rescaling import Logistic
from cvqa_models.training.configured import Configured
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import Fragments
from cvqa_models.video.view import View
from cvqa_models.weights import sources

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "configs/tiny/fastvqa.yaml"


def build() -> FastVqa:
    torch.manual_seed(0)
    view = View(UniformClips(1, 4, 2), Fragments((2, 2), 16))
    branch = Swin3DMap(view=view, width=8, depths=(1, 1), heads=(1, 2), frozen=True)
    return FastVqa(branch, hidden=4, rescale=Logistic(0.1, 0.05)).eval()


@torch.no_grad()
def test_the_raw_score_is_the_mean_of_the_map() -> None:
    model = build()
    tokens = {"fragments": torch.randn(3, 2 * 4 * 4, 16, generator=torch.Generator().manual_seed(1))}
    maps = model.maps(tokens)["quality"]
    assert maps.shape == (3, 2, 4, 4)
    raw = maps.flatten(1).mean(1)
    torch.testing.assert_close(model.details(tokens)["raw"], raw)
    torch.testing.assert_close(model.score(tokens), ((raw - 0.1) / 0.05).sigmoid())


def published(folder: Path, name: str) -> Path:
    """Write a file of the tiny system laid out as a published one, and a configuration that names it."""
    config = yaml.safe_load(CONFIG.read_text())
    arguments = config["model"]["init_args"]
    torch.manual_seed(3)
    branch = Swin3DMap(**{key: value for key, value in arguments["fragments"]["init_args"].items() if key != "view"})
    head = FastVqa(branch, hidden=8).heads.state_dict()
    state = {f"fragments_backbone.{key}": tensor for key, tensor in branch.net.state_dict().items()} | head
    torch.save({"state_dict": state, "validation_results": [np.float64(0.8)]}, folder / name)
    arguments["fragments"]["init_args"]["weights"] = arguments["weights"] = str(folder / name)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    return folder / "mine.yaml"


def test_a_published_file_scores_at_once_always_alike_and_says_its_licence_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sources, "_told", set())
    frames = (np.random.default_rng(0).random((20, 90, 120, 3)) * 255).astype(np.uint8)
    scores = [load(published(tmp_path, "FAST_VQA_B_1_4.pth"), device="cpu")(frames, fps=25) for _ in range(2)]
    assert scores[0].value == scores[1].value
    assert 0 < scores[0].value < 1
    raw = scores[0].details["raw"]
    assert scores[0].value == pytest.approx(float(torch.tensor(raw / 0.1).sigmoid()), rel=1e-5)
    assert caplog.messages == [], "MIT"
    load(published(tmp_path, "DOVER.pth"), device="cpu")
    assert [text.partition("': ")[2] for text in caplog.messages] == ["S-Lab 1.0 (not for commercial use)."]


def test_a_file_of_another_system_is_refused_with_its_keys(tmp_path: Path) -> None:
    config = published(tmp_path, "mine.pth")
    file = tmp_path / "mine.pth"
    state = torch.load(file, weights_only=False)["state_dict"]
    torch.save({key.replace("fragments_", "technical_"): tensor for key, tensor in state.items()}, file)
    with pytest.raises(ValueError, match=r"do not fit ModuleDict: keys \d+ unexpected \(technical_backbone\.patch_emb"):
        load(config)


@pytest.mark.parametrize("name", ["fastvqa", "fastervqa", "dover"])
def test_the_page_of_a_system_shows_how_to_score_as_its_authors_do(name: str, tmp_path: Path) -> None:
    page = (ROOT / f"docs/systems/{name}.md").read_text(encoding="utf-8")
    overlay = tmp_path / "official.yaml"
    overlay.write_text(page.split("```yaml\n")[1].split("```")[0])
    config = yaml.safe_load((ROOT / f"configs/model/{name}.yaml").read_text())["model"]["init_args"]
    shown = Configured([ROOT / f"configs/model/{name}.yaml", overlay], {}, with_data=False).model_config["init_args"]
    for branch in {"fragments", "technical", "aesthetic"} & set(config):
        ours, theirs = (source[branch]["init_args"] for source in (config, shown))
        assert theirs["weights"] == ours["weights"]
        runs = theirs["view"]["frames"]
        runs = runs["init_args"].get("runs", runs)
        assert runs["class_path"].endswith(".OfficialUniformClips")
        assert branch != "aesthetic" or theirs["view"]["pixels"]["class_path"].endswith(".Resize")
        assert branch == "aesthetic" or theirs["view"]["pixels"]["class_path"].endswith(".OfficialFragments")
