"""`cvqa report`: what it takes from the run beside the predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from cvqa_models.commands.report import report
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.metrics.group_score import Thresholds
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.report.cases import Seen
from cvqa_models.report.run import report_run
from cvqa_models.types import Baselines, VideoRecord
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


def cvqad_run(folder: Path) -> tuple[Path, Path]:
    """A run whose configuration knows the folder of its videos, and its label table, which names no files."""
    keys = [f"x264,fast,city,{n}" for n in range(3)]
    labels = folder / "Subjective_scores.csv"
    rows = [f"{key},{n}.5" for n, key in enumerate(keys)]
    labels.write_text("\n".join(["codec,preset,sequence,crf,subjective_score", *rows]))
    (folder / "videos").mkdir()
    for n in range(3):
        (folder / "videos" / f"enc_res_x264_fast_city_{n}.mp4").touch()
    run = folder / "run"
    (run / "logs").mkdir(parents=True)
    (run / "predictions.csv").write_text("\n".join(["video_id,score", *(f"x264_fast_city_{n},{n}" for n in range(3))]))
    arguments = {"labels": str(labels), "videos": str(folder / "videos")}
    source = {"class_path": "cvqa_models.data.adapters.cvqad.Cvqad", "init_args": arguments}
    (run / "logs" / "config.yaml").write_text(json.dumps({"data": {"source": source}}))
    return run, labels


def files_of(run: Path, labels: Path) -> tuple[list[str | None], int]:
    """The files that a report gives to its baselines, and how many videos it tries to show."""
    seen: list[str | None] = []
    looked: list[str] = []

    def rivals(records: Sequence[VideoRecord], store: FeatureStore | None, options: ReadOptions) -> Baselines:
        seen.extend(record.path for record in records)
        return Baselines()

    def eyes(path: str) -> Seen:
        looked.append(path)
        raise ValueError("it is not looked at here")

    report_run(run, labels, thresholds=Thresholds(3, 3, 3), rivals=rivals, look=lambda options: eyes)
    return seen, len(looked)


def test_videos_that_the_table_does_not_name_are_found_where_the_run_found_them(tmp_path: Path) -> None:
    run, labels = cvqad_run(tmp_path)
    files = [str(tmp_path / "videos" / f"enc_res_x264_fast_city_{n}.mp4") for n in range(3)]
    assert files_of(run, labels) == (files, 3)
    (tmp_path / "own.mp4").touch()
    rows = ["x264_fast_city_0,own.mp4,city/fast,0.5", *(f"x264_fast_city_{n},,city/fast,{n}.5" for n in (1, 2))]
    named = tmp_path / "named.csv"
    named.write_text("\n".join(["video_id,path,group,mos", *rows]))
    assert files_of(run, named) == ([str(tmp_path / "own.mp4"), *files[1:]], 3), "a table that names files keeps them"


@pytest.mark.parametrize(("own", "other"), [("2.5", "2.6"), ("city", "town")])
def test_a_video_of_other_data_with_that_name_is_not_shown(tmp_path: Path, own: str, other: str) -> None:
    run, _ = cvqad_run(tmp_path)
    rows = [f"x264_fast_city_{n},city/fast,{n}.5".replace(f",{own}", f",{other}") for n in range(3)]
    table = tmp_path / "other.csv"
    table.write_text("\n".join(["video_id,group,mos", *rows]))
    files, shown = files_of(run, table)
    assert files[2] is None
    assert shown == (2 if own == "2.5" else 0)


@pytest.mark.parametrize(
    ("gone", "reason"),
    [("folder", "There is no folder"), ("file", "1 of 3 labels have no video"), ("class", "not of this package")],
)
def test_a_run_whose_videos_are_gone_still_has_its_report(
    tmp_path: Path, gone: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    run, labels = cvqad_run(tmp_path)
    config = run / "logs" / "config.yaml"
    if gone == "folder":
        (tmp_path / "videos").rename(tmp_path / "elsewhere")
    elif gone == "file":
        (tmp_path / "videos" / "enc_res_x264_fast_city_1.mp4").unlink()
    else:
        config.write_text(config.read_text().replace("cvqa_models.data.adapters.cvqad.Cvqad", "os.system"))
    assert files_of(run, labels) == ([None] * 3, 0)
    assert "where the videos of this run lie is not known: " in caplog.text
    assert reason in caplog.text
