"""YAML as plain values: what its reader raises is one sentence, in every command that reads a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models import plain_yaml
from cvqa_models.training.configured import Configured, read_yaml
from cvqa_models.training.resuming import typed

# What is no YAML, and the class of error that its reader raises over it.
REFUSED = {
    "tag of a bool": "a: !!bool x",  # KeyError
    "tag of a number": "a: !!int ''",  # IndexError
    "tag of a time": "a: !!timestamp x",  # AttributeError
    "date": "a: 2024-99-99",  # ValueError
    "object": "a: !!python/name:os.system",  # YAMLError
    "depth": "[" * 5000,  # RecursionError
    "name twice": "a: {b: 1, c: 2, b: 3}",  # of which a reader takes the last
    "no UTF-8": "a: \udcff",  # UnicodeDecodeError
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_yaml_is_one_sentence_everywhere(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    for read in (plain_yaml.load, read_yaml, lambda path: Configured([path], with_data=False)):
        with pytest.raises(ValueError, match=r"odd.yaml' is not YAML: .+\.$"):
            read(path)
    with pytest.raises(ValueError, match=r"odd.yaml' is not YAML: .+\.$"):
        typed(["fit", "--config", str(path)], "run")


def test_a_configuration_holds_words_and_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    for text in ("model: 2024-01-01", f"model: {'[' * 60}{']' * 60}"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"odd.yaml' is no configuration: "):
            read_yaml(path)
    path.write_text("\ufeffmodel: {a: 1}")  # as some editors save it
    assert read_yaml(path) == {"model": {"a": 1}}


def test_merged_tables_and_anchors_say_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\ne: [*a, *a]\n")
    whole = {"b": 1, "c": 2}
    assert plain_yaml.load(path) == {"a": whole, "d": {"b": 3, "c": 2}, "e": [whole, whole]}
    path.write_text("a: &a [*a]")
    plain_yaml.load(path)
