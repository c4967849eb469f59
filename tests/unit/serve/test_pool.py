"""Processes of the service: one that dies or takes too long costs its own job alone, and a full disk costs none."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvqa_models.serve import pool as module
from cvqa_models.serve.jobs import Found, Jobs
from cvqa_models.serve.limits import Limits
from cvqa_models.serve.metrics import Metrics
from cvqa_models.serve.pool import Pool
from cvqa_models.serve.run import open_door
from tests.unit.serve.stand import Stand


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setattr(module, "IMPORTED", ("cvqa_models.serve.jobs",))
    return Jobs(tmp_path / "jobs.sqlite", queue=100)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def pool(jobs: Jobs, metrics: Metrics) -> Iterator[Pool]:
    pool = Pool(Stand(Limits(seconds=3)), jobs, metrics, 2)  # type: ignore[arg-type]
    pool.start()
    yield pool
    pool.stop()


def ended(jobs: Jobs, identity: str) -> Found:
    end = time.monotonic() + 60
    while (found := jobs.find([identity])[0]).status not in ("done", "failed"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_job_costs_itself_alone(pool: Pool, jobs: Jobs, metrics: Metrics, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.touch()
    names = {name: jobs.begin(name, str(sent), sent=False) for name in ("a", "dies", "hangs", "fails", "b", "c")}
    pool.wake()
    assert [ended(jobs, names[name]).status for name in "abc"] == ["done"] * 3
    assert ended(jobs, names["dies"]).error == (
        "'dies' ended the process that read it (SIGKILL, as when memory runs out); copy or encode it again."
    )
    assert ended(jobs, names["hangs"]).error == (
        "'hangs' was given up after 3 s, which is all that a video gets here; cut it."
    )
    assert ended(jobs, names["fails"]).error == "it is no good."
    assert sent.exists(), "a file that was only named stays"
    assert "cvqa_workers_lost_total 2\n" in metrics.text({}, 2)
    assert pool.alive


def test_a_process_that_died_while_it_had_nothing_to_do_costs_no_job(pool: Pool, jobs: Jobs) -> None:
    process = (ended(jobs, _begun(pool, jobs)).result or {})["process"]
    for worker in {process, (ended(jobs, _begun(pool, jobs)).result or {})["process"]}:
        os.kill(worker, signal.SIGKILL)
    time.sleep(0.2)
    assert ended(jobs, _begun(pool, jobs)).status == "done"


def _begun(pool: Pool, jobs: Jobs) -> str:
    identity = jobs.begin("good", "/good")
    pool.wake()
    return identity


def test_what_cannot_be_written_is_written_later(pool: Pool, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    known, refusals = jobs.finish, [sqlite3.OperationalError("database or disk is full")]

    def finish(*values: object) -> None:
        if refusals:
            raise refusals.pop()
        known(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "finish", finish)
    assert ended(jobs, _begun(pool, jobs)).status == "done"
    assert not refusals


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("fails", "it is no good"), ("dies", r"The process that builds the model ended \(SIGKILL.*; is there memory")],
)
def test_a_model_that_cannot_be_built_is_said_at_the_start(
    jobs: Jobs, metrics: Metrics, model: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Pool(Stand(Limits(), model), jobs, metrics, 1).start()  # type: ignore[arg-type]


@pytest.mark.parametrize(("host", "port"), [("256.0.0.1", 0), ("127.0.0.1", 70000)])
def test_an_address_that_is_none_is_said(host: str, port: int) -> None:
    with pytest.raises(ValueError, match=rf"Port {port} of '{host}' cannot be used \(.*\); choose with `--port`"):
        open_door(host, port)


def test_a_port_has_one_owner() -> None:
    with open_door("127.0.0.1", 0) as door:
        port = door.getsockname()[1]
        with pytest.raises(ValueError, match=f"Port {port} of '127.0.0.1' cannot be used \\(Address already in use\\)"):
            open_door("127.0.0.1", port)
