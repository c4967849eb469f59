"""Rows find their files by name; whatever does not match is named with its neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.data.matching import match_videos


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


@pytest.mark.parametrize("form", ["e\u0301te\u0301", "\u00e9t\u00e9"])
def test_composed_and_decomposed_names_match(tmp_path: Path, form: str) -> None:
    touch(tmp_path, f"{form}/{form}_01.mp4")
    for name in ("\u00e9t\u00e9_01.mp4", "e\u0301te\u0301_01", "\u00e9t\u00e9/\u00e9t\u00e9_01.mp4"):
        assert match_videos({"v": name}, tmp_path) == {"v": str(tmp_path / f"{form}/{form}_01.mp4")}


@pytest.mark.parametrize(
    "name",
    [
        "clips\\deep_03.mp4", "D:\\data\\clips\\sub\\deep_03.mp4", "\\\\server\\share\\deep_03.mp4",
        "/media/disk/deep_03.mp4",
        "~/clips/deep_03.mp4", "file:///data/deep_03.mp4", "D:/data/deep_03.mp4", "D:deep_03.mp4\\..\\deep_03",
    ],
)  # fmt: skip
def test_paths_of_another_system_match_by_their_last_part(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "sub/deep_03.mp4", "plain.mp4")
    matched = match_videos({"a": name, "b": "plain"}, tmp_path)
    assert matched == {"a": str(tmp_path / "sub/deep_03.mp4"), "b": str(tmp_path / "plain.mp4")}
    assert len(caplog.messages) == 1
    assert "1 names are paths of another system" in caplog.text


def test_paths_of_another_system_keep_the_folders_that_are_there(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.mp4", "test/1.mp4")
    matched = match_videos({"a": r"C:\set\train\1.mp4", "b": r"C:\set\test\1.mp4"}, tmp_path)
    assert matched == {"a": str(tmp_path / "train/1.mp4"), "b": str(tmp_path / "test/1.mp4")}
    with pytest.raises(ValueError, match=r"'a' fits '.*test/1\.mp4' and '.*train/1\.mp4'"):
        match_videos({"a": r"C:\set\1.mp4"}, tmp_path)


def test_two_paths_of_another_system_may_not_fit_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4")
    with pytest.raises(ValueError, match=r"both fit '.*1\.mp4'; name the videos apart"):
        match_videos({"a": r"train\1.mp4", "b": r"test\1.mp4"}, tmp_path)


def test_a_folder_that_is_named_must_be_there(tmp_path: Path) -> None:
    touch(tmp_path, "test/1.mp4")
    with pytest.raises(ValueError, match="1 of 1 labels have no video: 'train/1'"):
        match_videos({"a": "train/1.mp4"}, tmp_path)


@pytest.mark.parametrize(("cell", "stem"), [("7", "007"), ("1E+05", "1e5"), ("100000", "1e5"), ("3.5", "3.50")])
def test_names_that_a_spreadsheet_took_for_numbers_are_told(tmp_path: Path, cell: str, stem: str) -> None:
    touch(tmp_path, f"{stem}.mp4", "3_5.mp4")
    with pytest.raises(ValueError, match=rf"may have made '{cell.replace('+', '.')}' of '{stem}', so format"):
        match_videos({"a": cell, "b": "3_5"}, tmp_path)
    assert list(match_videos({"a": stem, "b": "3_5"}, tmp_path)) == ["a", "b"]


def test_a_large_table_matches_in_little_time(tmp_path: Path) -> None:
    touch(tmp_path, *(f"clip_{number:05d}.mp4" for number in range(500)))
    names = {str(number): f"clip_{number:06d}_x" for number in range(100_000)}
    with pytest.raises(ValueError, match=r"100000 of 100000 labels have no video: .* 500 of 500 videos have no label"):
        match_videos(names, tmp_path)
