"""kill -9 at random moments of each command that writes: a rerun gives what an uninterrupted run gives."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.synthetic import mini
from tests.faults.conftest import TRIES
from tests.faults.processes import finish, kill_after, start, wait
from tests.unit.data.footage import make_videos

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore")]

MODEL = """
model:
  class_path: cvqa_models.models.multibranch.MultiBranch
  init_args:
    loss: {{class_path: cvqa_models.losses.grouped.GroupLoss}}
    branches:
      timm:
        class_path: cvqa_models.branches.timm.Timm
        init_args:
          name: test_vit
          view:
            frames: {{class_path: cvqa_models.video.frame_rules.KeyFrames, init_args: {{num_clips: 2}}}}
            pixels: {{class_path: cvqa_models.video.pixel_rules.Crop, init_args: {{size: 32, short: 32}}}}
          frozen: true
data:
  source: {{class_path: cvqa_models.data.manifest.Manifest, init_args: {{path: {manifest}}}}}
"""
LADDER = "encoders: [x264, openh264]\npresets: [fast]\nkbps: [60, 120]\ntolerance: 0.3\n"


@dataclass
class Case:
    """A command.

    Attributes:
        words: It writes to the folder `OUT`, which stands in the words as `{out}`.
        old: Makes what lay in that folder before; nothing where runs go on from what is there.
    """

    words: list[str]
    old: Callable[[Path], object] = lambda folder: folder.mkdir()


def _clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = ["-f", "lavfi", "-i", "mandelbrot=size=96x64:rate=25", "-frames:v", "10", "-pix_fmt", "yuv420p"]
    ffmpeg.write([*source, "-c:v", "ffv1"], path)
    return path


def _extract(folder: Path) -> Case:
    videos = make_videos(folder / "videos", 6)
    rows = "".join(f"{one.video_id},{one.path}\n" for one in videos)
    (folder / "manifest.csv").write_text("video_id,path\n" + rows)
    (folder / "config.yaml").write_text(MODEL.format(manifest=folder / "manifest.csv"))
    return Case(["extract", "--config", str(folder / "config.yaml"), "--store", "{out}", "--device", "cpu"])


def _encode(folder: Path) -> Case:
    for name in ("one", "two"):
        _clip(folder / "clips" / f"{name}.mkv")
    (folder / "ladder.yaml").write_text(LADDER)
    words = ["--references", str(folder / "clips"), "--ladder", str(folder / "ladder.yaml"), "--root", "{out}"]
    return Case(["build", "encode", *words, "--workers", "2"])


def _mini(folder: Path) -> Case:
    _clip(folder / "clips" / "one.mkv")
    words = ["--references", str(folder / "clips"), "--root", "{out}", "--width", "96", "--height", "64"]
    return Case(["build", "mini", *words, "--workers", "2"])


def _export(folder: Path) -> Case:
    state = {f"layer{n}": torch.full((500, 1000), float(n)) for n in range(4)}
    torch.save({"state_dict": state}, folder / "last.ckpt")
    return Case(["export", str(folder / "last.ckpt"), "--out", "{out}/weights.safetensors"], _older)


def _table(folder: Path, videos: int = 200) -> Path:
    rng, path = np.random.default_rng(0), folder / "predictions.csv"
    lines = [f"v{n},{rng.random():.6f},g{n % 20},r{n % 20}\n" for n in range(videos)]
    path.write_text("video_id,score,group,reference\n" + "".join(lines))
    (folder / "scores.csv").write_text("video_id,mos,group,reference\n" + "".join(lines))
    return path


def _submit(folder: Path) -> Case:
    return Case(["submit", str(_table(folder)), "--out", "{out}/prediction.zip", "--layout", "kvq"], _older)


def _report(folder: Path) -> Case:
    predictions = _table(folder)
    words = ["--scores", str(folder / "scores.csv"), "--predictions", str(predictions)]
    return Case(["report", "--run", "{out}", *words], _older)


def _older(folder: Path) -> None:
    folder.mkdir()
    for name in ("weights.safetensors", "prediction.zip", "report.html", "predictions.png"):
        (folder / name).write_bytes(b"older")


def _visible(folder: Path) -> dict[str, object]:
    """Return the content of each file that is not hidden; of a card only what does not measure this machine's time."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[str(name)] = path.read_bytes()
            if path.suffix == ".json" and isinstance(content := json.loads(path.read_bytes()), dict):
                # Seconds are measured, and cards of proxies name the times of their files.
                found[str(name)] = {
                    key: content[key] for key in content if key not in ("seconds", "video", "reference")
                }
    return found


