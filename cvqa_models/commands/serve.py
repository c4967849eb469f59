"""`cvqa serve`: start a page and a service that score videos."""

from __future__ import annotations

import os
from pathlib import Path

from cvqa_models.extras import check_installed
from cvqa_models.files import check_there


def serve(
    *,
    model: str = "compression_level",
    host: str = "127.0.0.1",
    port: int = 8000,
    state: Path = Path("runs/serve"),
    root: list[Path] | None = None,
    address: list[str] | None = None,
    workers: int | None = None,
    megabytes: float = 2000.0,
    duration: float = 1800.0,
    limit: float = 600.0,
    queue: int = 100,
    questions: Path | None = None,
    videos: Path | None = None,
    votes: Path = Path("votes.csv"),
    device: str = "cpu",
    trust: list[str] | None = None,
) -> None:
    """Serve a page that scores the videos dropped on it, and the same over HTTP; /openapi.json describes the requests.

    Only this machine can reach the service, unless `--host` allows others. It asks for no password: before others can
    reach it, put a proxy that asks for one in front of it.

    A file that is sent is written to disk as it arrives, waits for a process, and is removed once it has a score. Jobs
    are not lost when the service ends: started again with the same folder, it goes on with them.

    Args:
        model: The model: `compression_level`, a name of `cvqa systems` that needs no training, a checkpoint, the folder
            of a run, or `hf:OWNER/NAME`.
        host: Address to listen at; 0.0.0.0 means all addresses.
        port: Port to listen at.
        state: Folder of the jobs and of the files that wait.
        root: Folders whose files a request may name by their path; without one, files can only be sent.
        address: Beginnings of addresses that a request may name, such as `https://media.example.org/films/`.
        workers: Number of processes, each of which decodes and scores on one core; one per core by default.
        megabytes: Size of the largest file that is accepted.
        duration: Length in seconds of the longest video that is scored.
        limit: Seconds after which a job is given up.
        queue: Largest number of open jobs; more are refused. The disk never holds more files than this.
        questions: Also hold a pair test at /vote: the questions that `cvqa votes questions` wrote.
        videos: Table of the videos in the questions, with `path`.
        votes: Table to which each answer is appended, for `cvqa votes screen` and `cvqa votes scores`.
        device: Torch device.
        trust: Your own packages whose classes the checkpoint may build; their code is run.

    Examples:
        cvqa serve
        cvqa serve --questions questions.csv --videos data/mine/manifest.csv --votes votes.csv
        cvqa serve --host 0.0.0.0 --root /library --model runs/mine
    """
    check_there("folder", *(root or []))
    check_there("table", questions, videos)
    if (questions is None) != (videos is None):
        raise ValueError("A pair test takes both `--questions FILE` and `--videos TABLE`; one of them is missing.")
    check_installed("fastapi", "uvicorn", "python_multipart", what="The service")
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    if count < 1:
        raise ValueError(f"`workers` is {count}; expected at least 1.")
    # Slow imports come here, after the arguments are checked.
    from cvqa_models.serve.limits import Limits
    from cvqa_models.serve.run import listen, open_door, service
    from cvqa_models.serve.work import Work

    panel = None
    if questions is not None and videos is not None:
        from cvqa_models.serve.votes import Panel

        panel = Panel(questions, videos, votes)
    work = Work(model, Limits(megabytes, duration, limit, queue), device, tuple(trust or ()))
    with (
        open_door(host, port) as door,
        service(work, state, count, roots=root or [], addresses=address or [], panel=panel) as served,
    ):
        listen(served, door)
