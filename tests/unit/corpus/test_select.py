from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.select import choose, chosen_clips, complexity, measure_complexity, scatter


def _clip(path: Path, source: str, frames: int = 65) -> Path:
    ffmpeg.write(["-f", "lavfi", "-i", source, "-frames:v", str(frames), "-c:v", "ffv1", "-pix_fmt", "yuv420p"], path)
    return path


def test_noise_is_complex_in_space_and_motion_in_time(tmp_path: Path) -> None:
    flat = complexity(_clip(tmp_path / "flat.mkv", "color=gray:size=96x64:rate=25"))
    moving = complexity(_clip(tmp_path / "moving.mkv", "mandelbrot=size=96x64:rate=25"))
    noise = complexity(_clip(tmp_path / "noise.mkv", "color=gray:size=96x64:rate=25,noise=alls=60:allf=t"))
    assert flat[0] < moving[0] < noise[0]
    assert moving[1] < noise[1]
    assert 0 < noise[0] < 1
    assert noise[1] == pytest.approx(1, abs=0.35)  # new noise cannot be predicted: P costs what I costs


def test_broken_clips_are_listed_and_the_rest_measured(tmp_path: Path) -> None:
    good = _clip(tmp_path / "good.mkv", "testsrc2=size=95x63:rate=25", 5)  # an odd size too
    single = _clip(tmp_path / "single.mkv", "testsrc2=size=96x64:rate=25", 1)
    (tmp_path / "broken.mp4").write_bytes(b"x")
    clips = {"good": good, "single": single, "broken": tmp_path / "broken.mp4"}
    table, failures = measure_complexity(clips)
    assert table["video_id"].tolist() == ["good"]
    assert "has one frame; motion needs two" in failures["single"]
    assert "cannot be read as video" in failures["broken"]


def test_clusters_are_found_on_standardised_axes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.1, 0.001], [0.1, 0.009], [0.3, 0.005]])
    points = np.repeat(centres, 20, axis=0) + rng.normal(0, 1, (60, 2)) * [0.01, 0.0003]
    table = pd.DataFrame(points, columns=["spatial", "temporal"]).assign(video_id=[f"c{n}" for n in range(60)])
    chosen = choose(table, 3, 2)
    truth = np.repeat([0, 1, 2], 20)
    assert pd.crosstab(truth, chosen["cluster"]).max().tolist() == [20, 20, 20]
    assert chosen.groupby("cluster")["chosen"].sum().tolist() == [2, 2, 2]
    scatter(chosen, tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ValueError, match=r"taken\.png' cannot be written .*; free space or choose another folder"):
        scatter(chosen, tmp_path / "taken.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video_id,chosen\na,True\n", "has no column 'path'"),
        ("path,chosen\na.mp4,yes\n", "selection.csv': `chosen` is 'yes'; expected True or False"),
        ("path,chosen\na.mp4,False\n", "selection.csv' marks no clip as `chosen`; write True"),
        ("path,chosen\nx/a.mp4,True\ny/a.mp4,True\n", "have one stem; rename one of them"),
    ],
)
def test_a_malformed_selection_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "selection.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        chosen_clips(tmp_path / "selection.csv")


def test_a_selection_gives_what_it_marks(tmp_path: Path) -> None:
    (tmp_path / "selection.csv").write_text("path,chosen\n../clips/a.mp4,True\n/far/b.mkv,true\nc.mp4,False\n")
    expected = {"a": tmp_path / "../clips/a.mp4", "b": Path("/far/b.mkv")}
    assert chosen_clips(tmp_path / "selection.csv") == expected


def test_impossible_wishes_are_refused() -> None:
    table = pd.DataFrame({"spatial": [0.1], "temporal": [0.2], "video_id": ["a"]})
    with pytest.raises(ValueError, match="1 clips cannot form 2 clusters"):
        choose(table, 2, 1)
    with pytest.raises(ValueError, match="`clusters` is 0 and `candidates` is 1"):
        choose(table, 0, 1)
