"""Files are found by name at any depth; whatever does not match is named with its neighbours."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cvqa_models.data.files import index_videos, match_videos, sha256


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_any_extension_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/one.MKV", "two.h265", "notes.txt")
    assert match_videos({"1": "one", "2": "two.mp4"}, tmp_path) == {
        "1": str(tmp_path / "a/b/one.MKV"),
        "2": str(tmp_path / "two.h265"),
    }


def test_a_folder_tells_apart_equal_names(tmp_path: Path) -> None:
    touch(tmp_path, "x/train/0001.mp4", "x/test/0001.mp4")
    matched = match_videos({"a": "train/0001.mp4", "b": "test/0001.mp4"}, tmp_path)
    assert matched == {"a": str(tmp_path / "x/train/0001.mp4"), "b": str(tmp_path / "x/test/0001.mp4")}
    with pytest.raises(ValueError, match=r"'a' fits '.*test/0001\.mp4' and '.*train/0001\.mp4'"):
        match_videos({"a": "0001"}, tmp_path)


def test_dots_in_a_name_are_no_extension(tmp_path: Path) -> None:
    touch(tmp_path, "clip_1.5mbps.mp4")
    assert list(match_videos({"v": "clip_1.5mbps"}, tmp_path)) == ["v"]


def test_what_does_not_match_is_named_with_the_nearest(tmp_path: Path) -> None:
    touch(tmp_path, "enc_res_x265_fast_a_100.mp4", "enc_res_x264_fats_a_100.mp4", "source_a.mp4")
    names = {"1": "enc_res_x265_fast_a_100", "2": "enc_res_x264_fast_a_100"}
    message = (
        r"1 of 2 labels have no video: 'enc_res_x264_fast_a_100' \(near: 'enc_res_x264_fats_a_100'\); "
        r"1 of 3 videos have no label: 'enc_res_x264_fats_a_100' \(near: 'enc_res_x264_fast_a_100'\)"
    )
    with pytest.raises(ValueError, match=message):
        match_videos(names, tmp_path, prefix="enc_res_")
    assert list(match_videos(names, tmp_path, prefix="enc_res_", partial=True)) == ["1"]


def test_files_may_be_spelt_otherwise(tmp_path: Path) -> None:
    touch(tmp_path, "123_centercrop_540_8s.mp4")
    assert list(match_videos({"123": "123"}, tmp_path, file_key=lambda stem: stem.split("_")[0])) == ["123"]


def test_folders_without_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        index_videos(tmp_path / "absent")
    with pytest.raises(ValueError, match="holds no video"):
        index_videos(tmp_path)
    with pytest.raises(ValueError, match="have one stem"):
        index_videos(touch(tmp_path, "a/x.mp4", "b/x.mkv"))


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    (tmp_path / "f").write_bytes(content)
    assert sha256(tmp_path / "f") == hashlib.sha256(content).hexdigest()
