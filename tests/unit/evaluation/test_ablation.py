"""What each branch brings: the variants of an ablation, and that they cut a model down as they say."""

from __future__ import annotations

import pytest

from cvqa_models.evaluation.ablation import ablation
from cvqa_models.shipped import CONFIGS
from cvqa_models.training.configured import Configured


def test_every_branch_is_left_out_once_and_kept_alone_once() -> None:
    assert ablation(["a", "b", "c"]) == {
        "all branches": {},
        "without a": {"model.drop": ["a"]},
        "without b": {"model.drop": ["b"]},
        "without c": {"model.drop": ["c"]},
        "a alone": {"model.drop": ["b", "c"]},
        "b alone": {"model.drop": ["a", "c"]},
        "c alone": {"model.drop": ["a", "b"]},
    }


def test_of_two_branches_none_is_tried_twice() -> None:
    assert list(ablation(["a", "b"])) == ["all branches", "a alone", "b alone"]


def test_one_branch_has_nothing_to_be_compared_with() -> None:
    with pytest.raises(ValueError, match=r"needs two branches or more, and there are 1; add one"):
        ablation(["a"])


def test_a_variant_keeps_the_branches_of_its_name() -> None:
    files = [CONFIGS / "tiny/flagship.yaml", CONFIGS / "data/mini.yaml"]
    whole = list(Configured(files).build(0)[0].each_branch())
    variants = ablation(whole)
    assert list(Configured(files, variants["semantic alone"]).build(0)[0].each_branch()) == ["semantic"]
    left = list(Configured(files, variants["without semantic"]).build(0)[0].each_branch())
    assert left == [name for name in whole if name != "semantic"]
