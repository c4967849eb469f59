"""Shards: every video in one, none moved by others, and each process its own by whatever started it."""

from __future__ import annotations

from collections import Counter

import pytest

from cvqa_models.data.shards import local_rank, parse_shard, shard_of

IDS = [f"video {n}" for n in range(4000)]


def test_shards_are_nearly_equal_and_hang_on_the_name_alone() -> None:
    sizes = Counter(shard_of(name, 8) for name in IDS)
    assert set(sizes) == set(range(8))
    assert max(sizes.values()) < 1.2 * min(sizes.values())
    # From `printf 'video 7' | sha256sum`, whose first 16 digits are a number.
    assert shard_of("video 7", 1000) == int("e3a36b05d52cc17c", 16) % 1000


ARRAY = {"SLURM_ARRAY_TASK_ID": "30", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "10"}
STEPS = {**ARRAY, "SLURM_ARRAY_TASK_STEP": "10"}
CASES: list[tuple[str | None, dict[str, str], tuple[int, int]]] = [
    (None, {}, (0, 1)),
    ("2/4", {"RANK": "3", "WORLD_SIZE": "8"}, (1, 4)),
    (None, {"RANK": "3", "WORLD_SIZE": "8", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (3, 8)),
    (None, {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (1, 2)),
    (None, STEPS, (2, 4)),
    (None, {**STEPS, "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (5, 8)),
]


@pytest.mark.parametrize(("words", "environment", "expected"), CASES)
def test_a_launcher_says_which_shard_is_whose(
    words: str | None, environment: dict[str, str], expected: tuple[int, int]
) -> None:
    assert parse_shard(words, environment) == expected


@pytest.mark.parametrize("words", ["0/4", "5/4", "1", "a/b", "1/0"])
def test_no_shard_is_one_sentence(words: str) -> None:
    with pytest.raises(ValueError, match=f"`--shard` is '{words}'; expected i/n with i from 1 to n"):
        parse_shard(words, {})


def test_each_process_of_a_machine_has_a_number() -> None:
    assert local_rank({}) == 0
    assert local_rank({"SLURM_LOCALID": "3"}) == 3
    assert local_rank({"LOCAL_RANK": "1", "SLURM_LOCALID": "3"}) == 1
