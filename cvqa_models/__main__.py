"""`cvqa COMMAND`: a table of typed functions; each is imported only when it is called, so that help is quick."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from cvqa_models import ending
from cvqa_models.mistakes import innermost

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo:demo", "build a small data set, train the flagship on it, evaluate and report"),
    "build mini": ("build:mini", "make the embedded data set with real encoders"),
    "build levels": ("build:levels", "make training data of the compression level"),
    "build select": ("build:select", "choose references by spatial and temporal complexity"),
    "build encode": ("build:encode", "encode references over a ladder of encoders, presets and rates"),
    "build proxies": ("build:proxies", "measure VMAF, PSNR, SSIM and MS-SSIM of encoded videos"),
    "votes questions": ("votes:questions", "write the pair list of a subjective test"),
    "votes simulate": ("votes:simulate", "draw simulated pairwise votes from known scores"),
    "votes screen": ("votes:screen", "drop voters who fail verification questions"),
    "votes scores": ("votes:scores", "turn votes into Bradley-Terry scores"),
    "import": ("import_table:import_table", "turn a public data set's label file into a manifest"),
    "check": ("check:check", "decode every video and list the broken ones"),
    "extract": ("extract:extract", "compute and cache the features of frozen branches"),
    "fit-mmf": ("fit_mmf:fit_mmf", "choose and fit MMF, the full-reference bag of regressors, on cached measures"),
    "score": ("score:score", "score any video files"),
    "crossval": ("crossval:crossval", "cross-validate heads on cached features, with inner selection"),
    "export": ("export:export", "write the weights of a checkpoint alone"),
    "evaluate": ("evaluate:evaluate", "the official group evaluation of predictions or metric tables"),
    "submit": ("submit:submit", "write a submission file from predictions"),
    "report": ("report:report", "a self-contained HTML report of a run"),
    "systems": ("systems:systems", "list the systems, their branches, sizes and weights"),
}

TRAINING = ("fit", "validate", "test", "predict")
"""What `train.py` runs, on Lightning's command line."""


def usage() -> str:
    """Return the list of commands."""
    lines = ["usage: cvqa COMMAND [--help]", "", "No-reference quality models of compressed video.", "", "commands:"]
    lines += [f"  {name:16} {sentence}" for name, (_, sentence) in COMMANDS.items()]
    return "\n".join([*lines, "", "training: cvqa fit|validate|test|predict --config ...", ""])


def find_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the command at the start of `words` and the words after it.

    Raises:
        ValueError: If there is no such command.
    """
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    known = sorted({*TRAINING, *(name.split()[0] for name in COMMANDS)})
    family = [name for name in COMMANDS if name.split()[0] == words[0]]
    if family:
        raise ValueError(f"`cvqa {words[0]}` needs one of: {', '.join(name.split()[1] for name in family)}.")
    raise ValueError(f"There is no command `{words[0]}`; expected one of {', '.join(known)}.")


def load_command(name: str) -> Callable[..., Any]:
    """Return the function behind a command, importing its module."""
    module, function = COMMANDS[name][0].split(":")
    command: Callable[..., Any] = getattr(importlib.import_module(f"cvqa_models.commands.{module}"), function)
    return command


def call(name: str, function: Callable[..., Any], words: list[str]) -> Any:
    """Parse `words` by the signature of `function` and call it.

    Positional-only parameters are positional on the command line, all others are options; a list takes one or more
    words, a truth that is false by default takes none, and any other is followed by true or false. Help comes from the
    docstring.

    Raises:
        ValueError: If an option is unknown, missing, or of the wrong type.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function)
    lists = {key: item for key in parameters if (item := _list_item(hints[key])) is not None}
    positional = [key for key, p in parameters.items() if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    parser = ArgumentParser(prog=f"cvqa {name}", description=inspect.getdoc(function), exit_on_error=False)
    for key in positional:
        if key in lists:
            parser.add_argument(key, nargs="+", type=lists[key])
        else:
            parser.add_argument(key, type=hints[key])
    for key in lists:
        if key not in positional:
            required = parameters[key].default is inspect.Parameter.empty
            default = None if required else parameters[key].default
            parser.add_argument(f"--{key}", nargs="+", type=lists[key], required=required, default=default)
    flags = [key for key in parameters if hints[key] is bool and parameters[key].default is False]
    for key in flags:
        parser.add_argument(f"--{key}", action="store_true")
    parser.add_function_arguments(function, as_positional=False, skip={*positional, *lists, *flags})
    try:
        values = parser.instantiate(parser.parse_args(_underscored(words))).as_dict()
    except ArgumentError as error:
        dashed = [word for word in words if re.match("-[^-]", word)]
        hint = f", and a name that begins with a dash is written ./{dashed[0]}" if dashed else ""
        raise ValueError(f"{innermost(str(error))}; `cvqa {name} --help` lists the options{hint}.") from error
    words_given = [values.pop(key) for key in positional]
    return function(*words_given, **values)


def _underscored(words: list[str]) -> list[str]:
    """Return options in the spelling of Python, as `--from-table` is `--from_table`; after `--` there are none."""
    end = words.index("--") if "--" in words else len(words)
    spelt = [re.sub("^--([^=]*)", lambda option: "--" + option[1].replace("-", "_"), word) for word in words[:end]]
    return spelt + words[end:]


def _list_item(hint: Any) -> Any:
    """Return the item type of `list[X]` or `list[X] | None`, else None."""
    for candidate in (hint, *get_args(hint)):
        if getattr(candidate, "__origin__", None) is list:
            return get_args(candidate)[0]
    return None


def main() -> None:
    """Run a command and leave with its exit code; see `ending.run`."""
    ending.run("cvqa", lambda: _run(sys.argv[1:]))


def _run(words: list[str]) -> object:
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    from cvqa_models.terminal import log_to_stderr

    log_to_stderr()
    odd = [word for word in words if any("\udc80" <= letter <= "\udcff" for letter in word)]
    if odd:
        raise ValueError(f"{odd[0]!r} holds bytes that are no text in UTF-8; rename the file.")
    if words[0] in TRAINING:
        from cvqa_models.cli import train

        train("cvqa", words)
        return 0
    name, rest = find_command(words)
    return call(name, load_command(name), rest)


if __name__ == "__main__":
    main()
