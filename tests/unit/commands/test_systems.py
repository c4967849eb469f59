"""The list of systems: sizes as the papers give them, and weights that are missing or damaged."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from cvqa_models.commands.systems import systems
from cvqa_models.inference.systems import PUBLIC_SETS, Figures, read_system
from cvqa_models.published import PUBLISHED
from cvqa_models.shipped import CONFIGS

CHECKPOINTS = Path(__file__).resolve().parents[3] / "checkpoints"


def test_sizes_are_the_published_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.files.FOLDER", tmp_path)
    row = read_system(CONFIGS / "model" / "compression_rq_vqa.yaml")
    assert row.trainable == pytest.approx(91.50, abs=0.005)
    assert row.weights
    assert not any(row.weights.values())


def test_a_system_is_listed_without_any_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.files.FOLDER", tmp_path)
    assert read_system(CONFIGS / "model" / "tvqa.yaml").weights["samnet"] is False


def test_a_kind_is_what_the_model_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert systems(json=tmp_path / "systems.json") == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "systems.json").read_text())}
    assert {name: row["fault"] for name, row in rows.items() if row["fault"]} == {}
    kinds = {name: row["kind"] for name, row in rows.items()}
    image = {"compressed_vqa_hdr", "evqa", "hive", "iqa_llava", "koncept512", "linearity", "qrealign", "rankiqa", "uvq"}
    video = {"compression_rq_vqa", "cover", "flagship", "minimalistic_vqa", "tvqa", "vsfa"}
    assert {name for name in image | video if kinds[name] == "NR image"} == image
    assert {name for name in image | video if kinds[name] == "NR video"} == video
    assert rows["cover"]["parameters"] == pytest.approx(365.0, abs=0.4)  # the count of COVER's own code
    assert rows["vsfa"]["published"] == pytest.approx([0.8844, 0.9403, 0.7913, 0.8720])
    assert rows["tvqa"]["published"] == pytest.approx([0.9376, 0.9772, 0.8505, 0.9218])
    for *three, result in (row["published"] for row in rows.values() if None not in row["published"]):
        assert result == pytest.approx(sum(three) / 3, abs=1e-4)  # the ranking's own definition
    commercial = {name: row["commercial"] for name, row in rows.items()}
    assert [commercial[name] for name in ("uvq", "cover", "iqa_llava")] == [True, False, None]
    assert rows["iqa_llava"]["licences"] == {"llava-1.5-7b-hf": "LLaMA-2"}
    readme = (CHECKPOINTS / "README.md").read_text()
    assert [name for row in rows.values() for name in row["weights"] if f"| `{name}` |" not in readme] == []
    shown = capsys.readouterr().out
    assert "compression_rq_vqa: spatial SwinAttention 1024, motion SlowFast 256" in shown
    assert re.search(r"^ dover  .* KoNViD-1k PLCC 0\.883  no *$", shown, re.M)
    assert (
        "  licence: cover MIT; its backbones descend from DOVER, S-Lab 1.0 (not for commercial use); clip_vit_l"
        in shown
    )


def test_figures_on_public_sets_have_a_source(
    one_system: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures("README of SOMEONE", {"KoNViD-1k PLCC": 0.5, "LIVE-VQC PLCC": 0.25})
    monkeypatch.setitem(PUBLIC_SETS, "tvqa", figures)
    assert systems(json=one_system / "systems.json") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split()[-4:] == ["KoNViD-1k", "PLCC", "0.500", "no"]
    assert "  published: KoNViD-1k PLCC 0.500, LIVE-VQC PLCC 0.250 (README of SOMEONE)" in shown
    [row] = json.loads((one_system / "systems.json").read_text())
    assert row["public_sets"] == {"source": figures.source, "values": figures.values}


def test_public_figures_are_of_systems_and_within_their_range() -> None:
    assert set(PUBLIC_SETS) <= {path.stem for path in (CONFIGS / "model").glob("*.yaml")}
    assert all(0 < value < 1 for figures in PUBLIC_SETS.values() for value in figures.values.values())


@pytest.fixture
def one_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for weights; the only config names SAMNet's, SlowFast's, a timm model's and a language model's."""
    monkeypatch.setattr("cvqa_models.weights.files.FOLDER", tmp_path)
    monkeypatch.setattr("cvqa_models.weights.files.CHECKPOINTS", tmp_path)  # where the cards lie
    for name in [name for name, row in PUBLISHED.items() if row.package]:  # which may be installed here, or not
        monkeypatch.delitem(PUBLISHED, name)
    configs = tmp_path / "configs"
    (configs / "model").mkdir(parents=True)
    shutil.copy(CONFIGS / "model" / "tvqa.yaml", configs / "model")
    monkeypatch.setattr("cvqa_models.inference.systems.CONFIGS", configs)
    return tmp_path


def test_the_check_says_of_every_file_if_it_is_intact(
    one_system: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = one_system / "compression_level.safetensors"
    shipped.write_bytes(b"as it came")
    digest = hashlib.sha256(b"as it came").hexdigest()
    shipped.with_suffix(".md").write_text(f"# card\n\n| sha256 | `{digest}` |\n")
    (one_system / "VSFA.pt").write_bytes(b"cut short")
    (one_system / "COVER.pth").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    (one_system / "SAMNet_with_ImageNet_pretrain.pth").write_bytes(b"no digest is known")
    assert systems(check_weights=True) == 2
    shown = capsys.readouterr()
    assert shown.out.split("\n\n")[-1].splitlines() == [
        "compression_damage: missing",
        "compression_level: intact",
        "cover: damaged",
        "one-align: missing",
        "samnet: present, no digest known",
        "slowfast_r50_k400: missing",
        "timm/convnext_xlarge.fb_in22k: missing",
        "vsfa: damaged",
    ]
    assert "Missing or damaged: compression_damage, cover, one-align, slowfast_r50_k400," in shown.err


def test_the_check_passes_where_nothing_is_missing_or_damaged(
    one_system: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (one_system / "configs" / "model" / "tvqa.yaml").unlink()
    for name in ("compression_level", "compression_damage"):
        for ending in ("safetensors", "md"):
            shutil.copy(CHECKPOINTS / f"{name}.{ending}", one_system)
    assert systems(check_weights=True) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-2:] == ["compression_damage: intact", "compression_level: intact"]
    assert shown.err == ""
    (one_system / "compression_level.safetensors").write_bytes(b"cut short")
    assert systems(check_weights=True) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "compression_level: damaged"
