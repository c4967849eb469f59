"""The list of systems: sizes as the papers give them, and weights that are missing or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.commands.systems import CONFIGS, describe, is_damaged


def test_sizes_are_the_published_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.FOLDER", tmp_path)
    row = describe(CONFIGS / "model" / "compression_rq_vqa.yaml")
    assert row.trainable == pytest.approx(91.50, abs=0.005)
    assert row.weights
    assert not any(row.weights.values())


def test_a_system_is_listed_without_any_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.FOLDER", tmp_path)
    assert describe(CONFIGS / "model" / "tvqa.yaml").weights["samnet"] is False


def test_a_file_with_another_digest_is_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cvqa_models.weights.FOLDER", tmp_path)
    (tmp_path / "VSFA.pt").write_bytes(b"cut short")
    (tmp_path / "SAMNet_with_ImageNet_pretrain.pth").write_bytes(b"no digest is published")
    assert is_damaged("vsfa")
    assert not is_damaged("samnet")
