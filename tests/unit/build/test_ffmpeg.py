import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from cvqa_models.build import ffmpeg
from cvqa_models.build.files import clear_scratch, remember, scratch
from cvqa_models.build.jobs import run_jobs
from cvqa_models.build.references import Reference


def test_the_program_has_every_encoder_of_the_standards() -> None:
    assert {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvvenc", "libopenh264"} <= ffmpeg.encoder_names()
    assert ffmpeg.version()


def test_a_machine_without_the_program_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("none")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(FileNotFoundError, match="pip install imageio-ffmpeg"):
        ffmpeg.executable.__wrapped__()


def test_a_failure_carries_ffmpegs_own_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^Error opening input: No such file or directory / "):
        ffmpeg.run(["-i", tmp_path / "none.mp4", "-f", "null", "-"])


def test_a_failing_encoder_is_heard_above_the_programs_reaction(reference: Reference, tmp_path: Path) -> None:
    for options, words in [
        (["libx264", "-preset", "bogus"], "invalid preset 'bogus'"),
        (["libvvenc", "-b:v", "80k", "-vvenc-params", "lookahead=0"], "Parameter Check Error: Look-ahead"),
    ]:
        with pytest.raises(ValueError, match=words):
            ffmpeg.write(["-i", reference.path, "-c:v", *options], tmp_path / "out.mp4")


def test_a_silent_failure_is_still_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = "[vost#0:0/libvvenc @ 0x1] [enc:libvvenc @ 0x2] [error] Error submitting video frame to the encoder\n"
    failed = subprocess.CompletedProcess([], 187, b"", log.encode())
    with monkeypatch.context() as patch:
        patch.setattr(ffmpeg, "_invoke", lambda *_: failed)
        with pytest.raises(ValueError, match=r"^Error submitting video frame to the encoder$"):
            ffmpeg.run([])
    monkeypatch.setattr(ffmpeg, "_message", lambda log: "")
    with pytest.raises(ValueError, match=r"^FFmpeg ended with code \d+ and without a message"):
        ffmpeg.run(["-i", tmp_path / "none.mp4"])


def test_writing_nothing_is_a_failure(reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No frame was written to 'out.mkv'"):
        ffmpeg.write(["-i", reference.path, "-vf", "select=0", "-c:v", "ffv1"], tmp_path / "out.mkv")


def test_frames_are_fed_and_packets_counted(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 32, 48, 3), dtype=np.uint8)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "48x32", "-r", "10", "-i", "pipe:0"]
    sizes = ffmpeg.write([*raw, "-c:v", "ffv1", "-pix_fmt", "bgr0"], tmp_path / "a.mkv", (f.tobytes() for f in frames))
    assert len(sizes) == 7
    facts = ffmpeg.inspect(tmp_path / "a.mkv")
    assert (facts.width, facts.height, facts.rate, len(facts.times)) == (48, 32, 10, 7)
    assert facts.times == pytest.approx(np.arange(7) / 10, abs=1e-3)


def test_inspection_of_a_video_without_frames(reference: Reference, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mkv"
    ffmpeg.run(["-i", reference.path, "-ss", "100", "-c", "copy", empty])
    with pytest.raises(ValueError, match=r"empty.mkv' cannot be read as video \("):
        ffmpeg.inspect(empty)
    only_header = tmp_path / "header.y4m"
    only_header.write_bytes(b"YUV4MPEG2 W64 H64 F25:1 Ip A1:1 C420jpeg\n")
    with pytest.raises(ValueError, match=r"header.y4m' yields no video frame"):
        ffmpeg.inspect(only_header)


def test_damaged_frames_are_counted_as_such(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-frames:v", "20"]
    ffmpeg.write([*source, "-c:v", "libx264", "-preset", "veryfast", "-crf", "36", "-threads", "1"], whole)
    assert ffmpeg.decode_counts(["-i", whole, "-f", "null", "-"], tmp_path) == [20]
    content = bytearray(whole.read_bytes())
    middle = content.index(b"mdat") + 1500
    content[middle : middle + 900] = bytes(900)
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"^\d+ frames could not be decoded; make the file again"):
        ffmpeg.decode_counts(["-i", tmp_path / "damaged.mp4", "-f", "null", "-"], tmp_path)


def test_jobs_keep_their_order_and_the_good_ones() -> None:
    def bad() -> int:
        raise ValueError("not today")

    results, failures = run_jobs({"a": lambda: 1, "b": bad, "c": lambda: 3}, "Testing", workers=2)
    assert results == {"a": 1, "c": 3}
    assert list(results) == ["a", "c"]
    assert failures == {"b": "not today"}


def test_a_job_that_breaks_otherwise_stops_all() -> None:
    def bug() -> int:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run_jobs({"a": bug}, "Testing")


def test_scratch_folders_vanish_and_leftovers_are_cleared(tmp_path: Path) -> None:
    with scratch(tmp_path / "new") as folder:
        (folder / "file").touch()
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "new" / ".partial-old").mkdir()
    clear_scratch(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be made"), scratch(tmp_path / "file" / "below"):
        pass


def test_settings_are_remembered(tmp_path: Path) -> None:
    remember(tmp_path, {"size": [4, 2], "seed": 0})
    remember(tmp_path, {"size": [4, 2], "seed": 0})
    with pytest.raises(ValueError, match=r"was built with size=\[4, 2\]; use"):
        remember(tmp_path, {"size": [8, 4], "seed": 0})
