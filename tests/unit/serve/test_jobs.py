"""The queue: a place in it is taken before a file comes, jobs outlive their owner, and what is old goes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cvqa_models.serve import jobs as module
from cvqa_models.serve.jobs import Jobs, Task
from cvqa_models.serve.limits import Limits, RefusedError


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "jobs.sqlite", queue=3)


def take(jobs: Jobs) -> Task:
    task = jobs.take()
    assert task is not None
    return task


def test_jobs_run_in_the_order_in_which_they_came(jobs: Jobs) -> None:
    names = [jobs.begin(name, f"/{name}") for name in ("a", "b", "c")]
    assert [found.ahead for found in jobs.find(names)] == [0, 1, 2]
    assert [take(jobs).name for _ in names] == ["a", "b", "c"]
    assert jobs.take() is None


def test_what_is_still_coming_takes_a_place_and_does_not_run(jobs: Jobs) -> None:
    coming = [jobs.begin("video", sent=True) for _ in range(3)]
    assert jobs.take() is None
    with pytest.raises(RefusedError, match="3 jobs are waiting, which is all there may be; try again later") as told:
        jobs.begin("d", "/d")
    assert (told.value.code, told.value.wait) == (429, 5)
    jobs.drop(coming[0])
    jobs.received(coming[1], "b.mp4", "/uploads/b")
    assert take(jobs) == Task(coming[1], "b.mp4", "/uploads/b", sent=True)


def test_of_a_thousand_that_come_at_once_the_queue_takes_its_length(jobs: Jobs) -> None:
    def begin(number: int) -> int:
        try:
            jobs.begin(str(number), "/video")
        except RefusedError as error:
            return error.code
        return 202

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(begin, range(1000))) == {202: 3, 429: 997}
    assert jobs.counts() == {"queued": 3}


def test_a_restart_takes_up_what_ran_and_forgets_what_had_not_come(jobs: Jobs, tmp_path: Path) -> None:
    done, ran = jobs.begin("done", "/done"), jobs.begin("ran", "/ran")
    coming = jobs.begin("video", sent=True)
    jobs.finish(take(jobs).id, {"score": 1.5}, b"picture", b"heat")
    take(jobs)
    jobs.close()
    after = Jobs(tmp_path / "jobs.sqlite", queue=3)
    after.recover()
    assert [found.status for found in after.find([done, ran])] == ["done", "queued"]
    assert after.find([done])[0].result == {"score": 1.5}
    assert after.picture(done, "picture") == b"picture"
    assert after.picture(done, "heat") == b"heat"
    assert after.sources() == {"/ran"}
    with pytest.raises(RefusedError, match="There is no such job; the last 1000 that ended are kept"):
        after.find([coming])


def test_a_video_that_ends_the_service_each_time_is_given_up(jobs: Jobs) -> None:
    deadly = jobs.begin("deadly", "/deadly")
    for _ in range(3):
        take(jobs)
        jobs.recover()
    (found,) = jobs.find([deadly])
    assert found.status == "failed"
    assert found.error is not None
    assert found.error.startswith("The service ended 3 times while it read this video;")
    assert jobs.take() is None


def test_the_oldest_that_ended_go(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    names = []
    for number in range(5):
        names.append(jobs.begin(str(number), "/v"))
        jobs.fail(take(jobs).id, "no video")
    assert jobs.counts() == {"failed": 2}
    assert [found.name for found in jobs.find(names[3:])] == ["3", "4"]
    with pytest.raises(RefusedError, match="There is no such picture"):
        jobs.picture(names[0], "heat")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no database, and long enough to be seen as none" * 10)
    with pytest.raises(ValueError, match=r"jobs.sqlite' cannot hold jobs \(file is not a database\); move it away"):
        Jobs(tmp_path / "jobs.sqlite", 3)


def test_nothing_is_kept_of_what_failed_in_the_middle(jobs: Jobs) -> None:
    jobs.begin("a", "/a")

    def fail() -> None:
        with jobs._write() as base:
            base.execute("DELETE FROM jobs")
            base.execute("no SQL")

    with pytest.raises(sqlite3.Error, match="syntax error"):
        fail()
    assert jobs.counts() == {"queued": 1}


@pytest.mark.parametrize("name", ["megabytes", "duration", "seconds", "queue"])
def test_a_limit_that_lets_nothing_through_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"The limit `{name}` is 0; expected more than 0"):
        Limits(**{name: 0})
