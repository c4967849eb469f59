"""The list of systems: sizes as the papers give them, and weights that are missing or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cvqa_models.commands.systems import CONFIGS, describe, is_damaged, systems


def test_sizes_are_the_published_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.FOLDER", tmp_path)
    row = describe(CONFIGS / "model" / "compression_rq_vqa.yaml")
    assert row.trainable == pytest.approx(91.50, abs=0.005)
    assert row.weights
    assert not any(row.weights.values())


def test_a_system_is_listed_without_any_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.FOLDER", tmp_path)
    assert describe(CONFIGS / "model" / "tvqa.yaml").weights["samnet"] is False


def test_a_kind_is_what_the_model_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert systems(json=tmp_path / "systems.json") == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "systems.json").read_text())}
    kinds = {name: row["kind"] for name, row in rows.items()}
    image = {"hive", "iqa_llava", "koncept512", "linearity", "rankiqa"}
    video = {"compression_rq_vqa", "cover", "flagship", "tvqa", "vsfa"}
    assert {name for name in image | video if kinds[name] == "NR image"} == image
    assert {name for name in image | video if kinds[name] == "NR video"} == video
    assert rows["cover"]["parameters"] == pytest.approx(365.0, abs=0.4)  # the count of COVER's own code
    assert rows["vsfa"]["published"] == pytest.approx([0.8844, 0.9403, 0.7913, 0.8720])
    shown = capsys.readouterr().out
    assert "compression_rq_vqa: spatial SwinAttention 1024, motion SlowFast 256" in shown


def test_a_file_with_another_digest_is_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.FOLDER", tmp_path)
    (tmp_path / "VSFA.pt").write_bytes(b"cut short")
    (tmp_path / "SAMNet_with_ImageNet_pretrain.pth").write_bytes(b"no digest is published")
    assert is_damaged("vsfa")
    assert not is_damaged("samnet")
