"""Commands in processes of their own, forked from one that has imported everything, so that a run takes no start."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

from cvqa_models import __main__, ending


def start(words: list[str], log: Path) -> int:
    """Start `cvqa WORDS` and return the process id; what it prints goes to `log`."""
    _import_commands()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        ending.run("cvqa", lambda: __main__._run(words))
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@functools.cache
def _import_commands() -> None:
    for command in __main__.COMMANDS:
        __main__.load_command(command)


def wait(child: int) -> int:
    """Return the exit code of a process; the negative number of a signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(words: list[str], log: Path) -> float:
    """Run `cvqa WORDS` to its end and return the seconds that it took; another exit code than 0 is an error."""
    begin = time.monotonic()
    code = wait(start(words, log))
    assert code == 0, f"{words} ended with {code}: {log.read_text()[-2000:]}"
    return time.monotonic() - begin


def kill_after(seconds: float, words: list[str], log: Path) -> bool:
    """Run `cvqa WORDS`, kill it after a time, and return whether it was still running."""
    child = start(words, log)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return wait(child) == -signal.SIGKILL
