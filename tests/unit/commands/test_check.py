"""`cvqa check` on whole and broken files, in folders and tables."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from cvqa_models.commands.check import check
from cvqa_models.data import check as module
from cvqa_models.data.check import Look
from cvqa_models.data.workers import Died
from cvqa_models.ending import Stopped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one whole video, one cut, one empty, and a text file."""
    root = tmp_path / "videos"
    (root / "deep").mkdir(parents=True)
    picture = ["-f", "lavfi", "-i", "testsrc2=size=96x54:rate=20", "-frames:v", "40", "-g", "10", "-pix_fmt", "yuv420p"]
    options = ["-c:v", "libx264", "-movflags", "+faststart", str(root / "whole.mp4")]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *picture, *options], check=True)
    whole = (root / "whole.mp4").read_bytes()
    (root / "deep" / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    (root / "deep" / "empty.mkv").touch()
    (root / "notes.txt").write_text("no video")
    return root


def test_broken_files_are_listed_with_the_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = folder.parent / "check.json"
    assert check([folder], workers=2, json=report) == 2
    out = capsys.readouterr().out
    assert "cut.mp4' is truncated or damaged" in out
    assert "empty.mkv' is empty (0 bytes)" in out
    assert "1 of 3 videos decode." in out
    written = json.loads(report.read_text())
    assert written["videos"] == 3
    assert [Path(entry["path"]).name for entry in written["broken"]] == ["cut.mp4", "empty.mkv"]
    whole = next(entry for entry in written["files"] if entry["damage"] is None)
    told = {name: whole[name] for name in ("codec", "width", "height", "depth", "fps", "frames", "interlacing")}
    assert told == {
        "codec": "h264",
        "width": 96,
        "height": 54,
        "depth": 8,
        "fps": 20,
        "frames": 40,
        "interlacing": "progressive",
    }
    assert len(written["files"]) == 3


def test_whole_files_pass(folder: Path) -> None:
    assert check([folder / "whole.mp4"], workers=1) == 0


def test_a_table_names_its_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder / "videos.csv"
    table.write_text("video_id,path\na,whole.mp4\nb,absent.mp4\n")
    assert check([table], workers=1) == 2
    assert "There is no video" in capsys.readouterr().out


def test_a_table_without_files_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("video_id,mos\na,1\n")
    with pytest.raises(ValueError, match="names no file; expected a column `path`"):
        check([table])


def test_a_missing_file_and_a_link_to_itself_are_listed_among_good_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "loop.mp4").symlink_to("loop.mp4")
    assert check([folder / "absent.mp4", folder / "loop.mp4", folder / "whole.mp4"], workers=1) == 2
    out = capsys.readouterr().out
    assert "absent.mp4'" in out
    assert "loop.mp4'" in out
    assert "1 of 3 videos decode." in out


def test_a_file_that_kills_its_worker_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "run_each", lambda *_: iter([(1, Died(-signal.SIGSEGV)), (0, Look(None))]))
    assert check([Path("a.mp4"), Path("b.mp4")], json=tmp_path / "check.json") == 2
    assert "1 of 2 videos decode." in capsys.readouterr().out
    [entry] = json.loads((tmp_path / "check.json").read_text())["broken"]
    assert entry["path"] == "b.mp4"
    assert "'b.mp4' ended the process that decoded it (SIGSEGV); copy or encode it again" in entry["reason"]


def test_a_check_that_is_stopped_tells_what_it_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> Iterator[tuple[int, Look]]:
        yield 1, Look("'cut.mp4' is cut")
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(module, "run_each", stopped)
    with pytest.raises(Stopped):
        check([folder], json=folder.parent / "check.json")
    out = capsys.readouterr().out
    assert "'cut.mp4' is cut" in out
    assert "0 of 3 videos decode. 2 were not looked at." in out
    assert json.loads((folder.parent / "check.json").read_text())["videos"] == 1


def test_no_workers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ValueError, match="`workers` is 0; expected at least 1"):
        check([tmp_path], workers=0)