CASES = {
    "extract": _extract, "build encode": _encode, "build mini (demo)": _mini, "export": _export, "submit": _submit,
    "report": _report,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_rerun_after_a_kill_gives_what_an_uninterrupted_run_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Callable[[str, int, int], None], name: str
) -> None:
    monkeypatch.setattr(mini, "MULTIPLES", {"x264": (0.5, 2.5), "openh264": (4.4,)})
    monkeypatch.setattr(mini, "PRESETS", ("fast",))
    case, log = CASES[name](tmp_path), tmp_path / "log"

    def words(out: Path) -> list[str]:
        return [word.format(out=out) for word in case.words]

    out = tmp_path / "out"  # the same folder each time, since reports and settings name it
    case.old(out)
    before = _visible(out)
    seconds = min(finish(words(out), log), _again(words(out), log, case, out))
    whole, rng, killed, survived = _visible(out), random.Random(0), 0, 0
    while killed < TRIES:
        shutil.rmtree(out)
        case.old(out)
        if not kill_after(rng.uniform(0, seconds), words(out), log):
            continue
        killed += 1
        left = _visible(out)
        kept = all(content in (before.get(file), whole.get(file)) for file, content in left.items() if file in before)
        finish(words(out), log)
        survived += kept and _visible(out) == whole
    count(f"kill -9 of {name}", TRIES, survived)


def _again(words: list[str], log: Path, case: Case, out: Path) -> float:
    """Return the seconds of a run from the beginning, whose first was slower for what the disk did not hold yet."""
    shutil.rmtree(out)
    case.old(out)
    return finish(words, log)


def test_a_bulk_run_that_is_killed_ends_with_the_rows_of_one_that_is_not(
    tmp_path: Path, count: Callable[[str, int, int], None]
) -> None:
    for number in range(12):
        shutil.copy(_clip(tmp_path / "clip.mkv"), _made(tmp_path / "library" / f"{number}.mkv"))
    (tmp_path / "library" / "broken.mp4").write_bytes(b"broken")
    out, log = tmp_path / "out" / "rows.jsonl", tmp_path / "log"
    words = ["score", str(tmp_path / "library"), "--out", str(out), "--workers", "2"]
    begin = time.monotonic()
    assert wait(start(words, log)) == 2  # for the broken one
    seconds, whole = time.monotonic() - begin, sorted(out.read_text().splitlines())
    assert len(whole) == 13
    rng, killed, survived = random.Random(0), 0, 0
    while killed < TRIES:
        out.unlink(missing_ok=True)
        first = killed
        while killed < min(first + 4, TRIES) and kill_after(rng.uniform(0, seconds), words, log):
            killed += 1
        assert wait(start(words, log)) == 2
        survived += (killed - first) * (sorted(out.read_text().splitlines()) == whole)
    count("kill -9 of score --out", TRIES, survived)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_demo_that_is_killed_again_and_again_ends_as_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Callable[[str, int, int], None]
) -> None:
    monkeypatch.setattr(mini, "SCENES", mini.SCENES[:4])
    # As many to a group as the official evaluation asks for.
    monkeypatch.setattr(mini, "MULTIPLES", {"x264": tuple(0.4 * 1.25**step for step in range(15))})
    monkeypatch.setattr(mini, "PRESETS", ("fast",))
    run, data, log = tmp_path / "run", tmp_path / "data", tmp_path / "log"
    words = ["demo", "--run", str(run), "--data", str(data)]
    seconds = finish(words, log)
    whole, rng, killed, survived = _results(run, data), random.Random(0), 0, 0
    assert len(whole) > 30
    while killed < TRIES:
        shutil.rmtree(run)
        shutil.rmtree(data)
        before = killed
        while killed < min(before + 20, TRIES) and kill_after(rng.uniform(0, seconds / 4), words, log):
            killed += 1
        if not (run / "report.html").exists():
            finish(words, log)
        found = _results(run, data)
        differing = [name for name in {**whole, **found} if whole.get(name) != found.get(name)]
        print("differs from an uninterrupted demo:", differing)  # shown where the count is not full
        survived += (killed - before) * (not differing)
    count("kill -9 of demo", TRIES, survived)


def _results(run: Path, data: Path) -> dict[str, object]:
    """Return what a demo ends with: its data set, features, predictions, submission, evaluation and report."""
    names = ("predictions.csv", "submission.csv", "evaluation.json", "report.html", "predictions.png")
    return _visible(data) | {name: (run / name).read_bytes() for name in names if (run / name).exists()}
