"""Every block of the pages on comparing encoders and on exports runs, in its order, and says what the page promises."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cvqa_models.corpus import ffmpeg
from tests.docs.page_blocks import ROOT, run_blocks

EXPORT = ROOT / "docs" / "how-to" / "export.md"
PAGE = ROOT / "docs" / "how-to" / "compare-encoders.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def encode(target: str, *options: str) -> None:
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        source = ["-f", "lavfi", "-i", "testsrc2=s=192x176:r=10:d=1"]
        ffmpeg.write([*source, *options], tmp_path / target)

    for source in ("city", "river"):
        for encoder, preset in (("x264", "veryslow"), ("x265", "ultrafast")):
            for crf in ("10", "35", "48"):
                quality = ["-crf", crf, "-g", "5" if source == "city" else "9"]
                encode(f"encodes/{source}/{encoder}/{crf}.mp4", "-c:v", "libx264", "-preset", preset, *quality)
    for name in ("x264", "x265", "svt-av1", "source"):
        encode(f"{name}.mp4", "-c:v", "libx264", "-crf", "0" if name == "source" else "30")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


@pytest.mark.slow  # it starts the program six times
def test_the_blocks_of_the_page_on_comparing_run(folder: Path) -> None:
    printed = run_blocks(PAGE, folder)
    said = re.findall(
        r"^x265 takes [\d.]+ % (?:less|more) rate than x264 for the same compression_level", printed, re.M
    )
    assert len(said) == 3
    assert re.search(r"^x265: [+-][\d.]+ %, 2 sources$", printed, re.M)
    names = {path.name for path in (folder / "report").iterdir()}
    assert {"comparison.html", "comparison.json", "comparison.csv", "scores.csv", "score-rates.png"} <= names
    assert len(re.findall(r"^```bash$", PAGE.read_text(encoding="utf-8"), re.M)) == 5


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs onnxruntime")
def test_the_blocks_of_the_page_on_exports_run(tmp_path: Path) -> None:
    ffmpeg.write(["-f", "lavfi", "-i", "testsrc2=s=192x176:r=10:d=1", "-c:v", "libx264"], tmp_path / "film.mp4")
    blocks = re.findall(r"^```bash\n(.*?)^```", EXPORT.read_text(encoding="utf-8"), re.M | re.S)
    script = f'cvqa() {{ "{sys.executable}" -m cvqa_models "$@"; }}\n' + "".join(blocks)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, check=True, timeout=500)
    names = {path.name for path in (tmp_path / "exported").iterdir()}
    assert names == {"README.md", "model.int8.onnx", "model.onnx", "view.json"}
