"""The official evaluation on the real label table: published numbers, and a plain loop over pandas and scipy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cvqa_models.commands.evaluate import evaluate

CVQAD = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "cvqad"
METRICS = CVQAD / "Metric_scores_example.csv"
pytestmark = pytest.mark.skipif(not METRICS.is_file(), reason="the CVQAD label table is not beside the project")

# SROCC with the official interval (None: not published), KROCC, PLCC, and SROCC over all 36 references.
GOLDEN = {
    "NR VSFA": (0.8932, (0.8879, 0.8983), 0.7579, 0.9240, 0.8914),
    "NR LINEARITY": (0.9066, (0.9006, 0.9123), 0.7793, 0.9376, 0.9051),
    "NR MDTVSFA": (0.9318, (0.9284, 0.9351), 0.8140, 0.9595, 0.9301),
    "NR COMPRESSED VQA": (0.9102, (0.9061, 0.9141), 0.7939, 0.9381, 0.9096),
    "NR TOPIQ": (0.9035, (0.8979, 0.9089), 0.7462, 0.9183, 0.9009),
    "NR CLIP-IQA+": (0.9120, None, 0.7661, 0.9193, 0.9100),
    "NR META-IQA": (0.9102, None, 0.7859, 0.9333, 0.9086),
    "FR YUV-PSNR": (0.9499, None, 0.8513, 0.9499, 0.9493),
    "FR Y-VMAF (v061)": (0.9456, (0.9428, 0.9483), 0.8902, 0.9649, 0.9449),
}
# Perfect groups that escape the cap (FSIM, VIFp), undefined ones (AHIQ), lower-is-better and sign-changing metrics.
LOOPED = [*GOLDEN, "FR FSIM", "FR VIFp", "FR AHIQ", "FR LPIPS", "NR MEON", "NR NIQE"]


@pytest.fixture(scope="module")
def notebook() -> dict:
    return evaluate(table=METRICS, as_notebook=True)["rows"]


@pytest.fixture(scope="module")
def ours() -> dict:
    return evaluate(table=METRICS, bootstrap=500)["rows"]


@pytest.mark.parametrize("name", GOLDEN)
def test_published_numbers(notebook, ours, name) -> None:
    srocc, interval, krocc, plcc, everything = GOLDEN[name]
    row = notebook[name]
    assert (row["srocc"], row["krocc"], row["plcc"]) == pytest.approx((srocc, krocc, plcc), abs=5.1e-5)
    if interval:
        assert row["ci"]["srocc"] == pytest.approx(interval, abs=5.1e-5)
    assert ours[name]["srocc"] == pytest.approx(everything, abs=5.1e-5)


def looped(table: pd.DataFrame, metric: str, coefficient: str, least: int) -> tuple[float, float, float]:
    """The notebook's loop: value, and the two ends of statsmodels' weighted interval with weights as counts."""
    routine = {
        "srocc": lambda x, y: x.corr(y, method="spearman"),
        "krocc": lambda x, y: stats.kendalltau(x, y)[0],
        "plcc": lambda x, y: x.corr(y),
    }[coefficient]
    values, sizes = [], []
    for _, group in table.groupby(["sequence", "preset"]):
        if len(group) >= least:
            values.append(np.arctanh(routine(group[metric], group["subjective_score"])))
            sizes.append(len(group))
    z = np.array(values)
    z[z == np.inf], z[z == -np.inf] = np.arctanh(0.99), -np.arctanh(0.99)
    mean = np.average(z, weights=sizes)
    error = np.sqrt(np.average((z - mean) ** 2, weights=sizes)) / np.sqrt(sum(sizes) - 1)
    ends = np.clip([abs(mean) - 1.96 * error, abs(mean) + 1.96 * error], 0, np.arctanh(0.99999))
    return abs(np.tanh(mean)), *np.tanh(ends)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:An input array is constant")
@pytest.mark.parametrize("name", LOOPED)
def test_as_notebook_equals_the_loop(notebook, name) -> None:
    table = pd.read_csv(METRICS)
    table = table[~table["sequence"].isin(["blue-hair-ugc", "cover-song-2020"])]
    for coefficient, least in (("srocc", 15), ("krocc", 6), ("plcc", 6)):
        value, low, high = looped(table, name, coefficient, least)
        row = notebook[name]
        if math.isnan(value):
            assert row[coefficient] is None
            assert row["result"] is None
        else:
            assert [row[coefficient], *row["ci"][coefficient]] == pytest.approx([value, low, high], abs=1e-9)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:An input array is constant")
@pytest.mark.parametrize("name", ["NR VSFA", "FR AHIQ", "FR DISTS"])
def test_group_values_equal_scipys(ours, name) -> None:
    table = pd.read_csv(METRICS)
    groups = dict(iter(table.groupby(table["sequence"] + "/" + table["preset"])))
    assert len(ours[name]["groups"]) == len(groups) == 57
    for row in ours[name]["groups"]:
        x, y = groups[row["group"]][name], groups[row["group"]]["subjective_score"]
        assert row["n"] == len(x)
        sign = -1 if name == "FR DISTS" else 1  # a distance, so that its column is turned round
        truth = [sign * routine(x, y)[0] for routine in (stats.spearmanr, stats.pearsonr, stats.kendalltau)]
        found = [math.nan if row[key] is None else row[key] for key in ("srocc", "plcc", "krocc")]
        np.testing.assert_allclose(found, truth, atol=1e-9)


def test_one_perfect_group_does_not_lift_a_metric(notebook, ours) -> None:
    assert notebook["FR FSIM"]["krocc"] == pytest.approx(0.888, abs=1e-3)  # the organisers' rounding
    assert ours["FR FSIM"]["krocc"] == pytest.approx(0.8413, abs=5.1e-5)


def test_results_of_the_study(ours) -> None:
    study = {"FR YUV-SSIM": 0.9227, "NR MDTVSFA": 0.9009, "NR DBCNN": 0.8962, "NR MEON": 0.3621, "NR NIQE": 0.7042}
    assert {name: ours[name]["result"] for name in study} == pytest.approx(study, abs=5.1e-5)
    assert ours["bitrate_kbps"]["result"] == pytest.approx(0.773, abs=1e-3)


def test_interval_over_references_is_the_honest_width(ours) -> None:
    # 36 references drawn 500 times; the published ends come from another draw.
    assert ours["FR YUV-PSNR"]["ci"]["srocc"] == pytest.approx([0.927, 0.964], abs=0.006)
    assert ours["NR MDTVSFA"]["ci"]["srocc"] == pytest.approx([0.904, 0.949], abs=0.006)


def test_constant_groups_are_named(ours) -> None:
    assert ours["FR AHIQ"]["unscored"] == ["gamming-2020/fast", "gamming-2020/offline"]


def test_known_distances_are_turned_and_unknown_ones_said_to_be_reversed(ours) -> None:
    """The measures of the table that fall with quality: by their name where it is known, never by the data."""
    distances = {
        *(
            f"FR {name}"
            for name in ("NLPD", "MS-GMSD", "GMSD", "MDSI", "PieAPP", "DISTS", "A-DISTS", "LPIPS", "STLPIPS")
        ),
        *("FR LPIPS VGG", "FR LPIPS AlexNet", "FR Y-VQM", "NR NIQE", "NR Y-NIQE", "NR BRISQUE"),
    }
    assert {name for name, row in ours.items() if row["turned"]} == distances
    reversed_ = {name for name, row in ours.items() if row["signed"]["srocc"] < 0}
    assert reversed_ == {"FR MR-Perceptual", "NR RankIQA", "FR CVRKD", "NR MEON"}
    assert ours["NR MEON"]["signed"]["srocc"] == pytest.approx(-ours["NR MEON"]["srocc"])
    assert len(ours["NR RankIQA"]["against"]) == 57


def test_ladders_of_human_scores(tmp_path) -> None:
    table = pd.read_csv(METRICS)
    table = table[[name for name in table if name[:3] not in ("NR ", "FR ")]]
    table.assign(human=table["subjective_score"]).to_csv(tmp_path / "table.csv", index=False)
    row = evaluate(table=tmp_path / "table.csv", bootstrap=0, ladder=True)["rows"]["human"]
    assert row["ladder_order"] == pytest.approx(663 / 679)
    assert row["rate_error_log2"] == 0
    assert row["result"] == 1
