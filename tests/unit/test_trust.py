"""A configuration from outside builds classes of trusted packages from plain values of their types, or nothing."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest

import cvqa_models
from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss, Loss
from cvqa_models.training.module import QualityModule
from cvqa_models.trust import check_extent, check_model
from cvqa_models.video.frame_rules import FrameRule
from cvqa_models.video.pixel_rules import PixelRule

BRANCH = "cvqa_models.branches.timm.Timm"

RULES = "cvqa_models.video"


def resize(**more: object) -> dict[str, Any]:
    """Return the configuration of a pixel rule."""
    return {"class_path": f"{RULES}.pixel_rules.Resize", "init_args": {"height": 32, "width": 32, **more}}


VIEW: dict[str, Any] = {
    "frames": {"class_path": f"{RULES}.frame_rules.KeyFrames", "init_args": {"num_clips": 2}},
    "pixels": resize(),
}


def model(**branch: object) -> dict[str, Any]:
    """Return the configuration of a model with one branch."""
    return {
        "class_path": "cvqa_models.models.multibranch.MultiBranch",
        "init_args": {
            "branches": {"a": {"class_path": BRANCH, "init_args": {"name": "test_vit", **branch}}},
            "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss", "init_args": {"terms": {"plcc": 1}}},
        },
    }


def test_a_model_of_this_package_passes() -> None:
    check_model(model(), QualityModule)
    check_model(model(args={"depth": 1, "drop_rate": 0.5, "flag": True, "sizes": [1, 2]}, view=None), QualityModule)
    check_model(model(view=VIEW), QualityModule)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("os.system", "`model` is 'os.system'; expected QualityModule"),
        ({"class_path": "os.system"}, "`model` names 'os.system', which is not of this package and was not imported"),
        ({"class_path": "cvqa_models..os.system"}, "`model` names 'cvqa_models..os.system', which is not of this"),
        ({"class_path": "cvqa_models_evil.a.B"}, "`model` names 'cvqa_models_evil.a.B', which is not of this package"),
        ({"class_path": "cvqa_models"}, "`model` names 'cvqa_models', which is not of this package"),
        ({"class_path": ["os"]}, "`model` names a value of type list, which is not of this package"),
        ({"class_path": "cvqa_models.models.gone.Model"}, "names .*, which does not exist here"),
        (
            {"class_path": "cvqa_models.weights.files.os"},
            "`model` names 'cvqa_models.weights.files.os', which is no QualityM",
        ),
        ({"class_path": "cvqa_models.weights.files.urllib.Request"}, "names .*, which does not exist here"),
        ({"class_path": "cvqa_models.training.module.pl.LightningModule"}, "does not exist here"),
        ({"class_path": "cvqa_models.training.module.QualityModule"}, "which is no QualityModule"),  # abstract
        ({"class_path": BRANCH}, "`model` names '.*Timm', which is no QualityModule"),
        ({**model(), "dict_kwargs": {}}, "`model` holds 'dict_kwargs' beside `class_path` and `init_args`"),
        ({**model(), "__path__": "x"}, "`model` holds '__path__' beside"),
        ({"init_args": {}}, "`model` is a value of type dict; expected QualityModule"),
        (model(nonsense=1), r"`model\.branches\.a` has no argument 'nonsense'; expected one of name, weights"),
        (model(num_clips="8"), r"`model\.branches\.a\.num_clips` is '8'; expected int \| None"),
        (model(num_clips=10**30), r"`model\.branches\.a\.num_clips` is a value of type int; expected int"),
        (model(num_clips=True), r"`model\.branches\.a\.num_clips` is True; expected int"),
        (
            model(view={**VIEW, "pixels": resize(kernel="twist")}),
            r"view\.pixels\.kernel` is 'twist'; expected typing",
        ),
        (model(view={**VIEW, "pixels": resize(key="a")}), r"`model\.branches\.a\.view\.pixels` has no argument 'key'"),
        (model(view={**VIEW, "frames": resize()}), r"view\.frames` names '.*Resize', which is no FrameRule"),
        (
            model(view={**VIEW, "frames": {"class_path": "os.system"}}),
            r"frames` names 'os\.system', which is not of this",
        ),
        (
            model(view={**VIEW, "frames": {"num_clips": 1}}),
            r"view\.frames` is a value of type dict; expected FrameRule",
        ),
        (model(view="native"), r"view` is 'native'; expected .*View"),
        (model(args={"act_layer": "x"}), r"args` is a value of type dict; expected dict"),
        (model(args={"a": {"class_path": "os.system"}}), r"args` is a value of type dict; expected dict"),
        (model(args={1: 1}), r"args` is a value of type dict; expected dict"),
        (model(weights={"class_path": "os.system"}), r"weights` is a value of type dict; expected str"),
        (model(weights="/etc/passwd"), r"weights` is '/etc/passwd'; a file from outside may name files of the folder"),
        (model(weights="[&a [x], *a]"), r"weights` holds anchors of YAML; expected plain text"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(config: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_model(config, QualityModule)


def test_a_name_that_is_not_trusted_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger.py").write_text(
        "from typing import Any\nfrom cvqa_models.models.ms_ssim import MsSsim\nclass Own(MsSsim):\n"
        "    def __init__(self, size: int, more: Any = None, **rest: int) -> None: ...\n"
        "class Puzzling(MsSsim):\n    def __init__(self, a: 'Gone') -> None: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = {"class_path": "stranger.Own", "init_args": {"size": 1}}
    with pytest.raises(ValueError, match="name its package with `--trust` if you trust its code"):
        check_model(own, QualityModule)
    assert "stranger" not in sys.modules
    check_model(own, QualityModule, ["stranger"])
    own["init_args"] = {"size": 1, "more": 1}
    with pytest.raises(ValueError, match=r"`model\.more` is of open type \(Any\), which a file from outside may not"):
        check_model(own, QualityModule, ["stranger"])
    own["init_args"] = {"size": 1, "other": 1}
    with pytest.raises(ValueError, match="`model` has no argument 'other'; expected one of size, more"):
        check_model(own, QualityModule, ["stranger"])
    with pytest.raises(ValueError, match="the types of Puzzling are not known outside of its module"):
        check_model({"class_path": "stranger.Puzzling", "init_args": {"a": 1}}, QualityModule, ["stranger"])


def concrete(kind: type) -> Iterator[type]:
    """Yield every class of the package that a configuration can name for `kind`."""
    for found in kind.__subclasses__():
        yield from concrete(found)
    if not inspect.isabstract(kind) and kind.__module__.startswith("cvqa_models."):
        yield kind


def is_closed(hint: Any) -> bool:
    """Return whether a type names all that it takes."""
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType, list, tuple, dict, Sequence, Mapping):
        return bool(items) and all(item is ... or is_closed(item) for item in items)
    if typing.is_typeddict(hint) or is_dataclass(hint):
        return all(is_closed(item) for item in typing.get_type_hints(hint).values())
    if origin is typing.Literal or hint in (type(None), bool, int, float, str):
        return True
    return hint in (Branch, Loss, FrameRule, PixelRule)


def test_no_argument_of_the_package_is_of_open_type() -> None:
    for module in walk_packages(cvqa_models.__path__, "cvqa_models."):
        if module.name.split(".")[1] in ("branches", "models", "losses", "video"):
            import_module(module.name)
    found = [one for kind in (QualityModule, Branch, GroupLoss, FrameRule, PixelRule) for one in concrete(kind)]
    assert len(found) > 55
    for one in found:
        hints = typing.get_type_hints(one if is_dataclass(one) else one.__init__)  # type: ignore[misc]
        for parameter in inspect.signature(one).parameters.values():
            assert parameter.kind is not parameter.VAR_KEYWORD, one
            assert is_closed(hints[parameter.name]), (one, parameter.name)


def test_values_that_unfold_to_more_than_memory_are_refused() -> None:
    wide: list[Any] = [1]
    for _ in range(40):
        wide = [wide, wide]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (wide, deep):
        with pytest.raises(ValueError, match="nested more deeply, or is larger"):
            check_extent(value)
