"""A typed function as a command line: words become its arguments, and its docstring is the help."""

from __future__ import annotations

import argparse
import inspect
import re
import shutil
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from cvqa_models.messages import innermost

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

WIDEST = 100

# Type of an option -> what is expected, in words.
_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def call(name: str, function: Callable[..., Any], words: list[str]) -> Any:
    """Parse `words` by the signature of `function` and call it.

    Positional-only parameters are positional on the command line, all others are options. A list takes one or more
    words, and its option may be repeated; a bool that is False by default takes no word; any other bool takes `true`
    or `false`.

    Raises:
        ValueError: If an option is unknown, missing, or of the wrong type.
    """
    from jsonargparse import ArgumentError

    try:
        values = parser_of(name, function).parse_args(_underscored(words)).as_dict()
    except ArgumentError as error:
        dashed = [word for word in words if re.match("-[^-]", word)]
        hint = f", and a name that begins with a dash is written ./{dashed[0]}" if dashed else ""
        raise ValueError(f"{_in_words(str(error))}; `cvqa {name} --help` lists the options{hint}.") from error
    given = [values.pop(key) for key in _positional(function)]
    return function(*given, **{key: value for key, value in values.items() if value is not None})


def parser_of(name: str, function: Callable[..., Any]) -> ArgumentParser:
    """Return the parser of a command, whose help is the docstring of its function.

    Args:
        name: Of the command, after `cvqa`.
        function: Its typed function, with a docstring in Google style.
    """
    import docstring_parser
    from jsonargparse import ArgumentParser

    doc = docstring_parser.parse(function.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
    examples = "\n".join(example.description or "" for example in doc.examples)
    parser = ArgumentParser(
        prog=f"cvqa {name}",
        description=_filled(f"{doc.short_description}\n\n{doc.long_description or ''}"),
        epilog=f"examples:\n{textwrap.indent(examples, '  ')}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    told = {one.arg_name: one.description or "" for one in doc.params}
    hints, positional = get_type_hints(function), _positional(function)
    for key, parameter in inspect.signature(function).parameters.items():
        needed = parameter.default is inspect.Parameter.empty
        settings = _settings(hints[key], parameter.default, needed=needed, alone=key in positional)
        text = " ".join(told.get(key, "").split()).replace("%", "%%")
        parser.add_argument(key if key in positional else f"--{key}", help=text + _beside(parameter), **settings)
    return parser


def _in_words(message: str) -> str:
    """Return what a parser says of an option's value without the names of Python's types."""
    found = re.match(r"argument --(?P<key>\w+): invalid (?P<kind>\w+) value: '(?P<value>.*)'$", message) or re.match(
        r"Parser key \"(?P<key>\w+)\":.*?Expected a (<class '(?P<kind>\w+)'>|typing\.Literal\[(?P<choices>.*?)\])"
        r".*?G(ot|iven) value: (?P<value>.*)",
        message,
        re.DOTALL,
    )
    if found is None:
        return innermost(message)
    told = found.groupdict()
    choices = (told.get("choices") or "").replace("'", "")
    if choices:
        expected = f"one of {choices}"
    elif told["kind"] in _WORDS:
        expected = _WORDS[told["kind"]]
    else:
        return innermost(message)
    return f"`--{told['key'].replace('_', '-')}` is {told['value']!r}; expected {expected}"


def _positional(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters
    return [key for key, one in parameters.items() if one.kind is inspect.Parameter.POSITIONAL_ONLY]


def _settings(hint: Any, default: Any, *, needed: bool, alone: bool) -> dict[str, Any]:
    """Return how `add_argument` takes a parameter."""
    item = _list_item(hint)
    if item is not None and alone:
        return {"nargs": "+" if needed else "*", "type": item}
    if item is not None:  # given words would be added to a default of the parser, not replace it
        return {"nargs": "+", "action": "extend", "type": item, "required": needed}
    given = {"required": True} if needed else {"default": default}
    if alone:
        return {"type": hint}
    if hint is bool and default is False:
        return {"action": "store_true"}
    choices = _choices(hint)
    return {"type": hint, **given, **({"metavar": f"{{{','.join(choices)}}}"} if choices else {})}


def _beside(parameter: inspect.Parameter) -> str:
    """Return the default, to put after the description; nothing if the description says what is done without."""
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        return ""
    if parameter.default is inspect.Parameter.empty:
        return " (required)"
    if parameter.default is None or parameter.default is False or parameter.default == "":
        return ""
    listed = isinstance(parameter.default, list)
    shown = " ".join(map(str, parameter.default)) if listed else str(parameter.default)
    return f" (default: {shown.lower() if parameter.default is True else shown})"


def _choices(hint: Any) -> list[str]:
    """Return the words that a parameter takes, if they are a closed set."""
    if hint is bool:
        return ["true", "false"]
    return [str(word) for one in (hint, *get_args(hint)) if get_origin(one) is Literal for word in get_args(one)]


def _list_item(hint: Any) -> Any:
    """Return the item type of `list[X]` or `list[X] | None`, else None."""
    for candidate in (hint, *get_args(hint)):
        if get_origin(candidate) is list:
            return get_args(candidate)[0]
    return None


def _underscored(words: list[str]) -> list[str]:
    """Return options in Python's spelling: `--from-table` becomes `--from_table`; words after `--` are no options."""
    end = words.index("--") if "--" in words else len(words)
    spelt = [re.sub("^--([^=]*)", lambda option: "--" + option[1].replace("-", "_"), word) for word in words[:end]]
    return spelt + words[end:]


def _filled(text: str) -> str:
    """Return paragraphs as wide as the terminal, within reason."""
    width = min(shutil.get_terminal_size().columns - 2, WIDEST)
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(
        textwrap.fill(" ".join(paragraph.split()), width, break_on_hyphens=False) for paragraph in paragraphs
    )
