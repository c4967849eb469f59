"""The page on views names every rule of the package, and its example builds the view that it speaks of."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import yaml
from jsonargparse import ArgumentParser

from cvqa_models import video
from cvqa_models.video.frame_rules import FrameRule
from cvqa_models.video.pixel_rules import PixelRule
from cvqa_models.video.view import View

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "views.md").read_text(encoding="utf-8")


def test_every_rule_is_in_the_table_of_its_kind() -> None:
    modules = [import_module(found.name) for found in walk_packages(video.__path__, "cvqa_models.video.")]
    rules = {thing for module in modules for thing in vars(module).values() if inspect.isclass(thing)}
    for kind, title in ((FrameRule, "## Rules for frames"), (PixelRule, "## Rules for pixels")):
        section = PAGE.split(title)[1].split("\n## ")[0]
        named = {f"cvqa_models.video.{name}" for name in re.findall(r"^\| `(\w+\.\w+)` \|", section, re.M)}
        found = {rule for rule in rules if issubclass(rule, kind) and not inspect.isabstract(rule)}
        assert named == {f"{rule.__module__}.{rule.__name__}" for rule in found}


def test_the_example_is_the_first_seconds_at_twice_the_size() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
    branch = yaml.safe_load(block)["model"]["init_args"]["branches"]["motion"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(View, "view")
    found = parser.instantiate(parser.parse_object({"view": branch["init_args"]["view"]})).view
    assert found.key == "chunk16x32-official-resize448x448"
