"""A scorer gives one video one score, whatever it comes as, from whatever thread or process."""

from __future__ import annotations

import io
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import cvqa_models
from cvqa_models.branches.table import Table
from cvqa_models.commands.score import score
from cvqa_models.corpus import ffmpeg
from cvqa_models.data.dataset import load_batch
from cvqa_models.inference.load import load
from cvqa_models.inference.scorer import Scorer
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.models.shipped_level import MEASURES
from cvqa_models.types import VideoRecord
from cvqa_models.video.reader import ReadOptions
from cvqa_models.weights.exact import digest


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of moving colours in lossless RGB, so that its frames are what a decoder gives."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    ffmpeg.write(
        ["-f", "lavfi", "-i", "testsrc2=size=192x144:rate=10:duration=2", "-c:v", "ffv1", "-pix_fmt", "gbrp"], path
    )
    return path


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load(device="cpu")


def frames_of(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


class Handler(SimpleHTTPRequestHandler):
    """Serves one folder, and answers some paths as they should not be."""

    def do_GET(self) -> None:
        kinds = {"/page.mp4": ("text/html", b"<p>Log in</p>"), "/sly.mp4": ("video/mp4", b"\n<!DOCTYPE html><html>")}
        name = self.path.partition("?")[0]
        if name in kinds or name == "/short.mp4":
            kind, body = kinds.get(name, ("video/mp4", b"12345"))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) + 5 * (name == "/short.mp4")))
            self.end_headers()
            self.wfile.write(body)
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(clip: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(clip.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_video_gets_the_bits_that_prediction_gives_it(clip: Path, scorer: Scorer) -> None:
    model = shipped_model()
    batch = load_batch([VideoRecord("v", str(clip), "g", "r")], model.demands, None, ReadOptions())
    with torch.inference_mode():
        expected = model.predict_step(batch, 0)[0].score
    found = scorer(clip)
    assert scorer.model.calibration is not None
    assert (found.value, *found.interval) == scorer.model.calibration(expected)
    assert found.scale.startswith(MEASURES)
    assert (found.seconds, found.notes) == ((), ("smaller (192x144) than the level's training videos",))
    assert found.duration == pytest.approx(2)
    about = found.provenance
    assert (about.model, about.weights) == ("CompressionLevelModel", digest(model))
    assert (about.precision, about.version) == ("32-true", cvqa_models.__version__)
    assert about.decoder.startswith("pyav-")


def test_the_command_says_the_same(clip: Path, scorer: Scorer, capsys: pytest.CaptureFixture[str]) -> None:
    score([clip])
    found = scorer(clip)
    low, high = found.interval
    assert capsys.readouterr().out.splitlines()[1] == f"{clip},{found.value},{low},{high},{found.notes[0]}"


def test_whatever_a_video_comes_as_it_gets_one_score(clip: Path, scorer: Scorer, site: str) -> None:
    expected = scorer(clip)
    with clip.open("rb") as file:
        file.seek(7)
        assert scorer(file) == expected
        assert file.tell() == 7
    assert scorer(io.BytesIO(clip.read_bytes())) == expected
    assert scorer(str(clip)) == expected
    assert scorer(f"{site}/clip.mkv?token=secret") == expected
    frames = frames_of(clip)
    found = [
        scorer(frames, fps=10),
        scorer(torch.from_numpy(frames), fps=10),
        scorer(frames[:, :, ::-1][:, :, ::-1], fps=10),
    ]
    # Lossless RGB needs no conversion, so that even frames in memory give the bits of the file.
    assert {one.value for one in found} == {expected.value}
    assert found[0].duration == pytest.approx(expected.duration)
    assert found[0].provenance.decoder == "frames in memory"


def test_seconds_are_told_when_asked_for(clip: Path, scorer: Scorer) -> None:
    found = scorer(clip, seconds=True)
    assert found.value == pytest.approx(scorer(clip).value, abs=1e-4)
    assert len(found.seconds) == 2
    assert scorer(frames_of(clip), fps=10, seconds=True).seconds == found.seconds


def test_a_scorer_survives_pickling(clip: Path, scorer: Scorer) -> None:
    assert pickle.loads(pickle.dumps(scorer))(clip) == scorer(clip)


def test_threads_share_a_scorer(clip: Path, scorer: Scorer) -> None:
    expected = scorer(clip)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(scorer, [clip] * 8)) == [expected] * 8


def test_the_level_runs_on_one_thread_and_leaves_the_number_as_it_was(clip: Path, scorer: Scorer) -> None:
    before, seen = torch.get_num_threads(), []
    hook = scorer.model.branches["level"].net.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    expected = scorer(clip).value
    try:
        torch.set_num_threads(2)
        assert scorer(clip).value == expected
        assert scorer(clip, seconds=True).value == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
        hook.remove()
    assert set(seen) == {1}


@pytest.mark.parametrize(
    ("make", "fps", "message"),
    [
        (lambda: np.zeros((4, 64, 64, 3), np.float32), 25, r"Frames are of type float32; expected uint8"),
        (lambda: torch.zeros(4, 64, 64, 3), 25, r"Frames are of type float32; expected uint8"),
        (lambda: np.zeros((4, 3, 64, 64), np.uint8), 25, r"Frames have the shape 4x3x64x64; expected \(T, H, W, 3\)"),
        (lambda: np.zeros((64, 64, 3), np.uint8), 25, r"Frames have the shape 64x64x3; expected \(T, H, W, 3\)"),
        (lambda: np.zeros((0, 64, 64, 3), np.uint8), 25, r"expected \(T, H, W, 3\), with one frame or more"),
        (lambda: np.zeros((4, 64, 64, 3), np.uint8), None, r"`fps` is None; frames in memory need their rate"),
        (lambda: np.zeros((4, 64, 64, 3), np.uint8), float("nan"), r"`fps` is nan; frames in memory need their rate"),
        (lambda: [[1]], None, r"The video is of type list; expected a path, an address, a file opened in binary mode"),
        (lambda: "clip.mp4", 25, r"`fps` is 25, but a file says its own rate"),
        (lambda: io.StringIO("text"), None, r"'the open file' gives text; open it in binary mode"),
        (lambda: os.fdopen(os.pipe()[0], "rb"), None, r"cannot be read from its start, as a pipe cannot"),
    ],
)
def test_what_is_no_video_is_refused(scorer: Scorer, make, fps: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scorer(make(), fps=fps)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.mp4", r"^'http://127\.0\.0\.1:\d+/gone\.mp4' answers 404 \(File not found\)"),
        ("page.mp4", r"/page\.mp4' gives a web page, not a video; give the address of the file itself"),
        ("sly.mp4?token=secret", r"/sly\.mp4' gives a web page"),
        ("short.mp4", r"/short\.mp4' gave 5 of 10 bytes; try again"),
        ("empty.mp4", r"^'http://127\.0\.0\.1:\d+/empty\.mp4' is empty \(0 bytes\)"),
    ],
)
def test_an_address_that_gives_no_video_is_named(
    scorer: Scorer, site: str, clip: Path, name: str, message: str
) -> None:
    (clip.parent / "empty.mp4").touch()
    with pytest.raises(ValueError, match=message) as caught:
        scorer(f"{site}/{name}")
    assert "secret" not in str(caught.value)


def test_an_address_that_nobody_answers(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match=r"'http://127\.0\.0\.1:9/x\.mp4' cannot be reached \(.*refused"):
        scorer("http://127.0.0.1:9/x.mp4?token=secret")


def test_a_damaged_open_file_is_called_by_its_name(scorer: Scorer, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mkv").write_bytes(clip.read_bytes()[:900])
    with (tmp_path / "cut.mkv").open("rb") as file, pytest.raises(ValueError, match=rf"^'{tmp_path}/cut\.mkv' "):
        scorer(file)


def test_frames_in_memory_have_no_source(clip: Path) -> None:
    with pytest.raises(ValueError, match="Frames in memory have no source beside them"):
        load("ms_ssim", device="cpu")(frames_of(clip), fps=10, reference=clip)


def test_a_model_of_measured_values_scores_no_video(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("video_id,psnr\nv0,30\n")
    model = MultiBranch({"table": Table(str(tmp_path / "metrics.csv"), columns=["psnr"])})
    with pytest.raises(ValueError, match="MultiBranch takes measured values as `table`, which no video tells; use"):
        Scorer(model, device="cpu").check()
