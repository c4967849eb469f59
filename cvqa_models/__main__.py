"""`cvqa COMMAND`: a table of typed functions; each is imported only when it is called, so that help is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from cvqa_models import ending
from cvqa_models.arguments import call
from cvqa_models.shipped import with_configs

COMMANDS: dict[str, tuple[str, str]] = {
    "config": ("config:config", "print a configuration that comes with the project, or list them"),
    "demo": ("demo:demo", "build a small data set, train the flagship on it, evaluate and report"),
    "build mini": ("build_synthetic:mini", "make the embedded data set with real encoders"),
    "build levels": ("build_synthetic:levels", "make training data of the compression level"),
    "build select": ("build:select", "choose references by spatial and temporal complexity"),
    "build encode": ("build:encode", "encode references over a ladder of encoders, presets and rates"),
    "build proxies": ("build:proxies", "measure VMAF, PSNR, SSIM and MS-SSIM of encoded videos"),
    "votes questions": ("vote_questions:questions", "write the pair list of a subjective test"),
    "votes simulate": ("vote_questions:simulate", "draw simulated pairwise votes from known scores"),
    "votes screen": ("votes:screen", "drop voters who fail verification questions"),
    "votes scores": ("votes:scores", "turn votes into Bradley-Terry scores"),
    "import": ("import_table:import_table", "turn a public data set's label file into a manifest"),
    "check": ("check:check", "decode every video and list the broken ones"),
    "extract": ("extract:extract", "compute and cache the features of frozen branches"),
    "pack": ("pack:pack", "put the features of many videos into few files, which training reads by rows"),
    "fit-mmf": ("fit_mmf:fit_mmf", "choose and fit MMF, the full-reference bag of regressors, on cached measures"),
    "score": ("score:score", "score any video files, a few or a library"),
    "serve": ("serve:serve", "a page to drop videos on, and the same over HTTP"),
    "merge": ("merge:merge", "join the parts of a bulk run and count what is missing"),
    "crossval": ("crossval:crossval", "cross-validate heads on cached features, with inner selection"),
    "sweep": ("sweep:sweep", "train variants of a configuration from several seeds, and compare what they reach"),
    "export": ("export:export", "write the weights of a checkpoint, or a model for another runtime, with proof"),
    "calibrate": ("calibrate:calibrate", "put a trained model on a panel's scale, with intervals"),
    "average": ("average:average", "write a checkpoint of the mean weights of several"),
    "push": ("push:push", "put a trained model into a repository of a model hub"),
    "compare": ("compare:compare", "which encoder is better, where, and by how much: a page of delta rates"),
    "evaluate": ("evaluate:evaluate", "the official group evaluation of predictions or metric tables"),
    "leaderboard": ("leaderboard:leaderboard", "write a page of published and measured figures"),
    "submit": ("submit:submit", "write a submission file from predictions"),
    "report": ("report:report", "a self-contained HTML report of a run"),
    "fetch": ("fetch:fetch", "fetch all weights that configurations need"),
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


def main() -> None:
    """Run a command and leave with its exit code; see `ending.run`."""
    ending.run("cvqa", lambda: _run(sys.argv[1:]))


def _run(words: list[str]) -> object:
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    from cvqa_models.messages import log_to_stderr

    log_to_stderr()
    odd = [word for word in words if any("\udc80" <= letter <= "\udcff" for letter in word)]
    if odd:
        raise ValueError(f"{odd[0]!r} holds bytes that are no text in UTF-8; rename the file.")
    if words[0] in TRAINING:
        words = with_configs(words)  # a missing file is reported before anything slow is imported
        from cvqa_models.training.cli import train

        train("cvqa", words)
        return 0
    name, rest = find_command(words)
    return call(name, load_command(name), rest)


if __name__ == "__main__":
    main()
