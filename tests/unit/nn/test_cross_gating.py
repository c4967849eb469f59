"""COVER's fusion: where one semantic position stands for all."""

from __future__ import annotations

import torch

from cvqa_models.nn.cross_gating import CrossGating


def test_one_semantic_position_is_as_good_as_copies() -> None:
    torch.manual_seed(0)
    fusion = CrossGating(8).eval()
    semantic, technical, aesthetic = torch.randn(2, 3, 8), torch.randn(2, 3, 4, 8), torch.randn(2, 3, 9, 8)
    maps = fusion(semantic, technical, aesthetic)
    copies = semantic.unsqueeze(2).expand(2, 3, 4, 8)
    torch.testing.assert_close(maps["technical"], fusion.technical_head(fusion.smtc_gate_tech(copies, technical)))
    torch.testing.assert_close(maps["semantic"].expand(2, 3, 4), fusion.semantic_head(copies))
    assert maps["aesthetic"].shape == (2, 3, 9)


def test_a_position_scores_by_itself() -> None:
    torch.manual_seed(0)
    fusion = CrossGating(8).eval()
    semantic, technical = torch.randn(1, 2, 8), torch.randn(1, 2, 4, 8)
    changed = technical.clone()
    changed[0, 1, 2] += 1
    difference = fusion(semantic, technical, technical)["technical"] - fusion(semantic, changed, technical)["technical"]
    assert difference.abs().nonzero().tolist() == [[0, 1, 2]]
