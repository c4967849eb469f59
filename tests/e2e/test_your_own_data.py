"""The page for one's own data, followed command by command on small clips."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.data.predictions import read_predictions

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")
# The page's commands are shell; these two words stand for what `make setup` would have put on the path.
WORDS = f'cvqa() {{ "{sys.executable}" -m cvqa_models "$@"; }}; python() {{ "{sys.executable}" "$@"; }}\n'


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)


def lines() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as the page expects it, with three clips of a second."""
    for name in ("configs", "train.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "clips").mkdir()
    for name in ("testsrc2", "mandelbrot", "cellauto"):
        source = ["-f", "lavfi", "-i", f"{name}=size=320x180:rate=25", "-frames:v", "20", "-pix_fmt", "yuv420p"]
        ffmpeg.write([*source, "-c:v", "libx264", "-qp", "8"], tmp_path / "clips" / f"{name}.mp4")
    (ladder,) = blocks("yaml")
    (tmp_path / "ladder.yaml").write_text(re.sub("kbps: .*", "kbps: [100, 200, 400, 800]", ladder))
    return tmp_path


@pytest.mark.slow
def test_every_command_works_in_turn(project: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for line in lines():
        quick = " --trainer.max_epochs 1 --data.num_workers 0" if " fit " in line else ""
        done = subprocess.run(
            ["bash", "-c", WORDS + line + quick],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        allowed = (0, 2) if "build encode" in line else (0,)  # a rung out of reach is listed, and the rest kept
        assert done.returncode in allowed, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
    assert any((project / "data" / "features").iterdir())
    assert not (project / "features").exists()
    labels = pd.read_csv(project / "data" / "manifest.csv")
    assert set(labels["reference"]) == {"testsrc2", "mandelbrot", "cellauto"}
    assert labels.groupby("group")["mos"].min().eq(0).all()
    assert (labels["std"] > 0).all()
    predicted = read_predictions(project / "runs/mine/predictions.csv")
    tested = labels[labels["video_id"].isin(predicted)]
    assert tested["reference"].nunique() == 1
    submission = pd.read_csv(project / "runs/mine/submission.csv")
    assert len(submission) == len(predicted) == (labels["reference"] == tested["reference"].iloc[0]).sum()
    assert (project / "runs/mine/report.html").is_file()
