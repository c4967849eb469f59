"""No reference ever stands on two sides, and every seed gives the same sides again."""

from __future__ import annotations

import pytest

from cvqa_models.data.splits import Split, divide
from cvqa_models.types import VideoRecord


def videos(references: int = 10, split: str = "") -> list[VideoRecord]:
    return [
        VideoRecord(f"v{r}_{p}_{i}", None, f"r{r}/{p}", f"r{r}", split=split)
        for r in range(references)
        for p in ("fast", "slow")
        for i in range(3)
    ]


def references(records: list[VideoRecord]) -> set[str]:
    return {record.reference for record in records}


@pytest.mark.parametrize(
    "split", [Split(), Split(val=0.3, test=0.3), Split(val=["r1"], test=["r2", "r3"]), Split(folds=3)]
)
def test_sides_share_no_reference_and_lose_no_video(split: Split) -> None:
    sides = divide(videos(), split)
    sets = [references(sides[side]) for side in ("train", "val", "test")]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 10
    assert sum(map(len, sides.values())) == 60
    assert divide(videos()[::-1], split)["val"] == sides["val"][::-1]


def test_shares_count_references() -> None:
    sides = divide(videos(), Split(val=0.25, test=0.2))
    assert (len(references(sides["test"])), len(references(sides["val"]))) == (2, 2)
    assert divide(videos(), Split(val=0.0))["val"] == []
    assert divide(videos(), Split(seed=1)) != divide(videos(), Split(seed=0))


def test_named_references_go_where_they_are_named() -> None:
    sides = divide(videos(), Split(val=["r1"], test=["r2"]))
    assert (references(sides["val"]), references(sides["test"])) == ({"r1"}, {"r2"})


def test_every_reference_is_tested_in_exactly_one_fold() -> None:
    tested = [name for fold in range(3) for name in references(divide(videos(), Split(folds=3, fold=fold))["test"])]
    assert sorted(tested) == sorted(references(videos()))


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_folds_hold_about_as_many_videos(seed: int | None) -> None:
    sizes = {"a": 9, "b": 9, "c": 6, "d": 5, "e": 4, "f": 3}  # two folds of 18 are possible
    records = [VideoRecord(f"{name}{i}", None, name, name) for name, size in sizes.items() for i in range(size)]
    tested = [divide(records, Split(folds=2, fold=fold, seed=seed, val=0.0))["test"] for fold in range(2)]
    assert [len(side) for side in tested] == [18, 18]


def test_a_null_seed_deals_as_scikit_learn_does() -> None:
    model_selection = pytest.importorskip("sklearn.model_selection")
    records = [VideoRecord(f"{r}_{i}", None, f"r{r:02}", f"r{r:02}") for r in range(14) for i in range(3 + r % 4)]
    names = [record.reference for record in records]
    theirs = [
        {names[row] for row in test} for _, test in model_selection.GroupKFold(4).split(names, names, groups=names)
    ]
    ours = [references(divide(records, Split(folds=4, fold=fold, seed=None))["test"]) for fold in range(4)]
    assert ours == theirs


def test_a_split_of_the_table_is_kept() -> None:
    official = [VideoRecord("t", None, "set", "t", split="test"), VideoRecord("u", None, "set", "u", split="val")]
    sides = divide([*videos(), *official], Split(val=["r1"]))
    assert references(sides["test"]) == {"t"}
    assert references(sides["val"]) == {"u", "r1"}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(val=["r11"]), r"`val` lists references that are not there to choose from: 'r11' \(near: 'r1'\)"),
        (Split(val=["r1"], test=["r1"]), "`val` lists references that are not there to choose from: 'r1'"),
        (Split(folds=11), "only 10 references; use fewer folds"),
    ],
)
def test_impossible_splits_are_refused(split: Split, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divide(videos(), split)


def test_a_reference_on_two_sides_is_refused() -> None:
    leak = [VideoRecord("a", None, "g", "r", split="train"), VideoRecord("b", None, "g", "r", split="test")]
    with pytest.raises(ValueError, match="Reference 'r' stands in 'train' and in 'test'"):
        divide(leak, Split())


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`val` is 1.5; expected a share in \[0, 1\)"):
        Split(val=1.5)
    with pytest.raises(ValueError, match="`folds` is 3 and `fold` is 3; expected at least 2 folds"):
        Split(folds=3, fold=3)
