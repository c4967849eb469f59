"""Branches of the release before spelt views in arguments of their own; today they are still shown the same.

`views_before.json` was written by that release (commit 128d276, for UVQ's two branches 9bff8d8): class, arguments, and
the view that the branch had.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser

from cvqa_models.branches.base import Branch
from cvqa_models.moved import current
from cvqa_models.moved_views import VIEWS
from cvqa_models.training.module import QualityModule
from cvqa_models.trust import check_model
from cvqa_models.video.view import View

BEFORE: list[dict[str, Any]] = json.loads(Path(__file__).with_name("views_before.json").read_text())
TIMM = "cvqa_models.branches.timm.Timm"


def seen(config: dict[str, Any]) -> View:
    """Return the view of the branch that a configuration builds, a system's only one."""
    kind = Branch if ".branches." in config["class_path"] else QualityModule
    check_model(config, kind)  # as one from outside
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(kind, "part")
    built = parser.instantiate(parser.parse_object({"part": config})).part
    if isinstance(built, QualityModule):
        (built,) = built.each_branch().values()
    view: View = built.view
    return view


@pytest.mark.parametrize("row", BEFORE, ids=lambda row: f"{row['class_path'].rpartition('.')[2]} {row['key']}")
def test_a_branch_of_before_sees_what_it_saw(row: dict[str, Any]) -> None:
    given = {"class_path": row["class_path"], "init_args": row["init_args"]}
    kept = copy.deepcopy(given)
    today = current(given)
    assert given == kept
    assert current(today) == today
    view = seen(today)
    assert (view.key, view.random) == (row["key"], row["random"])


def test_every_row_of_the_table_is_tried() -> None:
    assert {current({"class_path": row["class_path"]})["class_path"] for row in BEFORE} == set(VIEWS)


@pytest.mark.parametrize(
    "arguments",
    [
        {"geometry": "twist"},
        {"sampling": "evne"},
        {"sampling": ["even"]},
        {"name": "no_such_net", "geometry": "random_crop", "size": None},
        {"name": "resnet50.no_such_tag", "geometry": "random_crop"},
        {"size": 32, "view": {"frames": {}, "pixels": {}}},
        {"num_clips": 3, "view": None, "frozen": True},
    ],
)
def test_what_never_was_and_what_is_of_today_is_left_for_the_parser_to_judge(arguments: dict[str, Any]) -> None:
    config = {"class_path": TIMM, "init_args": {"name": "test_vit", **arguments}}
    assert current(config) == config


def test_values_that_are_no_plain_ones_are_passed_on_to_be_refused() -> None:
    odd = torch.zeros(2)
    found = current({"class_path": TIMM, "init_args": {"name": "test_vit", "num_frames": odd, "size": 32}})
    assert found["init_args"]["view"]["frames"]["init_args"]["num_clips"] is odd
    sizes = {"size": odd, "num_chunks": 1}
    hvs = {"class_path": "cvqa_models.branches.hvs5m.HvsMotion", "init_args": {**sizes, "size": "wide", "depth": 1}}
    assert current(hvs) == hvs
