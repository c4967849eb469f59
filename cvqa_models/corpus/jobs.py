"""Run many jobs in parallel with a progress bar, and keep the results of the others if some fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from cvqa_models.corpus import ffmpeg
from cvqa_models.messages import progress, sentence

Result = TypeVar("Result")


def run_jobs(
    jobs: Mapping[str, Callable[[], Result]], description: str, workers: int | None = None
) -> tuple[dict[str, Result], dict[str, str]]:
    """Return the results and the failures of jobs, both by name and in the order of `jobs`.

    Args:
        jobs: Name -> function without arguments. Threads run them, because the work is done in child processes.
        description: Words in front of the progress bar.
        workers: Jobs at a time; None for one per processor.

    Returns:
        Results by name, and by name the message of each job that raised a ValueError or an OSError. If the caller is
        stopped, by a signal for example, the programs for which jobs wait are ended first.
    """
    results: dict[str, Result] = {}
    failures: dict[str, str] = {}
    with progress(description, len(jobs)) as tell, ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        futures = {pool.submit(job): name for name, job in jobs.items()}
        try:
            for future in as_completed(futures):
                name = futures[future]
                try:
                    results[name] = future.result()
                except (ValueError, OSError) as error:
                    failures[name] = sentence(error)
                tell(len(results) + len(failures))
        except BaseException:
            with ffmpeg.ended():
                pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {name: results[name] for name in jobs if name in results}, {
        name: failures[name] for name in jobs if name in failures
    }
