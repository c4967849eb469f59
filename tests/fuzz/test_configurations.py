"""Whatever plain values a checkpoint holds as its configuration, they are taken or refused, and nothing is run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from cvqa_models.training.checkpoint import model_config
from tests.fuzz.test_readers import examine
from tests.hostile.corpus import GOOD, configurations, lay_out

NAMES = ["evil_marker.Evil", "os.system", "cvqa_models.weights.files.fetch", "cvqa_models.branches.timm.Timm", "a", ""]
KEYS = [
    "class_path",
    "init_args",
    "dict_kwargs",
    "__path__",
    "a",
    "args",
    "weights",
    "name",
    "branches",
    "loss",
    "drop",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES)
VALUES = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.integers(), part, max_size=3),
    max_leaves=8,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside a configuration."""
    inside = value.items() if isinstance(value, dict) else []
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    inside = value if isinstance(value, dict) else {}
    return {**inside, path[0]: changed(inside.get(path[0]), path[1:], new)}


CHANGES = st.tuples(st.sampled_from(places(GOOD)[1:]), st.none() | st.sampled_from(KEYS), VALUES)


def test_a_configuration_is_taken_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "here" / "work"
    work.mkdir(parents=True)
    lay_out(work)
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(work)

    def prove(change: tuple[tuple[Any, ...], str | None, Any]) -> None:
        path, key, new = change
        hparams = changed(GOOD, (*path, key) if key else path, new)
        try:
            config = model_config({"hyper_parameters": hparams}, "x.ckpt")
        except ValueError as error:
            told = str(error)
        else:
            told = "'x.ckpt' holds a model that cannot be built here: "
            assert config.get("class_path", "cvqa_models.").startswith("cvqa_models.")
        assert told.startswith("'x.ckpt' holds a model that cannot be built here: ")
        assert not (work / "ran").exists()

    for hostile in configurations(work).values():
        if all(isinstance(name, str) for name in hostile):
            prove(((), None, hostile))
    examine(CHANGES, prove, 200)
    assert "evil_marker" not in sys.modules
