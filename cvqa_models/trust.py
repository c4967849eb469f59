"""Check what a file from outside may build: only classes of trusted packages, only from plain values of the right type.

A checkpoint names the classes of its model and their arguments. That is data from a stranger: it may choose among our
classes, but must not import, call, open or download anything else. So every value is compared with the type of its
argument before anything is built, and every name is checked before it is imported.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from jsonargparse import _common as jsonargparse_settings
from jsonargparse import set_parsing_settings

from cvqa_models.places import reaches_out

PACKAGE = "cvqa_models"


class _MismatchError(ValueError):
    """The value is of another type; of a union, the next type is then tried."""


def check_model(config: object, kind: type, trusted: Sequence[str] = ()) -> None:
    """Refuse a configuration unless it holds only classes of trusted packages and arguments of the right types.

    Args:
        config: `class_path` and `init_args`, as a file from outside holds them.
        kind: Class that it must be of.
        trusted: Further packages whose classes may be built.

    Raises:
        ValueError: If it holds anything else; the message names it. No module outside these packages was imported.
    """
    _Checker((PACKAGE, *trusted)).fits(config, kind, "model")


@contextmanager
def imports_only_from(trusted: Sequence[str] = ()) -> Iterator[None]:
    """Let a parser of configurations import only this package and those that the user trusts.

    A value of open type stays a plain value, even if it names classes.
    """
    # The parser's settings hold for the whole process, and there is no public way to restore them.
    before = dict(jsonargparse_settings.parsing_settings)
    set_parsing_settings(
        import_path_denylist=["*"], import_path_allowlist=[PACKAGE, *trusted], instantiate_subclass_spec_in_any=False
    )
    try:
        yield
    finally:
        jsonargparse_settings.parsing_settings.update(before)


def check_extent(value: object) -> None:
    """Refuse plain values that are more in number, or nested more deeply, than any real configuration.

    A few bytes can unfold to very many values: a list that holds another list twice, which again holds one twice.

    Raises:
        ValueError: If they are nested more than 50 deep, or are more than 100,000.
    """
    left, seen = [(value, 0)], 0
    while left:
        item, depth = left.pop()
        seen += 1
        if depth > 50 or seen > 100_000:
            raise ValueError("its configuration is nested more deeply, or is larger, than that of any model")
        if isinstance(item, Mapping):
            left += [(part, depth + 1) for part in item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            left += [(part, depth + 1) for part in item]


class _Checker:
    """Compare plain values with the types of a signature, to any depth; any kind of type not listed here is refused."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def fits(self, value: Any, hint: Any, where: str) -> None:
        """Raise a ValueError unless `value` is plain and of the type `hint`; `where` names the argument."""
        origin, items = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            self._one_of(value, items, hint, where)
        elif origin is Literal:
            _expect(any(type(value) is type(item) and value == item for item in items), value, hint, where)
        elif hint is None or hint in (type(None), bool, int, float, str):
            self._scalar(value, hint, where)
        elif is_typeddict(hint):
            _expect(isinstance(value, dict), value, hint, where)
            self._arguments(value, get_type_hints(hint), where)
        elif origin in (dict, Mapping):
            _expect(isinstance(value, dict) and all(type(key) is str for key in value), value, hint, where)
            for key, item in value.items():
                self.fits(item, items[1], f"{where}.{key}")
        elif origin in (list, Sequence, tuple):
            self._sequence(value, hint, where)
        elif inspect.isclass(hint) and hint.__module__ not in ("builtins", "typing"):
            self._object(value, hint, where)
        else:
            raise ValueError(f"`{where}` is of open type ({_named(hint)}), which a file from outside may not fill")

    def _one_of(self, value: Any, members: Sequence[Any], hint: Any, where: str) -> None:
        records = [member for member in members if dataclasses.is_dataclass(member)]
        if len(records) == 1 and isinstance(value, dict):
            self.fits(value, records[0], where)  # says which part of it does not fit
        else:
            _expect(any(self._is(value, member, where) for member in members), value, hint, where)

    def _is(self, value: Any, hint: Any, where: str) -> bool:
        try:
            self.fits(value, hint, where)
        except _MismatchError:
            return False
        return True

    def _scalar(self, value: Any, hint: Any, where: str) -> None:
        expected = {float: (float, int), None: (type(None),)}.get(hint, (hint,))
        _expect(type(value) in expected and (type(value) is not int or abs(value) < 1 << 63), value, hint, where)
        # A parser may read text as YAML; an anchor in it that refers to itself would fill the memory.
        if type(value) is str and re.search(r"&\w", value) and re.search(r"\*\w", value):
            raise ValueError(f"`{where}` holds anchors of YAML; expected plain text")
        if type(value) is str and reaches_out(value):
            raise ValueError(
                f"`{where}` is {value[:80]!r}; a file from outside may name files of the folder of weights and of the "
                "current one, but not where else they lie"
            )

    def _sequence(self, value: Any, hint: Any, where: str) -> None:
        _expect(isinstance(value, list | tuple), value, hint, where)
        items = get_args(hint)
        if get_origin(hint) is tuple and items[-1] is not ...:
            _expect(len(value) == len(items), value, hint, where)
        else:
            items = items[:1] * len(value)
        for item, item_hint in zip(value, items, strict=True):
            self.fits(item, item_hint, where)

    def _object(self, value: Any, kind: type, where: str) -> None:
        _expect(isinstance(value, dict), value, kind, where)
        if "class_path" not in value:
            _expect(dataclasses.is_dataclass(kind), value, kind, where)
            self._arguments(value, get_type_hints(kind), where)
            return
        unknown = [key for key in value if key not in ("class_path", "init_args")]
        if unknown:
            raise ValueError(f"`{where}` holds {_shown(unknown[0])} beside `class_path` and `init_args`")
        found = self._class(value["class_path"], kind, where)
        arguments = value.get("init_args", {})
        _expect(isinstance(arguments, dict), arguments, dict, where)
        self._arguments(arguments, _signature(found), where)

    def _arguments(self, values: dict[Any, Any], hints: Mapping[str, Any], where: str) -> None:
        for key, item in values.items():
            if key not in hints:
                raise ValueError(f"`{where}` has no argument {_shown(key)}; expected one of {', '.join(hints)}")
            self.fits(item, hints[key], f"{where}.{key}")

    def _class(self, name: Any, kind: type, where: str) -> type:
        parts = name.split(".") if type(name) is str else []
        if len(parts) < 2 or not self._trusted(name) or not all(part.isidentifier() for part in parts):
            raise ValueError(
                f"`{where}` names {_shown(name)}, which is not of this package and was not imported; name its package "
                "with `--trust` if you trust its code"
            )
        try:
            found = getattr(importlib.import_module(".".join(parts[:-1])), parts[-1])
        except (ImportError, AttributeError) as error:
            raise ValueError(f"`{where}` names {name!r}, which does not exist here ({error})") from error
        own = inspect.isclass(found) and self._trusted(found.__module__ + ".")
        if not own or not issubclass(found, kind) or inspect.isabstract(found):
            raise ValueError(f"`{where}` names {name!r}, which is no {kind.__name__}")
        return found  # type: ignore[no-any-return]

    def _trusted(self, name: str) -> bool:
        return any(name.startswith(f"{package}.") for package in self.packages)


def _signature(found: type) -> dict[str, Any]:
    """Return name -> type of the named arguments of a class."""
    try:
        hints = get_type_hints(found if dataclasses.is_dataclass(found) else found.__init__)  # type: ignore[misc]
    except NameError as error:
        raise ValueError(f"the types of {found.__name__} are not known outside of its module ({error})") from error
    parameters = inspect.signature(found).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {name: hints.get(name, Any) for name in named}


def _expect(fits: bool, value: Any, hint: Any, where: str) -> None:
    if not fits:
        raise _MismatchError(_message(value, hint, where))


def _message(value: Any, hint: Any, where: str) -> str:
    return f"`{where}` is {_shown(value)}; expected {_named(hint)}"


def _shown(value: Any) -> str:
    if type(value) is str:
        return repr(value[:80])
    short = value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < 1 << 63)
    return repr(value) if short else f"a value of type {type(value).__name__}"


def _named(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) and get_origin(hint) is None else str(hint)
