"""Bulk work: a row per video whatever happens, none lost by a stop, none twice, and none of another model."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cvqa_models.data.rows import Row, appending, finished, part_path, parts_of, read_rows
from cvqa_models.data.shards import shard_of
from cvqa_models.inference.bulk import run_bulk, videos_of
from cvqa_models.inference.merge import merge, table_of

BY = "model digest decoder"
VIDEOS = {f"v{n}": f"path {n}" for n in range(12)}


def job(video: tuple[str, str]) -> Row:
    """Score a name by its length, or do what the path says."""
    name, path = video
    if path == "hang":
        time.sleep(600)
    if path == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "bad":
        return {"video": name, "fault": "'bad' is empty", "by": BY}
    return {"video": name, "score": float(len(name)), "extra": 1.0, "notes": ["odd"], "by": BY}


def rows(path: Path) -> list[Row]:
    return sorted((json.loads(line) for line in path.read_text().splitlines()), key=lambda row: str(row["video"]))


def test_every_video_has_a_row_and_a_rerun_does_nothing(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.jsonl"
    done = run_bulk(job, VIDEOS, out, BY, workers=2)
    assert (done.scored, done.present, done.faults) == (12, 0, {})
    assert [row["video"] for row in rows(out)] == sorted(VIDEOS)
    before = out.read_bytes()
    assert run_bulk(job, VIDEOS, out, BY, workers=2).present == 12
    assert out.read_bytes() == before


def test_what_hangs_or_dies_costs_its_own_row_and_is_tried_again_when_asked(tmp_path: Path) -> None:
    out, videos = tmp_path / "out.jsonl", {**VIDEOS, "h": "hang", "k": "kill", "b": "bad"}
    run_bulk(job, {"v0": "path 0"}, out, BY, workers=1)  # so that the limit below is not that of an import
    done = run_bulk(job, videos, out, BY, workers=3, limit=15)
    assert done.scored == 11
    assert done.faults == {
        "h": "'hang': its decoder was stopped after 15 s; raise `--limit`, or look at the file.",
        "k": "'kill' ended the process that read it (SIGKILL, as when memory runs out); copy or encode it again.",
        "b": "'bad' is empty",
    }
    assert run_bulk(job, videos, out, BY, workers=1).faults == done.faults
    mended = {**videos, "h": "path", "k": "path", "b": "path"}
    again = run_bulk(job, mended, out, BY, workers=1, retry=True)
    assert (again.scored, again.present, again.faults) == (3, 12, {})
    assert run_bulk(job, mended, out, BY, workers=1).faults == {}
    merged = merge(out, mended)
    assert (len(merged.rows), merged.faults, merged.missing) == (15, {}, [])


def test_a_line_that_was_cut_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run_bulk(job, VIDEOS, out, BY, workers=1)
    whole = rows(out)
    for length in (0, 1, 40, out.stat().st_size // 2, out.stat().st_size - 1):
        out.write_bytes(out.read_bytes()[:length])
        run_bulk(job, VIDEOS, out, BY, workers=1)
        assert rows(out) == whole


def test_shards_hold_each_video_once_also_where_their_number_changed(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    for number in range(2):
        run_bulk(job, VIDEOS, out, BY, shard=(number, 3), workers=1)
    assert parts_of(out) == {part_path(out, (number, 3)): (number, 3) for number in range(2)}
    assert [row["video"] for row in rows(part_path(out, (1, 3)))] == sorted(v for v in VIDEOS if shard_of(v, 3) == 1)
    part = merge(out, VIDEOS)
    assert part.absent == ["3/3"]
    assert part.missing == [v for v in VIDEOS if shard_of(v, 3) == 2]
    for number in range(2):
        run_bulk(job, VIDEOS, out, BY, shard=(number, 2), workers=1)
    run_bulk(job, VIDEOS, out, BY, shard=(2, 3), workers=1)
    found = merge(out, VIDEOS)
    assert (found.missing, found.absent) == ([], [])
    assert [row["video"] for row in rows(out)] == sorted(VIDEOS)
    lines = [row["video"] for path in parts_of(out) if path != out for row in read_rows(path)]
    assert sorted(lines) == sorted(VIDEOS)  # nothing was done twice
    assert table_of(found.rows).splitlines()[:2] == ["video_id,score,extra,notes", "v0,2.0,1.0,odd"]


def test_rows_of_another_model_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run_bulk(job, VIDEOS, out, BY, shard=(0, 2), workers=1)
    for shard in ((0, 2), (0, 1)):
        with pytest.raises(ValueError, match=f"holds rows made by '{BY}', and this run is 'another', whose scores"):
            run_bulk(job, VIDEOS, out, "another", shard=shard, workers=1)
    with appending(out) as append:
        append({"video": "w", "score": 1.0, "by": "another"})
    with pytest.raises(ValueError, match=r"holds rows made by .* and '.*' rows made by .*; move one of them away"):
        merge(out)


def test_files_that_hold_no_rows_are_named(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(FileNotFoundError, match=r"There is no '.*out.jsonl' and no part of it"):
        merge(out)
    for line, message in (
        ("{", "is no row of JSON"),
        ("[1]", "is no row of `cvqa score"),
        ("{}", "is no row of `cvqa"),
    ):
        out.write_text(line + "\n")
        with pytest.raises(ValueError, match=rf"out.jsonl' line 1 {message}"):
            finished(out, BY)


def test_two_processes_do_not_write_one_part(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with appending(out), pytest.raises(ValueError, match=r"out.jsonl' is being written by another process"):
        run_bulk(job, VIDEOS, out, BY, workers=1)


def test_a_full_disk_costs_no_row_that_was_written(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with (
        file_size(200),
        pytest.raises(ValueError, match=r"out.jsonl' cannot be written \(File too large\); free space"),
    ):
        run_bulk(job, VIDEOS, out, BY, workers=1)
    kept = rows(out)
    assert 0 < len(kept) < 12
    assert out.read_text().endswith("\n")
    run_bulk(job, VIDEOS, out, BY, workers=1)
    assert [row["video"] for row in rows(out)] == sorted(VIDEOS)


@contextmanager
def file_size(most: int) -> Iterator[None]:
    """Let the system refuse larger files, as a full disk does: in the middle of a line."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("workers", "limit"), [(0, 1.0), (1, 0.0)])
