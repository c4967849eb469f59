"""The evaluation as a function: what `cvqa evaluate` prints, for programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr

import cvqa_models


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Labels and predictions of two groups of sixteen videos; the second group is ordered against its labels."""
    rng = np.random.default_rng(0)
    labels, predictions = ["video_id,reference,group,mos"], ["video_id,score"]
    for group, sign in (("a", 1), ("b", -1)):
        for row in range(16):
            labels.append(f"{group}{row},{group},{group}/fast,{row}")
            predictions.append(f"{group}{row},{sign * (row + 4 * rng.normal())}")
    paths = tmp_path / "labels.csv", tmp_path / "ours.csv"
    for path, lines in zip(paths, (labels, predictions), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def by_scipy(labels: Path, predictions: Path) -> float:
    """Return the mean of the three coefficients, each pooled over both groups by Fisher's z, without its sign."""
    mos = np.loadtxt(labels, delimiter=",", skiprows=1, usecols=3).reshape(2, 16)
    score = np.loadtxt(predictions, delimiter=",", skiprows=1, usecols=1).reshape(2, 16)
    pooled = [
        abs(np.tanh(np.mean([np.arctanh(measure(*pair)[0]) for pair in zip(mos, score, strict=True)])))
        for measure in (spearmanr, pearsonr, kendalltau)
    ]
    return float(np.mean(pooled))


def test_the_result_is_that_of_the_challenge(files: tuple[Path, Path]) -> None:
    labels, predictions = files
    found = cvqa_models.evaluate(labels, predictions, bootstrap=0)
    assert found.result == pytest.approx(by_scipy(labels, predictions), abs=1e-9)
    assert found.given == ("ours",)
    assert (found.paired, found.left_out) == ({}, ())
    assert found.rows["ours"].score.result < found.result  # signed: the second group is against its labels
    assert cvqa_models.evaluate(str(labels), [str(predictions)], bootstrap=0).result == found.result


def test_several_predictions_are_compared_with_the_first(files: tuple[Path, Path], tmp_path: Path) -> None:
    labels, predictions = files
    other = tmp_path / "other.csv"
    other.write_text(predictions.read_text())
    found = cvqa_models.evaluate(labels, [predictions, other], bootstrap=20)
    assert list(found.rows) == ["ours", "other"]
    assert found.paired["other"].value == 0


def test_something_is_to_be_evaluated(files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="Give either `--predictions` or `--table`: what is to be evaluated"):
        cvqa_models.evaluate(files[0])
