"""What a request may name, and what is taken for text in the place of a video."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.serve.limits import RefusedError
from cvqa_models.serve.sources import check_address, check_whole, file_under, shown_name, suffix_of

ALLOWED = ["https://media.example.org/films/", "http://other.example"]


@pytest.mark.parametrize("address", ["https://media.example.org/films/a.mp4?x=1", "http://other.example/b/c%20d.mp4"])
def test_an_address_below_an_allowed_one_is_fetched(address: str) -> None:
    check_address(ALLOWED, address)


@pytest.mark.parametrize(
    "address",
    [
        "https://media.example.org/private/a.mp4",
        "https://media.example.org/films/../private/a.mp4",
        "https://media.example.org/films/%2e%2e/private/a.mp4",
        "https://media.example.org.evil/films/a.mp4",
        "http://other.example.evil/a.mp4",
        "http://other.example@evil/a.mp4",
        "http://169.254.169.254/latest",
    ],
)
def test_any_other_is_not(address: str) -> None:
    with pytest.raises(RefusedError, match="This service does not fetch from that address; send the file") as told:
        check_address(ALLOWED, address)
    assert told.value.code == 403


def test_what_is_no_address_is_said() -> None:
    with pytest.raises(RefusedError, match="`url` is no address"):
        check_address(ALLOWED, "http://[")
    with pytest.raises(RefusedError, match="This service fetches no addresses; send the file, or start it with"):
        check_address([], "http://other.example/a.mp4")


def test_a_service_without_a_root_reads_no_paths() -> None:
    with pytest.raises(RefusedError, match="This service reads no paths; send the file, or start it with `--root"):
        file_under([], "/etc/hostname")


def test_a_path_counts_from_the_first_root_that_has_it(tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        root.mkdir()
    (roots[1] / "film.mp4").touch()
    (roots[0] / "loop").symlink_to("loop")
    assert file_under(roots, "film.mp4") == (roots[1] / "film.mp4").resolve()
    assert file_under(roots, str(roots[1] / "film.mp4")) == (roots[1] / "film.mp4").resolve()
    for given in ("loop", "\ud800", "x\0"):
        with pytest.raises(RefusedError, match=r"`path` is no path of this system|There is no file"):
            file_under(roots, given)


@pytest.mark.parametrize(
    ("given", "shown", "suffix"),
    [
        ("../../a.mp4", "a.mp4", ".mp4"),
        ("C:\\films\\b.MKV", "b.MKV", ".mkv"),
        ("", "video", ""),
        ("/", "video", ""),
        ("a\x1b[31m.mp4", "a\\x1b[31m.mp4", ".mp4"),
        ("a.mp4\n", "a.mp4\\n", ""),
        ("a.m/p4", "p4", ""),
        ("a.tar.gz_", "a.tar.gz_", ""),
        ("é" * 300 + ".mp4", "é" * 200, ""),
    ],
)
def test_a_name_is_its_last_part_and_only_shown(given: str, shown: str, suffix: str) -> None:
    name = shown_name(given)
    assert (name, suffix_of(name)) == (shown, suffix)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:2,\n/etc/film.mp4\n",
        b"#EXTM3U\n\x80\x81",
        b"\xef\xbb\xbfffconcat version 1.0\nfile a.mp4\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
        b"\x80<MPD profiles='urn:mpeg:dash:profile:isoff-on-demand:2011'>",
        b"import vapoursynth\n",
        b"<html>",
    ],
)
def test_text_is_no_video(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"film.mp4' is text, such as a playlist, and no video; send the video itself"):
        check_whole(tmp_path / "film.mp4")


@pytest.mark.parametrize("content", [b"YUV4MPEG2 W2 H2 F25:1\nFRAME\nAAAA", b"\0\0\0\x20ftypisom", b""])
def test_what_may_be_video_is_left_to_the_decoder(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    check_whole(tmp_path / "film.mp4")