def test_numbers_that_mean_nothing_are_refused(tmp_path: Path, workers: int, limit: float) -> None:
    with pytest.raises(ValueError, match="expected at least 1, and more than 0 seconds"):
        run_bulk(job, VIDEOS, tmp_path / "out.jsonl", BY, workers=workers, limit=limit)


# What is given ------------------------------------------------------------------------------------------------------


def test_whatever_names_videos_is_taken_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "films"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/b.mkv"):
        (folder / name).touch()
    (tmp_path / "list.txt").write_text("films/a.mp4\n\n/far/c.mp4\r\nhttps://host/d.mp4\nfilms/a.mp4\n")
    (tmp_path / "table.csv").write_text("video_id,path\none,films/a.mp4\ntwo,films/gone.mp4\n")
    words = [folder, tmp_path / "list.txt", tmp_path / "table.csv", "http://host/e.mp4", "gone.mp4", "gone.mp4"]
    assert videos_of(words) == {
        str(folder / "a.mp4"): str(folder / "a.mp4"),
        str(folder / "deep/b.mkv"): str(folder / "deep/b.mkv"),
        "films/a.mp4": str(folder / "a.mp4"),
        "/far/c.mp4": "/far/c.mp4",
        "https://host/d.mp4": "https://host/d.mp4",
        "one": str(folder / "a.mp4"),
        "two": str(folder / "gone.mp4"),
        "http://host/e.mp4": "http://host/e.mp4",
        "gone.mp4": "gone.mp4",
    }
    assert "2 entries stand more than once; each is taken once" in caplog.text


def test_lists_that_name_nothing_or_two_things_are_refused(tmp_path: Path) -> None:
    empty, table = tmp_path / "list.txt", tmp_path / "table.csv"
    empty.write_text("\n")
    with pytest.raises(ValueError, match=r"list.txt' names no video; expected a column `path`"):
        videos_of([empty])
    with pytest.raises(FileNotFoundError):
        videos_of([tmp_path / "gone.txt"])
    table.write_text("video_id,path\na.mp4,other/a.mp4\n")
    with pytest.raises(ValueError, match=r"'a.mp4' stands for 'a.mp4' and for '.*other/a.mp4'; give each video an id"):
        videos_of(["a.mp4", table])
    empty.write_bytes("é.mp4".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        videos_of([empty])
