"""Videos of every type are found at any depth; whatever is passed over is counted and named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cvqa_models.data.videos import find_videos, index_videos, locate


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_folders_without_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        index_videos(tmp_path / "absent")
    with pytest.raises(ValueError, match="holds no video"):
        index_videos(tmp_path)
    with pytest.raises(ValueError, match="have one stem"):
        index_videos(touch(tmp_path, "a/x.mp4", "b/x.mkv"))


def test_every_type_of_video_is_looked_at_and_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    videos = ["00001.MTS", "cam.m2ts", "g.gif", "ok.mp4", "phone.3gp", "v.vob", "x.mxf"]
    others = ["a.txt", "b.txt", "notes", "ok.srt", "sub/raw.yuv", "sub/s.wav"]
    touch(tmp_path, *videos, *others, ".partial-1/half.mkv", ".hidden.mp4", "._ok.mp4")
    with caplog.at_level("INFO"):
        assert [path.name for path in find_videos(tmp_path)] == videos
    assert caplog.messages == [
        f"'{tmp_path}': passed over 2 .txt (such as 'a.txt'), 1 .wav (such as 's.wav'), 1 .yuv (such as 'raw.yuv'), "
        "1 of other kinds, which are not read as videos."
    ]
    with pytest.raises(ValueError, match=r"holds no video \(but 1 \.wav \(such as 's\.wav'\), 1 \.yuv"):
        find_videos(tmp_path / "sub")


def test_stills_are_videos_where_there_is_no_other(tmp_path: Path) -> None:
    touch(tmp_path, "a.JPG", "b/c.png", "list.csv")
    assert index_videos(tmp_path) == {"a": tmp_path / "a.JPG", "c": tmp_path / "b/c.png"}
    touch(tmp_path, "film.mp4")
    assert list(index_videos(tmp_path)) == ["film"], "beside a video they are covers"


def test_a_name_that_no_table_can_hold_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "ok.mp4", os.fsdecode(b"caf\xe9.mp4"))
    with caplog.at_level("INFO"):
        assert [path.name for path in find_videos(tmp_path)] == ["ok.mp4"]
    assert r"1 with a name that is no UTF-8 (such as 'caf\udce9.mp4')" in caplog.text


def test_unreadable_folders_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "ok.mp4", "locked/x.mp4")
    listed = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [path.name for path in find_videos(tmp_path)] == ["ok.mp4"]
    assert f"'{tmp_path / 'locked'}' is passed over: Permission denied." in caplog.text


def test_ids_of_a_folder_are_composed(tmp_path: Path) -> None:
    touch(tmp_path, "e\u0301te\u0301.mp4")
    assert index_videos(tmp_path) == {"\u00e9t\u00e9": tmp_path / "e\u0301te\u0301.mp4"}


def test_a_cell_finds_the_file_that_another_system_spells_otherwise(tmp_path: Path) -> None:
    touch(tmp_path, "sub/e\u0301.mp4", "sub/\u00f6.mp4", "sub/plain.mp4", "odd\\name.mp4")
    for cell, name in {
        "sub/\u00e9.mp4": "sub/e\u0301.mp4",
        "sub/o\u0308.mp4": "sub/\u00f6.mp4",
        "sub\\plain.mp4": "sub/plain.mp4",
        "sub\\\u00f6.mp4": "sub/\u00f6.mp4",
        "odd\\name.mp4": "odd\\name.mp4",
        "absent\u00e9.mp4": "absent\u00e9.mp4",
    }.items():
        assert locate(tmp_path, cell) == tmp_path / name
