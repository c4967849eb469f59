"""Level words as tokens and as numbers."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.nn.lmm.levels import (
    expected_score,
    group_scale,
    level_cross_entropy,
    level_tokens,
    soft_levels,
    word_tokenizer,
)


def pieces(text: str) -> list[int]:
    """Encode as SentencePiece does: words with their leading space are tokens, digits follow a lone space piece."""
    words = {"is": 1, " is": 2, " good": 3, " poor": 4, " ": 5, "9": 6, "8": 7, " ex": 8, "cellent": 9, " best": 10}
    ids = []
    while text:
        piece = max((word for word in words if text.startswith(word)), key=len)
        ids.append(words[piece])
        text = text[len(piece) :]
    return ids


def test_words_are_tokens_in_context() -> None:
    assert level_tokens(pieces, "is", ["good", "poor"]) == ("is", [3, 4])


def test_a_lone_space_piece_ahead_of_digits_joins_the_prompt() -> None:
    assert level_tokens(pieces, "is", ["9", "8"]) == ("is ", [6, 7])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["excellent", "good"], r"not distinct single tokens .*'excellent': 2, 'good': 1"),
        (["good", "good"], "not distinct single tokens"),
        (["9", "good"], "not distinct single tokens"),
        (["good"], "`words` has 1 entry"),
    ],
)
def test_words_that_are_no_distinct_single_tokens_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        level_tokens(pieces, "is", words)


def test_a_word_tokenizer_knows_its_texts() -> None:
    tokenizer = word_tokenizer(["rate this <image>", "good"], ["<s>", "<image>"])
    encoded = tokenizer.encode("<s>rate <image> good never", add_special_tokens=False)
    assert encoded.tokens == ["<s>", "rate", "<image>", "good", "<unk>"]


def test_expected_score_of_certain_levels_is_their_worth() -> None:
    logits = 100 * torch.eye(5)
    torch.testing.assert_close(expected_score(logits), torch.tensor([1, 0.75, 0.5, 0.25, 0]))


def test_expected_score_is_float32_and_keeps_near_values_apart() -> None:
    logits = torch.stack([torch.linspace(0, 1e-3, 400), torch.zeros(400)], dim=1)
    score = expected_score(logits)
    assert score.dtype == torch.float32
    assert len(score.unique()) == 400


@pytest.mark.parametrize("num_levels", [2, 5, 10])
def test_soft_levels_expect_exactly_their_score(num_levels: int) -> None:
    score = torch.linspace(0, 1, 101)
    target = soft_levels(score, num_levels)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(101))
    assert int((target > 0).sum(dim=1).max()) <= 2
    torch.testing.assert_close(target @ torch.linspace(1, 0, num_levels), score, rtol=0, atol=1e-6)


def test_group_scale_reaches_from_0_to_1_in_each_group() -> None:
    mos = torch.tensor([10.0, 0.3, 20.0, 0.1, 15.0, 0.2, 7.0, 7.0, torch.nan])
    group = torch.tensor([0, 1, 0, 1, 0, 1, 2, 2, 0])
    expected = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.5, 0.5, torch.nan, torch.nan, torch.nan])
    torch.testing.assert_close(group_scale(mos, group), expected, equal_nan=True)


def test_group_scale_of_nothing_is_nothing() -> None:
    assert group_scale(torch.empty(0), torch.empty(0, dtype=torch.int64)).shape == (0,)


def test_level_cross_entropy_is_that_of_torch() -> None:
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    score = torch.tensor([0.9, 0.1, 0.6])
    frames = logits.flatten(0, 1)
    target = soft_levels(score, 5).repeat_interleave(4, dim=0)
    expected = torch.nn.functional.cross_entropy(frames, target, reduction="none").view(3, 4).mean(dim=1)
    torch.testing.assert_close(level_cross_entropy(logits, score), expected)
