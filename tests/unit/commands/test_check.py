"""`cvqa check` on whole and broken files, in folders and tables."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from cvqa_models.commands.check import check


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


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no '.*absent.mp4'; give videos"):
        check([tmp_path / "absent.mp4"])


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`workers` is 0; expected at least 1"):
        check([tmp_path], workers=0)
