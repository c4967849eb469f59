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

from cvqa_models.messages import is_told, sentence

MISTAKE = 2  # exit code; also used when only a part of the input was bad, and the rest was done
STARTER = "CVQA_STARTER"  # environment variable: number of the process that started the ranks of a run
LOOK = 2.0  # seconds between two checks whether the starter still runs
AT_ONCE = 1.0  # seconds; `timeout` and some launchers send a signal twice: within this time both count as one

# Signals that ask a program to end -> what the user is told of them.
STOPS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stopped(BaseException):
    """A signal asked the program to end.

    It is not a `KeyboardInterrupt`, because Lightning gives those its own exit code. It is not an `Exception`, so no
    code that handles errors catches it. Open files are closed as it passes up.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(program: str, command: Callable[[], object]) -> NoReturn:
    """Run `command` and leave the process with its exit code.

    The code is the number that the command returned, or 0 if it returned none. After a user's mistake it is 2. After a
    signal it is 128 plus the signal's number (130 for Ctrl-C, 143 for SIGTERM). If the reader of the output has gone,
    as in `cvqa score ... | head`, it is 141 and nothing is printed. A command that must keep something when it is
    stopped does so in `finally`.

    Args:
        program: Name to print in front of messages.
        command: What to do.
    """
    _open_standard_streams()
    _catch_signals()
    # torch's threads wait for each other by spinning; GNU's OpenMP lets them turn 300,000 times. Beside other programs
    # that takes three times as long as 10,000 turns, which are as quick where the cores are free.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    sys.exit(_exit_code(program, command))


def leave_with_starter(program: str) -> None:
    """End this process if it is a rank of a run and the process that started the ranks is gone.

    Otherwise it would wait for the other ranks: up to half an hour while the run is set up, and on GPUs also later. The
    opposite case, a rank that is gone, is noticed by the process that started it.

    Args:
        program: Name to print in front of messages.
    """
    starter = int(os.environ.get(STARTER, os.getpid()))
    # `torchrun` itself watches the ranks that it starts.
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
    except Exception as error:  # only those that `is_told` accepts; any other is a bug of ours and keeps its traceback
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
        signal.signal(stop, signal.SIG_IGN)  # Python removes handlers at its end; a signal would then change the code
    return _with_output(128 + number)


def _with_output(code: int) -> int:
    """Return `code` after writing out what was printed before; what cannot be written is dropped silently."""
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
    """Send stdout to the null device; else Python would fail at its end, when it writes the rest."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody may be there to read it
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _open_standard_streams() -> None:
    """Open the standard streams that the caller closed (`>&-`).

    Otherwise the next opened file would get the number of such a stream, and printed text would go into that file.
    Bytes of a name that are not text are printed as codes, without an error.
    """
    for number in range(3):
        if not _is_open(number):  # then it is the lowest free number, and the next opened file gets it
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
        if os.getpid() != owner:  # a forked worker; its parent handles the signal
            if number != signal.SIGINT:
                _die(number)
            return
        if first and time.monotonic() - first[0] > AT_ONCE:
            _die(number)  # the user asked again: end without closing anything
        if not first:
            first.append(time.monotonic())
            raise Stopped(number)

    for number in STOPS:
        signal.signal(number, stop)


def _die(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
