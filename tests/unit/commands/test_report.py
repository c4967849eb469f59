"""`cvqa report`: what it takes from the run beside the predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cvqa_models.commands.report import report
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.video.reader import ReadOptions


def write(folder: Path) -> Path:
    """A label table without files, and predictions of it in a run."""
    rows = [f"v{n},g,g,{n},{100 * n + 100}" for n in range(6)]
    (folder / "labels.csv").write_text("\n".join(["video_id,group,reference,mos,bitrate_kbps", *rows]))
    run = folder / "run"
    run.mkdir()
    (run / "predictions.csv").write_text("\n".join(["video_id,score", *(f"v{n},{-n}" for n in range(6))]))
    return run


def test_baselines_come_from_the_table_and_the_store_of_the_run(tmp_path: Path) -> None:
    run = write(tmp_path)
    text = report([run], scores=tmp_path / "labels.csv").read_text(encoding="utf-8")
    assert "<td>baseline: bitrate_kbps</td>" in text
    assert "baseline: compression_level is not shown: 6 of 6 videos have no file here" in text
    model = shipped_model()
    key, options = model.demands["level"].cache_key, ReadOptions(untagged="bt601", hdr="tonemap", stream=1)
    assert key is not None
    store = FeatureStore(tmp_path / "features", options.key)
    for n in range(6):
        store.write(key, f"v{n}", torch.randn(8, model.branches["level"].dim), {"reading": options.key})
    (run / "logs").mkdir()
    data = f"data: {{store: '{store.root}', untagged: bt601, decoder: auto, hdr: tonemap, stream: 1}}\n"
    (run / "logs" / "config.yaml").write_text(data)
    text = report([run], scores=tmp_path / "labels.csv").read_text(encoding="utf-8")
    assert "<td>baseline: compression_level</td>" in text


def test_what_each_branch_brings_is_shown_where_the_run_holds_it(tmp_path: Path) -> None:
    run = write(tmp_path)
    assert "Share of each branch" not in report([run], scores=tmp_path / "labels.csv").read_text(encoding="utf-8")
    together = {"srocc": 0.9, "plcc": 0.8, "krocc": 0.7, "result": 0.8}
    found = {"rows": {"both": {"together": together, "seeds": {}}}, "difference_to": "both", "differences": {}}
    (run / "ablation.json").write_text(json.dumps(found))
    text = report([run], scores=tmp_path / "labels.csv").read_text(encoding="utf-8")
    assert "<td>both</td>" in text.partition("Share of each branch")[2].partition("By group")[0]


@pytest.mark.parametrize("content", ["{", '{"rows": 3}'])
def test_a_file_of_shares_that_holds_something_else_is_named(tmp_path: Path, content: str) -> None:
    run = write(tmp_path)
    (run / "ablation.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"ablation\.json' holds no cross-validation \(.*; remove it, or write it with"
    ):
        report([run], scores=tmp_path / "labels.csv")


def test_a_reversed_model_is_said_to_be_so_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write(tmp_path)
    report([run], scores=tmp_path / "labels.csv")
    shown = capsys.readouterr().out
    assert "predictions: REVERSED: pooled PLCC -1.0000, KROCC -1.0000." in shown  # six videos count for no SROCC
    assert "predictions: against the subjective scores in 1 of 1 groups (lowest coefficient): g (-1.00)" in shown


@pytest.mark.parametrize(
    "content", ["data: [", "- a\n", "data: 3\n", "", "data: {store: 3, decoder: none}\n", "data: !!bool x\n"]
)
def test_a_configuration_that_says_nothing_costs_no_report(tmp_path: Path, content: str) -> None:
    run = write(tmp_path)
    (run / "logs").mkdir()
    (run / "logs" / "config.yaml").write_text(content)
    assert "is not shown" in report([run], scores=tmp_path / "labels.csv").read_text(encoding="utf-8")


def test_small_groups_count_where_asked_and_tables_that_say_nothing_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path)
    text = report([run], scores=tmp_path / "labels.csv", min_srocc=6).read_text(encoding="utf-8")
    assert "REVERSED: pooled SROCC -1.0000, PLCC -1.0000, KROCC -1.0000." in capsys.readouterr().out
    assert [part.partition("<")[0] for part in text.split("<h2>By ")[1:]] == ["bitrate class", "group"]
    assert "unknown" not in text


def test_runs_are_named_once_each(tmp_path: Path) -> None:
    run = write(tmp_path)
    with pytest.raises(ValueError, match="No run is given; name its folder"):
        report(scores=tmp_path / "labels.csv")
    with pytest.raises(ValueError, match=r"A run is given twice among .*; name each once"):
        report([run, tmp_path / "." / "run"], scores=tmp_path / "labels.csv", min_srocc=3)
    with pytest.raises(ValueError, match="`--predictions` is of one run, and several are given"):
        report([run, tmp_path], scores=tmp_path / "labels.csv", predictions=run / "predictions.csv")
