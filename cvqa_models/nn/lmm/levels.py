"""Quality levels as words: their tokens, the score that they give, and the levels for a given score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Encode = Callable[[str], list[int]]


def level_tokens(encode: Encode, stem: str, words: Sequence[str]) -> tuple[str, list[int]]:
    """Return the prompt's last text, and the token of each word directly after it.

    Tokens are taken in context, because a tokenizer may split a single word differently. If it puts a separate space
    token before a word (as SentencePiece before a digit), that token becomes part of the text.

    Args:
        encode: Text -> token ids, without special tokens.
        stem: Start of the answer, such as 'The quality of the image is', without a trailing space.
        words: Level words, best first.

    Raises:
        ValueError: If there are fewer than two words, or they are not different single tokens after the stem.
    """
    if len(words) < 2:
        raise ValueError(f"`words` has {len(words)} entry; expected at least two levels, best first.")
    spelled = [encode(f"{stem} {word}") for word in words]
    for text in (stem, f"{stem} "):
        prompt = encode(text)
        tails = [ids[len(prompt) :] for ids in spelled if ids[: len(prompt)] == prompt]
        single = [tail[0] for tail in tails if len(tail) == 1]
        if len(single) == len(set(single)) == len(words):
            return text, single
    tails = [ids[_common_length([*spelled, encode(stem)]) :] for ids in spelled]
    pieces = ", ".join(f"{word!r}: {len(tail)}" for word, tail in zip(words, tails, strict=True))
    raise ValueError(
        f"`words` are not distinct single tokens of this model's tokenizer (tokens per word: {pieces}); "
        "choose other level words, or digits."
    )


def _common_length(rows: Sequence[Sequence[int]]) -> int:
    """Return how many entries at the start are equal in all rows."""
    columns = list(zip(*rows, strict=False))
    return next((i for i, column in enumerate(columns) if len(set(column)) > 1), len(columns))


def word_tokenizer(texts: Iterable[str], special: Sequence[str]) -> Tokenizer:
    """Return a tokenizer that knows the words of `texts`: the vocabulary of an untrained network.

    Args:
        texts: All texts that the network will read.
        special: Tokens that are recognised in any text, numbered from 1; 0 is the unknown word.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    words = dict.fromkeys(word for text in texts for word in text.split() if word not in special)
    vocabulary = {word: index for index, word in enumerate(["<unk>", *special, *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<unk>", *special)])
    return tokenizer


def expected_score(logits: Tensor) -> Tensor:
    """Return the expected level of `logits` (..., L), best level first, as a score in [0, 1], float32, shape (...).

    Levels have the values 1 to 0 in equal steps; for five levels these are Q-Align's weights 1, .75, .5, .25, 0.
    """
    probability = logits.float().softmax(dim=-1)
    return probability @ torch.linspace(1, 0, logits.shape[-1], device=logits.device)


def soft_levels(score: Tensor, num_levels: int) -> Tensor:
    """Return level probabilities (B, L), best first, whose expected score is `score` (B,) in [0, 1].

    Only the two levels next to the score have a probability above 0, so no precision is lost (after DeQA-Score, CVPR
    2025).
    """
    level = (1 - score.float().clamp(0, 1)) * (num_levels - 1)
    return torch.clamp(1 - (level[:, None] - torch.arange(num_levels, device=score.device)).abs(), min=0)


def group_scale(mos: Tensor, group: Tensor) -> Tensor:
    """Return `mos` (B,) scaled to [0, 1] within each group; NaN if it is unknown, or all of a group are equal.

    Scores compare only inside a group, so a level word can only mean a rank inside a group.

    Args:
        mos: Subjective scores, shape (B,); NaN where unknown.
        group: Index of each video's group, int64, shape (B,).
    """
    size = int(group.max()) + 1 if len(group) else 0
    known = ~mos.isnan()
    empty = mos.new_full((size,), torch.nan)
    low = empty.scatter_reduce(0, group[known], mos[known], "amin", include_self=False)[group]
    high = empty.scatter_reduce(0, group[known], mos[known], "amax", include_self=False)[group]
    return torch.where(high > low, (mos - low) / (high - low), torch.nan)


def level_cross_entropy(logits: Tensor, score: Tensor) -> Tensor:
    """Return the cross entropy of level logits to the levels of each video's score, natural log, float32, shape (B,).

    Args:
        logits: Level logits per frame, shape (B, N, L); every frame gets the score of its video.
        score: Scores in [0, 1], shape (B,).
    """
    log_probability = F.log_softmax(logits.float(), dim=-1).mean(dim=1)
    return -(soft_levels(score, logits.shape[-1]) * log_probability).sum(dim=1)
