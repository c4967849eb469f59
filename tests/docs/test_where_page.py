"""Every block of the page on where a video is bad runs, in its order, and says what the page promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cvqa_models.corpus import ffmpeg
from tests.docs.page_blocks import ROOT, run_blocks

PAGE = ROOT / "docs" / "how-to" / "where-is-it-bad.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A film of two scenes, the second of which stands still for half a second, encodes of it, and two runs."""
    sources = ["-f", "lavfi", "-i", "mandelbrot=s=192x144:r=10", "-f", "lavfi", "-i", "testsrc2=s=192x144:r=10"]
    still = "loop=loop=5:size=1:start=4,setpts=N/FRAME_RATE/TB"
    graph = f"[0:v]trim=end_frame=10[a];[1:v]trim=end_frame=10,hue=h=90,{still}[b];[a][b]concat=n=2,format=yuv420p"
    for name, crf in (("film", "12"), ("x264", "30"), ("x265", "40")):
        ffmpeg.write([*sources, "-lavfi", graph, "-c:v", "libx264", "-crf", crf], tmp_path / f"{name}.mp4")
    rows = [f"{name},{name}.mp4,g{k // 3},r{k // 3},{k},x264" for k, name in enumerate("abcdef")]
    (tmp_path / "labels.csv").write_text("\n".join(["video_id,path,group,reference,mos,codec", *rows]))
    (tmp_path / "f.mp4").write_bytes((tmp_path / "film.mp4").read_bytes())
    for run, order in (("mine", (1, 2, 3, 1, 2, 4)), ("other", (1, 3, 2, 1, 2, 4))):
        (tmp_path / "runs" / run).mkdir(parents=True)
        table = ["video_id,score", *(f"{name},{score}" for name, score in zip("abcdef", order, strict=True))]
        (tmp_path / "runs" / run / "predictions.csv").write_text("\n".join(table))
    return tmp_path


@pytest.mark.slow  # it starts the program seven times
def test_the_blocks_of_the_page_run(folder: Path) -> None:
    printed = run_blocks(PAGE, folder)
    heads = re.findall(r"^    (video,compression_level,mean.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert heads[0] in printed
    assert re.search(r"^\['1\.0'\] 0\.[56]", printed, re.M)
    assert re.search(r"^worst scene: from (0\.0|1\.0) s, [\d.]+; pooled: [\d.]+$", printed, re.M)
    assert len(json.loads((folder / "frames.vmaf.json").read_text())["frames"]) == 25
    assert len((folder / "scenes.csv").read_text().splitlines()) == 3
    for name in ("film.png", "film.csv", "both.svg", "maps/film.mp4.png", "maps/film.mp4.mp4", "runs/mine/runs.html"):
        assert (folder / name).stat().st_size > 100
    assert "<h2>Most misjudged</h2>" in (folder / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
