"""Residuals and calibration against lines of NumPy and SciPy, and a report that shows the videos behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress

from cvqa_models.inference.heat import eyes_of
from cvqa_models.report.colours import looks
from cvqa_models.report.residuals import calibration_figure, fitted, residual_figure
from cvqa_models.report.run import report_run
from cvqa_models.video.reader import ReadOptions
from tests.unit.data.footage import make_videos


def frame(count: int = 24) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({
        "video_id": [f"v{k}" for k in range(count)],
        "group": [f"g{k % 3}" for k in range(count)],
        "reference": [f"source{k % 3}" for k in range(count)],
        "codec": [("x265", "x264")[k % 2] for k in range(count)],
        "bitrate_kbps": 100.0 + 50 * np.arange(count),
        "mos": 40 + 2.0 * np.arange(count) + random.normal(size=count),
        "score": np.arange(count) * 0.1 + (np.arange(count) % 3) * 7,
    })  # fmt: skip


def test_predictions_are_put_on_the_labels_scale_by_each_groups_own_line() -> None:
    table = frame()
    found = fitted(table)
    for _, own in table.groupby("group"):
        line = np.polyfit(own["score"], own["mos"], 1)
        assert found[own.index] == pytest.approx(np.polyval(line, own["score"]))


def test_a_reversed_group_is_predicted_by_its_mean_and_a_single_video_by_nothing() -> None:
    table = pd.DataFrame({"group": list("aaabcc"), "mos": [1, 2, 6, 4, 1, np.nan], "score": [3.0, 2, 1, 9, 5, 5]})
    assert fitted(table) == pytest.approx([3, 3, 3, np.nan, np.nan, np.nan], nan_ok=True)
    assert residual_figure(table[table["group"] == "b"].assign(codec="x", reference="r", bitrate_kbps=1.0)) is None


def test_residuals_stand_by_codec_rate_and_source_in_the_colour_of_their_codec() -> None:
    table = frame()
    off = fitted(table) - table["mos"]
    figure = residual_figure(table)
    assert figure is not None
    codec, rate, source = figure.axes
    assert rate.get_xlabel() == "bitrate, kb/s"
    assert "points of the labels' scale" in codec.get_ylabel()
    style = looks(["x264", "x265"])
    for line, name in zip(rate.lines, sorted(style), strict=False):
        own = table["codec"] == name
        assert line.get_color() == style[name].colour
        assert line.get_xydata() == pytest.approx(np.stack([table["bitrate_kbps"][own], off[own]], axis=1))
    bars = [line for line in codec.lines if line.get_color() == "#1a1a1a"]
    means = [bar.get_ydata()[0] for bar in bars]
    assert means[:2] == pytest.approx([off[table["codec"] == name].mean() for name in sorted(style)])
    spread = {name: float((off[table["reference"] == name] ** 2).mean()) for name in set(table["reference"])}
    assert [text.get_text() for text in source.get_xticklabels()] == sorted(spread, key=lambda name: -spread[name])


def test_calibration_draws_the_least_squares_line_of_all_groups() -> None:
    table = frame()
    figure = calibration_figure(table)
    assert figure is not None
    [axis] = figure.axes
    line = linregress(table["score"], table["mos"])
    assert axis.get_title() == f"one line for all groups: slope {line.slope:.3g}, PLCC {line.rvalue:.3f}"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted score", "subjective score")
    assert not any(line.get_linestyle() == "--" for line in axis.lines), "the scales do not meet"
    assert calibration_figure(table.assign(score=1.0)) is None


def test_a_report_shows_the_worst_and_the_most_misjudged_videos_that_are_here(tmp_path: Path) -> None:
    records = make_videos(tmp_path / "videos", 3)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    good = [str(one.path) for one in records]
    paths = [good[0], str(tmp_path / "broken.mp4"), *good[1:], str(tmp_path / "gone.mp4")]
    rows = [f"v{k},{path},g,r,{mos},x264,100" for k, (path, mos) in enumerate(zip(paths, (1, 2, 9, 4, 5), strict=True))]
    head = "video_id,path,group,reference,mos,codec,bitrate_kbps"
    (tmp_path / "labels.csv").write_text("\n".join([head, *rows]))
    run = tmp_path / "run"
    run.mkdir()
    scores = enumerate((1.0, 2.0, 3.0, 2.5, 0.5))
    (run / "predictions.csv").write_text("\n".join(["video_id,score", *(f"v{k},{one}" for k, one in scores)]))
    seen: list[ReadOptions] = []
    page, _ = report_run(
        run, tmp_path / "labels.csv", look=lambda options: seen.append(options) or eyes_of(run, options)
    )
    text = page.read_text(encoding="utf-8")
    assert seen == [ReadOptions()]
    wrong, low = text.partition("<h2>Most misjudged</h2>")[2].split("<h2>Predicted lowest</h2>")
    assert [part.partition("<")[0] for part in wrong.split("<h3>")[1:]] == ["v2", "v1", "v0"]
    assert [part.partition("<")[0] for part in low.split("<h3>")[1:]] == ["v0", "v1", "v3"]
    assert "scored 9, predicted 3, which is" in wrong
    assert wrong.count("data:image/png") == 4, "a timeline and a heat map of each that can be read"
    assert "broken.mp4&#x27; yields no frames" in wrong
    assert low.count("Its pictures stand above.") == 2
    assert (run / "residuals.png").is_file()
    assert (run / "calibration.png").is_file()
