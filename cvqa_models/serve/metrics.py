"""Counters of this process for a monitor, as text in Prometheus' format."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

_HELP = {
    "cvqa_jobs": "Jobs by status, of those that are kept.",
    "cvqa_jobs_ended_total": "Jobs that ended.",
    "cvqa_job_seconds_total": "Seconds that jobs took.",
    "cvqa_requests_total": "Answers by code.",
    "cvqa_received_bytes_total": "Bytes of videos that were sent.",
    "cvqa_votes_total": "Answers of viewers.",
    "cvqa_workers": "Processes that score.",
    "cvqa_workers_lost_total": "Processes that ended without an answer, or were ended for a job's time.",
}


class Metrics:
    """Counters; threads may share them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: Counter[str] = Counter()
        for name in ("cvqa_received_bytes_total", "cvqa_votes_total", "cvqa_workers_lost_total"):
            self._values[name] = 0

    def count(self, name: str, by: float = 1) -> None:
        """Add to a counter, named with its labels."""
        with self._lock:
            self._values[name] += by  # type: ignore[assignment]

    def ended(self, status: str, seconds: float) -> None:
        """Count a job that ended."""
        self.count(f'cvqa_jobs_ended_total{{status="{status}"}}')
        self.count(f'cvqa_job_seconds_total{{status="{status}"}}', seconds)

    def text(self, jobs: Mapping[str, int], workers: int) -> str:
        """Return all values.

        Args:
            jobs: Number of jobs by status.
            workers: Number of processes.
        """
        with self._lock:
            values: dict[str, float] = dict(self._values)
        values |= {"cvqa_workers": workers}
        values |= {f'cvqa_jobs{{status="{status}"}}': jobs.get(status, 0) for status in STATUSES}
        lines, last = [], ""
        for name, value in sorted(values.items()):
            family = name.partition("{")[0]
            if family != last:
                kind = "counter" if family.endswith("_total") else "gauge"
                lines += [f"# HELP {family} {_HELP[family]}", f"# TYPE {family} {kind}"]
                last = family
            lines.append(f"{name} {value:.10g}")
        return "\n".join(lines) + "\n"


STATUSES = ("receiving", "queued", "running", "done", "failed")
