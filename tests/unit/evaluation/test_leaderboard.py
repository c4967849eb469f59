"""The page says what the evaluation says, and keeps published figures apart from measured ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cvqa_models.__main__ import call
from cvqa_models.commands.leaderboard import leaderboard as command
from cvqa_models.evaluation.evaluate import evaluate
from cvqa_models.evaluation.leaderboard import leaderboard


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Labels of two groups of 16 videos, a good and a bad metric, and predictions that are nearly right."""
    rng = np.random.default_rng(0)
    header = "codec,preset,sequence,crf,real_bitrate,bitrate,subjective_score"
    rows = [f"x264,fast,{s},{100 + n},{90 + n},low,{n + rng.normal(0, 0.1):.4f}" for s in ("a", "b") for n in range(16)]
    labels, metrics, predicted = (tmp_path / name for name in ("labels.csv", "metrics.csv", "ours.csv"))
    labels.write_text("\n".join([header, *rows]) + "\n")
    measured = [f"{row},{n % 16 + rng.normal():.4f},{rng.normal():.4f}" for n, row in enumerate(rows)]
    metrics.write_text("\n".join([header + ",FR good,NR bad", *measured]) + "\n")
    names = [f"x264_fast_{row.split(',')[2]}_{row.split(',')[3]}" for row in rows]
    predicted.write_text("video_id,score\n" + "".join(f"{name},{n % 16}\n" for n, name in enumerate(names)))
    return labels, metrics, predicted


def test_measured_rows_are_those_of_the_evaluation(tables: tuple[Path, Path, Path]) -> None:
    labels, metrics, predicted = tables
    page = leaderboard(labels, metrics, {}, {}, [predicted], bootstrap=0)
    rows = re.findall(r"^\| (\d+) \| (.+?) \| ([-\d.]+) \| ([-\d.]+) \| ([-\d.]+) \| ([-\d.]+) \|", page, re.MULTILINE)
    assert rows[-1][1] == "NR bad"
    expected = {**evaluate(labels, table=metrics, bootstrap=0).rows}
    expected["*predictions* ours"] = next(iter(evaluate(labels, predicted, bootstrap=0).rows.values()))
    assert {row[1] for row in rows} == set(expected)
    for _, name, *values in rows:
        score = expected[name].score
        assert values == [f"{value:.4f}" for value in (score.srocc, score.plcc, score.krocc, score.result)], name
    results = [float(row[5]) for row in rows]
    assert results == sorted(results, reverse=True)
    assert "on 32 videos with human scores" in page
    assert "resample the\n2 sources" in page


def test_published_figures_stand_in_tables_of_their_own(tables: tuple[Path, Path, Path]) -> None:
    labels, metrics, _ = tables
    challenge = {"hive": (None, None, None, 0.7), "tvqa": (0.9376, 0.9772, 0.8505, 0.9218)}
    elsewhere = {"dover": ({"KoNViD-1k SROCC": 0.9}, "its README")}
    page = leaderboard(labels, metrics, challenge, elsewhere, bootstrap=10)
    first, _, rest = page.partition("## CVQAD's public part")
    assert first.index("| 1 | [tvqa](systems/tvqa.md) | 0.9376 | 0.9772 | 0.8505 | 0.9218 |") < first.index(
        "| 2 | [hive](systems/hive.md) |  |  |  | 0.7000 |"
    )
    assert "tvqa" not in rest
    assert "| dover | KoNViD-1k SROCC 0.900 | its README |" in rest
    assert re.search(r"\| FR good \|.* to .* \|", rest), "intervals are shown"


def test_the_command_writes_the_page(tables: tuple[Path, Path, Path], tmp_path: Path) -> None:
    labels, metrics, _ = tables
    words = ["--scores", str(labels), "--table", str(metrics), "--bootstrap", "0", "--out", str(tmp_path / "page.md")]
    call("leaderboard", command, words)
    assert "[tvqa](systems/tvqa.md)" in (tmp_path / "page.md").read_text()
    with pytest.raises(FileNotFoundError, match=r"absent\.csv'"):
        call("leaderboard", command, [*words, "--predictions", str(tmp_path / "absent.csv")])
