"""The attention of RQ-VQA's stack, spelled out pair by pair."""

from __future__ import annotations

import torch

from cvqa_models.nn.attention_stack import AttentionStack


def test_logits_pair_by_pair() -> None:
    torch.manual_seed(0)
    attention = AttentionStack(dim=8, size=(2, 3), heads=1, head_dim=4).eval().net[0].net[3]
    x = torch.randn(1, 2, 2, 3)
    q, k = attention.to_qk(x)[0].flatten(1).chunk(2)
    v = attention.to_v(x)[0].flatten(1)
    logits = torch.empty(6, 6)
    for i in range(6):
        for j in range(6):
            rows, columns = j // 3 - i // 3, j % 3 - i % 3
            position = attention.pos_emb.rel_height[rows + 1] + attention.pos_emb.rel_width[columns + 2]
            logits[i, j] = q[:, i] @ (k[:, j] + position) / 2
    torch.testing.assert_close(attention(x)[0].flatten(1), v @ logits.softmax(1).T)


def test_a_new_stack_only_drops_negative_values() -> None:
    stack = AttentionStack(dim=8, size=(2, 2), heads=1, head_dim=4).eval()
    x = torch.randn(1, 8, 2, 2)
    torch.testing.assert_close(stack(x), x.relu())
