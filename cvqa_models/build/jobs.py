"""Run many jobs side by side with a progress bar, and keep the good ones when some fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cvqa_models.build import ffmpeg
from cvqa_models.mistakes import sentence

Result = TypeVar("Result")


def run_jobs(
    jobs: Mapping[str, Callable[[], Result]], description: str, workers: int | None = None
) -> tuple[dict[str, Result], dict[str, str]]:
    """Return the results and the failures of jobs, both by name and in the order of `jobs`.

    Args:
        jobs: Name -> function without arguments. The work is expected in child processes, so threads run them.
        description: Words in front of the progress bar.
        workers: Jobs at a time; None for one per processor.

    Returns:
        Results by name, and for each job that raised a ValueError or an OSError its message by name. Where the caller
        is stopped, by a signal for example, the programs that jobs wait for are ended first.
    """
    results: dict[str, Result] = {}
    failures: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
    ):
        task = progress.add_task(description, total=len(jobs))
        futures = {pool.submit(job): name for name, job in jobs.items()}
        try:
            for future in as_completed(futures):
                name = futures[future]
                try:
                    results[name] = future.result()
                except (ValueError, OSError) as error:
                    failures[name] = sentence(error)
                progress.advance(task)
        except BaseException:
            with ffmpeg.ended():
                pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {name: results[name] for name in jobs if name in results}, {
        name: failures[name] for name in jobs if name in failures
    }
