"""Jobs of the service, stored in a SQLite file, so that a restart loses none."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cvqa_models.serve.limits import RefusedError

KEPT = 1000
"""Number of finished jobs that are kept; the oldest are removed first, with their pictures."""

TRIES = 3
"""A job is given up if the service has ended during so many of its starts."""

_WAIT = 5  # seconds after which a client may ask again, if the queue is full
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, name TEXT NOT NULL,
    source TEXT NOT NULL, sent INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    result TEXT, picture BLOB, heat BLOB, error TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status, number);
"""
_OPEN = "('receiving', 'queued', 'running')"


@dataclass(frozen=True)
class Task:
    """A job for a worker.

    Attributes:
        id: Id of the job, which nobody can guess.
        name: The client's name of the video.
        source: Path or address that is read.
        sent: Whether the file was sent here; it is then removed when the job ends.
    """

    id: str
    name: str
    source: str
    sent: bool


@dataclass(frozen=True)
class Found:
    """What is known of a job.

    Attributes:
        id: Id of the job.
        name: The client's name of the video.
        status: `receiving`, `queued`, `running`, `done` or `failed`.
        ahead: Number of jobs that come before it, while it waits.
        result: Its score and details, once it is done.
        error: Why it failed.
    """

    id: str
    name: str
    status: str
    ahead: int
    result: dict[str, Any] | None
    error: str | None


class Jobs:
    """A queue that is kept when the process ends; threads may share it.

    Args:
        file: The database; it is made if it is missing.
        queue: Largest number of jobs that are received, wait or run at a time.

    Raises:
        ValueError: If the file is not such a database, or cannot be written.
    """

    def __init__(self, file: Path, queue: int) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(file, check_same_thread=False)
            self._base.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise ValueError(f"'{file}' cannot hold jobs ({error}); move it away, or choose another folder.") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def begin(self, name: str, source: str = "", *, sent: bool = False) -> str:
        """Return the id of a new job, which waits, or whose file is still to be received.

        Raises:
            RefusedError: If the queue is full.
        """
        identity = secrets.token_hex(16)
        with self._write() as base:
            (count,) = base.execute(f"SELECT count(*) FROM jobs WHERE status IN {_OPEN}").fetchone()
            if count >= self._queue:
                raise RefusedError(429, f"{count} jobs are waiting, which is all there may be; try again later.", _WAIT)
            base.execute(
                "INSERT INTO jobs (id, status, name, source, sent) VALUES (?, ?, ?, ?, ?)",
                (identity, "receiving" if sent else "queued", name, source, sent),
            )
        return identity

    def received(self, identity: str, name: str, source: str) -> None:
        """Put a job into the queue, after its file was received."""
        with self._write() as base:
            base.execute(
                "UPDATE jobs SET status = 'queued', name = ?, source = ? WHERE id = ?", (name, source, identity)
            )

    def drop(self, identity: str) -> None:
        """Remove a job whose file was not received."""
        with self._write() as base:
            base.execute("DELETE FROM jobs WHERE id = ?", (identity,))

    def take(self) -> Task | None:
        """Return the job that has waited longest, now marked as running; None if no job waits."""
        with self._write() as base:
            row = base.execute(
                "SELECT id, name, source, sent FROM jobs WHERE status = 'queued' ORDER BY number LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            base.execute("UPDATE jobs SET status = 'running', tries = tries + 1 WHERE id = ?", row[:1])
        identity, name, source, sent = row
        return Task(identity, name, source, bool(sent))

    def finish(
        self, identity: str, result: dict[str, Any], picture: bytes | None = None, heat: bytes | None = None
    ) -> None:
        """Store the result of a job, with its worst frame, and that frame with its heat map, as PNG contents."""
        self._end(identity, "done", json.dumps(result), picture, heat, None)

    def fail(self, identity: str, error: str) -> None:
        """Store why a job failed."""
        self._end(identity, "failed", None, None, None, error)

    def _end(self, identity: str, *values: object) -> None:
        with self._write() as base:
            base.execute(
                "UPDATE jobs SET status = ?, result = ?, picture = ?, heat = ?, error = ? WHERE id = ?",
                (*values, identity),
            )
            base.execute(
                f"DELETE FROM jobs WHERE status NOT IN {_OPEN} AND number <= "
                f"(SELECT number FROM jobs WHERE status NOT IN {_OPEN} ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (KEPT,),
            )

    def recover(self) -> None:
        """Put jobs that ran when the service ended back into the queue, and remove those without a received file."""
        gone = f"The service ended {TRIES} times while it read this video; copy or encode it again."
        with self._write() as base:
            base.execute("DELETE FROM jobs WHERE status = 'receiving'")
            base.execute(
                "UPDATE jobs SET status = 'failed', error = ? WHERE status = 'running' AND tries >= ?", (gone, TRIES)
            )
            base.execute("UPDATE jobs SET status = 'queued' WHERE status = 'running'")

    def sources(self) -> set[str]:
        """Return the paths and addresses that open jobs read."""
        with self._lock:
            return {row[0] for row in self._base.execute(f"SELECT source FROM jobs WHERE status IN {_OPEN}")}

    def find(self, identities: Sequence[str]) -> list[Found]:
        """Return what is known of jobs, in the given order.

        Raises:
            RefusedError: If there is no such job.
        """
        with self._lock:
            return [self._found(identity) for identity in identities]

    def _found(self, identity: str) -> Found:
        row = self._base.execute(
            "SELECT id, name, status, number, result, error FROM jobs WHERE id = ?", (identity,)
        ).fetchone()
        if row is None:
            raise RefusedError(404, f"There is no such job; the last {KEPT} that ended are kept.")
        _, name, status, number, result, error = row
        ahead = 0
        if status == "queued":
            query = "SELECT count(*) FROM jobs WHERE status = 'queued' AND number < ?"
            (ahead,) = self._base.execute(query, (number,)).fetchone()
        return Found(identity, name, status, ahead, None if result is None else json.loads(result), error)

    def picture(self, identity: str, kind: Literal["picture", "heat"]) -> bytes:
        """Return the worst frame of a job, or that frame with its heat map, as the content of a PNG file.

        Raises:
            RefusedError: If there is no such job or picture.
        """
        with self._lock:
            row = self._base.execute(f"SELECT {kind} FROM jobs WHERE id = ?", (identity,)).fetchone()
        if row is None or row[0] is None:
            raise RefusedError(404, "There is no such picture.")
        return bytes(row[0])

    def counts(self) -> dict[str, int]:
        """Return the number of jobs of each status; a status without jobs is left out."""
        with self._lock:
            return dict(self._base.execute("SELECT status, count(*) FROM jobs GROUP BY status"))

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """Yield the database; all changes of the block are stored together, or none of them."""
        with self._lock, self._base:
            yield self._base
