"""`import cvqa_models` costs nothing and offers what its pages promise."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cvqa_models

PACKAGE = Path(cvqa_models.__file__).parent
PUBLIC = [name for name in cvqa_models.__all__ if name != "__version__"]


def test_importing_brings_nothing_heavy() -> None:
    program = "import sys; before = set(sys.modules); import cvqa_models; print(*sorted(set(sys.modules) - before))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout.split()
    assert [name for name in found if name.partition(".")[0] == "cvqa_models"] == ["cvqa_models"]
    assert not {name.partition(".")[0] for name in found} - {"cvqa_models", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there_documented_and_typed(name: str) -> None:
    thing = getattr(cvqa_models, name)
    assert thing.__name__ == name
    assert len(inspect.getdoc(thing) or "") > 40
    called = thing.__init__ if inspect.isclass(thing) else thing
    parameters = [p for p in inspect.signature(called).parameters.values() if p.name != "self"]
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters)
    assert name in dir(cvqa_models)


def test_every_name_is_listed_in_all_three_places() -> None:
    text = (PACKAGE / "__init__.py").read_text()
    typed = text[text.index("if TYPE_CHECKING") : text.index("__version__ =")]
    assert set(PUBLIC) == set(cvqa_models._PLACES)
    assert all(name in typed for name in PUBLIC)
    assert (PACKAGE / "py.typed").is_file()


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'cvqa_models' has no attribute 'scorer'"):
        cvqa_models.scorer  # noqa: B018
