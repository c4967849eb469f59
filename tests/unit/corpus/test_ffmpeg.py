import contextlib
import errno
import subprocess
import sys
import threading
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.folder import building, keep, read_card, remember, scratch
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.corpus.labels import pseudo_labels
from cvqa_models.corpus.references import Reference

ENDLESS = ["-re", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25", "-f", "null", "-"]


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


@pytest.mark.parametrize("name", ["clip:12", "-dash", "50% of %d", "a'b", "a\\b", "a,b;c", "[0:v]", "file:x", "a b"])
def test_any_name_reaches_the_program_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    video = Path(f"{name}.mp4")
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25", "-frames:v", "3"]
    assert len(ffmpeg.write([*source, "-c:v", "libx264"], video)) == 3
    assert [path.name for path in tmp_path.iterdir()] == [video.name]
    assert len(ffmpeg.inspect(video).times) == 3
    assert ffmpeg.frame_hash(video).startswith("0,v,MD5=")
    measured = pseudo_labels.measure(video, video, Path("cards") / f"{name}.json")
    assert measured["psnr"] == 60  # libvmaf's value for equal pictures of 8 bit


def test_a_program_that_is_killed_is_a_failure_of_its_own_job(tmp_path: Path) -> None:
    def killed() -> str:
        threading.Timer(0.2, lambda: [process.kill() for process in list(ffmpeg._running)]).start()
        return ffmpeg.run(ENDLESS)

    results, failures = run_jobs({"a": lambda: 1, "b": killed, "c": lambda: 3}, "Testing", workers=1)
    assert results == {"a": 1, "c": 3}
    assert failures == {"b": "FFmpeg was ended by SIGKILL, as when memory runs out; try again with fewer workers."}


def test_programs_are_ended_and_others_do_not_last_where_the_caller_is_stopped() -> None:
    def job() -> None:
        for _ in range(3):  # as a ladder goes on with its next rung
            with contextlib.suppress(ValueError):
                ffmpeg.run(ENDLESS)

    def stop() -> None:
        deadline = time.monotonic() + 60
        while not ffmpeg._running and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs({"stop": stop, "a": job, "b": job, "c": job}, "Testing", 3)
    assert not ffmpeg._running
    assert len(ffmpeg.run(["-version"])) > 0  # the next run is free to start programs


def test_scratch_folders_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scratch(tmp_path / "new") as folder:
        (folder / "file").touch()
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match=r"below' cannot be written \(.*\); free space"),
        scratch(tmp_path / "file/below"),
    ):
        pass

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cvqa_models.corpus.folder.tempfile.TemporaryDirectory", full)
    with pytest.raises(ValueError, match=r"new' cannot be written \(No space left"), scratch(tmp_path / "new"):
        pass


def test_what_a_killed_builder_left_is_cleared_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cvqa_models.corpus.folder import building, scratch\n"
        "with building(Path(sys.argv[1])), scratch(Path(sys.argv[1]) / 'references'):\n"
        "    print('building', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None
        builder.stdout.readline()
        with pytest.raises(ValueError, match=r"Another process is building in '.*'; wait"), building(tmp_path):
            pass
        assert len(list(tmp_path.glob("references/.partial-*"))) == 1
        builder.kill()
        builder.wait()
        (tmp_path / ".partial-old").mkdir()
        with building(tmp_path):
            assert {path.name for path in tmp_path.rglob("*")} == {".build.lock", "references"}


def test_a_builder_stopped_by_a_signal_leaves_nothing_and_lets_go(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), building(tmp_path), scratch(tmp_path / "videos"):
        raise KeyboardInterrupt
    with building(tmp_path):
        assert not list((tmp_path / "videos").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file' cannot be written \(.*\); free"), building(tmp_path / "file"):
        pass


def test_a_disk_that_refuses_a_finished_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "part").touch()
    (tmp_path / "target").mkdir()
    with pytest.raises(ValueError, match=r"target' cannot be written \(Is a directory\); free space"):
        keep(tmp_path / "part", tmp_path / "target")


def test_a_card_that_is_not_whole_counts_as_absent(tmp_path: Path) -> None:
    assert read_card(tmp_path / "none.json") is None
    for content in (b"", b'{"a": 1', b"\xff\xfe"):
        (tmp_path / "card.json").write_bytes(content)
        assert read_card(tmp_path / "card.json") is None
    (tmp_path / "card.json").write_text('{"a": 1}')
    assert read_card(tmp_path / "card.json") == {"a": 1}


def test_settings_are_remembered(tmp_path: Path) -> None:
    remember(tmp_path, {"size": [4, 2], "seed": 0})
    remember(tmp_path, {"size": [4, 2], "seed": 0})
    with pytest.raises(ValueError, match=r"was built with size=\[4, 2\]; use"):
        remember(tmp_path, {"size": [8, 4], "seed": 0})
