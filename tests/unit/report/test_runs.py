"""Runs side by side: the differences are those of `evaluate`, and what was set differently is found."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr

from cvqa_models.commands.report import report
from cvqa_models.evaluation.evaluate import evaluate
from cvqa_models.metrics.group_score import Thresholds
from cvqa_models.report.colours import looks
from cvqa_models.report.runs import group_figure, settings_that_differ


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Labels of two groups, and two runs, the second of which is worse."""
    random = np.random.default_rng(1)
    mos = np.arange(16.0)
    rows = [f"v{k},g{k // 8},r{k // 8},{mos[k]},x264" for k in range(16)]
    (tmp_path / "labels.csv").write_text("\n".join(["video_id,group,reference,mos,codec", *rows]))
    folders = []
    for name, noise in (("good", 0.5), ("bad", 4.0)):
        run = tmp_path / name
        (run / "logs").mkdir(parents=True)
        scores = mos + noise * random.normal(size=16)
        (run / "predictions.csv").write_text(
            "\n".join(["video_id,score", *(f"v{k},{one}" for k, one in enumerate(scores))])
        )
        (run / "logs" / "config.yaml").write_text(
            f"model: {{hidden: {int(noise) + 8}, norm: layer}}\nseed_everything: 1\n"
        )
        (run / "logs" / "metrics.csv").write_text(f"epoch,step,val/result\n0,1,0.2\n1,2,{1 / (1 + noise)}\n")
        folders.append(run)
    return tmp_path / "labels.csv", folders


def test_the_page_says_what_an_evaluation_says(runs: tuple[Path, list[Path]]) -> None:
    labels, folders = runs
    page = report(folders, scores=labels, min_srocc=6)
    assert page == folders[0] / "runs.html"
    text = page.read_text(encoding="utf-8")
    files = [run / "predictions.csv" for run in folders]
    found = evaluate(labels, files, thresholds=Thresholds(6, 6, 6))
    [gap] = (gap for name, gap in found.paired.items() if name == str(files[1]))
    assert gap.value < 0
    assert f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]" in text
    cells = re.findall(r"<td>(.*?)</td>", text)
    assert cells[0] == "good"
    assert float(cells[4]) == pytest.approx(found.result, abs=1e-4)
    assert cells[-3:] == ["model.hidden", "8", "12"], "the norm and the seed are the same"
    assert text.count("data:image/png") == 2
    assert {path.name for path in folders[0].glob("*.png")} == {"runs-groups.png", "runs-learning.png"}


def test_each_group_has_a_marker_for_each_run(runs: tuple[Path, list[Path]]) -> None:
    labels, folders = runs
    files = {str(run / "predictions.csv"): run.name for run in folders}
    found = evaluate(labels, list(files), thresholds=Thresholds(6, 6, 6), bootstrap=0)
    figure = group_figure(found, files, looks(files.values()))
    [axis] = figure.axes
    shown = [text.get_text() for text in axis.get_yticklabels()]
    good = {line.get_color(): line.get_xdata() for line in axis.lines}[looks(files.values())["good"].colour]
    scores = np.loadtxt(folders[0] / "predictions.csv", delimiter=",", skiprows=1, usecols=1)
    for group, value in zip(shown, good, strict=True):
        own = slice(8 * int(group[1]), 8 * int(group[1]) + 8)
        mos = np.arange(16.0)[own]
        each = [measure(mos, scores[own]).statistic for measure in (spearmanr, pearsonr, kendalltau)]
        assert value == pytest.approx(np.mean(each))


def test_settings_that_a_run_lacks_stand_out() -> None:
    found = settings_that_differ({"a": {"x": 1, "y": [1, 2]}, "b": {"x": 1, "z": None}})
    assert found.to_numpy().tolist() == [["y", "[1, 2]", "-"], ["z", "-", "None"]]
    assert settings_that_differ({"a": {"x": 1}, "b": {"x": 1}}).empty
