"""How a program ends: with its own exit code, with one sentence for a user's mistake, or with one line for a signal."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from cvqa_models.mistakes import is_told, sentence

MISTAKE = 2  # exit code, also where the good part of what was given is done and the bad part is named
STARTER = "CVQA_STARTER"  # environment variable: number of the process that started the ranks of a run
LOOK = 2.0  # seconds between two looks whether it is still there
AT_ONCE = 1.0  # seconds; `timeout` and some launchers send a signal twice, which means it once

# Signals that ask a program to end -> what the user is told of them.
STOPS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stopped(BaseException):
    """A signal asked the program to end.

    It is no `KeyboardInterrupt`, which Lightning turns into an exit code of its own, and no `Exception`, so nothing
    that handles errors takes it for one. What is open is closed on its way up.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(program: str, command: Callable[[], object]) -> NoReturn:
    """Run `command` and leave the process with its exit code.

    The code is what the command returned if that is a number, else 0; 2 after a user's mistake, 128 and the number of
    the signal after a signal (130 for Ctrl-C, 143 for SIGTERM), and 141 without a word if nobody reads the output any
    more, as in `cvqa score ... | head`. A command that wants to keep something when it is stopped does so in `finally`.

    Args:
        program: Name in front of what is said.
        command: What to do.
    """
    _open_standard_streams()
    _catch_signals()
    sys.exit(_exit_code(program, command))


def leave_with_starter(program: str) -> None:
    """End this process when it is a rank of a run and the process that started the ranks is gone.

    It would wait for the others: up to half an hour while the run is set up, and on GPUs also in the middle of it. The
    opposite case, a rank that is gone, is seen by the process that started it.

    Args:
        program: Name in front of what is said.
    """
    starter = int(os.environ.get(STARTER, os.getpid()))
    # Ranks that `torchrun` starts have a watcher in it.
    if "LOCAL_RANK" not in os.environ or "TORCHELASTIC_RUN_ID" in os.environ or starter == os.getpid():
        os.environ[STARTER] = str(os.getpid())  # for the ranks that this process starts
        return

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(LOOK)
        _say(f"{program}: the process that started this rank is gone; start the run again from its last checkpoint.")
        os._exit(MISTAKE)  # the main thread may wait in a call that no exception reaches

    threading.Thread(target=watch, daemon=True).start()


def _exit_code(program: str, command: Callable[[], object]) -> int:
    try:
        code = command()
        sys.stdout.flush()
    except Stopped as stop:
        return _stopped(program, stop.number)
    except KeyboardInterrupt:  # raised by a library, or before the signal was caught
        return _stopped(program, signal.SIGINT)
    except Exception as error:  # all kinds that `is_told` knows; any other is a fault of ours and keeps its traceback
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            _drop_output()
            return 128 + signal.SIGPIPE
        if not is_told(error):
            raise
        _say(f"{program}: {sentence(error)}")
        return _with_output(MISTAKE)
    return code if isinstance(code, int) else 0


def _stopped(program: str, number: int) -> int:
    _say(f"{program}: stopped by {STOPS[signal.Signals(number)]}; what was complete is kept.")
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)  # Python drops handlers as it leaves; another signal would change the code
    return _with_output(128 + number)


def _with_output(code: int) -> int:
    """Return `code` after writing out what was printed before; what cannot be written is dropped without a word."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_output()
    return code


def _nobody_reads() -> bool:
    """Return whether stdout is a pipe that has been closed at its other end."""
    with suppress(OSError, ValueError):
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in output.poll(0))
    return False


def _drop_output() -> None:
    """Send stdout nowhere, or Python would fail on the rest of it when it ends."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody may be there to read it
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _open_standard_streams() -> None:
    """Open what the caller closed (`>&-`), or the next file opened would take its number and get what is printed.

    A name with bytes that are no text is printed with their codes instead of ending in an error.
    """
    for number in range(3):
        if not _is_open(number):  # then it is the lowest free number, which the next file gets
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _catch_signals() -> None:
    owner = os.getpid()
    first: list[float] = []

    def stop(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker, whose parent takes care of it
            if number != signal.SIGINT:
                _die(number)
            return
        if first and time.monotonic() - first[0] > AT_ONCE:
            _die(number)  # asked again: do not wait for anything to be closed
        if not first:
            first.append(time.monotonic())
            raise Stopped(number)

    for number in STOPS:
        signal.signal(number, stop)


def _die(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
