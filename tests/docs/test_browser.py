"""The site and a report in Chromium: no error on the console, no missing picture, headings in order."""

from __future__ import annotations

import base64
import math
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from cvqa_models.evaluation.rate_distortion import compare
from cvqa_models.report.comparison import write_comparison
from cvqa_models.report.page import write_report
from cvqa_models.report.tables import join
from cvqa_models.types import VideoRecord
from tests.unit.evaluation.encodes import rows, write

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
)
SHOWN = ("index", "architecture", "api", "systems/index", "systems/flagship", "checkpoints/compression_level")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


def faults(page: Path, profile: Path) -> list[str]:
    """Return what the browser says on its console of a page, missing pictures, levels left out by headings."""
    assert CHROMIUM is not None
    flags = [*FLAGS.split(), "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=240, check=True
    )
    found = re.findall(r"CONSOLE.*", done.stderr)
    for source in re.findall(r"<img\b[^>]*\bsrc=\"([^\"]*)\"", done.stdout):
        data = source.partition("data:image/png;base64,")[2]
        there = base64.b64decode(data).startswith(b"\x89PNG") if data else (page.parent / source).is_file()
        found += [] if there else [f"no picture {source[:80]}"]
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", done.stdout)]
    steps = zip([0, *levels], levels, strict=False)
    found += [f"a heading of level {after} after {before}" for before, after in steps if after > before + 1]
    return found if levels else [*found, "no heading"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("mkdocs") is None:
        pytest.skip("needs mkdocs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_is_whole(site: Path, tmp_path: Path) -> None:
    found = {name: faults(site / f"{name}.html", tmp_path / "profile") for name in SHOWN}
    assert not any(found.values()), found


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loaded = re.compile(
        r"<(?:script|img|source|iframe)[^>]+src=\"(?:https?:)?//|<link[^>]+stylesheet[^>]+href=\"(?:https?:)?//"
    )
    assert [page.name for page in site.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))] == []


def test_a_report_is_whole(tmp_path: Path) -> None:
    records = [
        VideoRecord(f"v{number}", None, "r/fast", "r", mos=float(number), codec="hevc", bitrate_kbps=100.0 + number)
        for number in range(15)
    ]
    frame = join(records, {record.video_id: math.sin(record.mos) for record in records})
    log = pd.DataFrame({"epoch": [0, 1], "step": [3, 7], "train/loss": [1.0, 0.5], "val/result": [0.3, 0.4]})
    assert faults(write_report(tmp_path / "run", frame, log), tmp_path / "profile") == []


def test_a_comparison_is_whole(tmp_path: Path) -> None:
    encodes = [{**row, "mos": row["score"]} for row in rows()]
    manifest, scores = write(tmp_path, encodes)
    page = write_comparison(compare(manifest, anchor="x264", scores=scores), tmp_path / "out")
    assert faults(page, tmp_path / "profile") == []


def test_a_fault_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><h1>One</h1><h3>Three</h3><img src=gone.png><script>nothing()</script>")
    program, picture, heading = faults(page, tmp_path / "profile")
    assert "nothing is not defined" in program
    assert picture == "no picture gone.png"
    assert heading == "a heading of level 3 after 1"
