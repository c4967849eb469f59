"""The tutorials and the notebook on a panel's own videos, run as they stand on 24 small ones."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from cvqa_models import __main__
from cvqa_models.corpus import ffmpeg
from cvqa_models.data.predictions import read_predictions
from cvqa_models.training import cli, sweep

ROOT = Path(__file__).resolve().parents[2]
SCENES = {
    "beach": "testsrc2=s=128x96:r=10",
    "city": "mandelbrot=s=128x96:r=10",
    "forest": "testsrc2=s=128x96:r=10,rotate=0.4",
    "river": "testsrc=s=128x96:r=10",
}
RATES = (30, 34, 38, 42, 46, 50)


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a user, with videos of four scenes at six rates; a video is liked the less the coarser it is."""
    folder = tmp_path_factory.mktemp("panel")
    (folder / "upload").mkdir()
    rows = ["file,score,scene"]
    for place, (scene, source) in enumerate(SCENES.items()):
        for rate in RATES:
            name = f"{scene}_{rate}.mp4"
            encode = ["-f", "lavfi", "-i", source, "-frames:v", "12", "-pix_fmt", "yuv420p", "-c:v", "libx264"]
            ffmpeg.write([*encode, "-crf", str(rate)], folder / "upload" / name)
            rows.append(f"{name},{11 - rate / 5 + place / 10:.2f},{scene}")
    (folder / "upload" / "scores.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def here(upload: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(upload)
    return upload


def follow(page: str, **smaller: str) -> None:
    """Write the YAML blocks of a tutorial to the files that they name, and run its commands in turn.

    `smaller` gives settings other values, so that what takes minutes takes seconds.
    """
    text = (ROOT / "docs/tutorials" / page).read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```(?:yaml|bash)\n.*?^```\n", text, re.M | re.S))  # the prose may name a setting too
    for setting, value in smaller.items():
        blocks, count = re.subn(rf"(\b{setting}:?) \d+( \d+)*", rf"\1 {value}", blocks)
        assert count == 1, setting
    for name, block in re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", blocks, re.M | re.S):
        Path(name).write_text(block)
    for line in "".join(re.findall(r"^```bash\n(.*?)^```", blocks, re.M | re.S)).splitlines():
        words = [file for word in shlex.split(line)[1:] for file in (sorted(map(str, Path().glob(word))) or [word])]
        assert line.startswith("cvqa ")
        code = __main__._run(words)
        assert code == 0 or not isinstance(code, int), line


def test_the_tutorials_run_as_they_stand(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sweep's own processes are tested elsewhere, and each takes a start.
    monkeypatch.setattr(sweep, "_fit", lambda words: cli.run_cli(["fit", *words]) and 0)
    follow("train.md")
    assert len(pd.read_csv("scores.csv")) == len(SCENES) * len(RATES)
    assert len(read_predictions(Path("runs/mine/predictions.csv"))) == len(RATES)
    assert Path("runs/mine/report.html").is_file()
    follow("crossval.md")
    shown = capsys.readouterr().out
    assert "24 videos in 4 groups, all out of fold" in shown
    assert "linear" in shown.partition("validation, mean and deviation")[2]
    assert len(read_predictions(Path("runs/crossval/linear.csv"))) == len(SCENES) * len(RATES)
    follow("finetune.md", seeds="0")
    shown = capsys.readouterr().out
    assert "trained" in shown.partition("validation, mean and deviation")[2]
    assert "6 videos in 1 groups" in shown


def test_the_notebook_runs_from_its_first_cell_to_its_last(here: Path) -> None:
    notebook = json.loads((ROOT / "examples/4_from_upload_to_report.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"cell {number}", "exec"), names)
    assert names["page"].is_file()
    assert names["done"].written == len(SCENES) * len(RATES)
    assert names["evaluation"].result > 0.8
    assert not any(cell.get("outputs") for cell in notebook["cells"])
