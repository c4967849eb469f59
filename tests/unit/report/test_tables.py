"""Tables of a report, against scipy and hand counts, and the page that holds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from cvqa_models.metrics.group_score import evaluate
from cvqa_models.report.page import write_report
from cvqa_models.report.tables import bitrate_class, class_table, join, share_table
from cvqa_models.types import VideoRecord


def records() -> list[VideoRecord]:
    rng = np.random.default_rng(0)
    return [
        VideoRecord(f"{g}-{i}", None, g, g, float(rng.normal()), codec="ab"[i % 2], bitrate_kbps=100.0 * (i + 1))
        for g in ("g", "h")
        for i in range(18)
    ]


def scores() -> dict[str, float]:
    rng = np.random.default_rng(1)
    return {record.video_id: record.mos + float(rng.normal()) for record in records()}


def test_rows_without_a_score_are_left_out() -> None:
    assert len(join(records(), {"g-1": 0.5, "h-2": 0.1})) == 2
    with pytest.raises(ValueError, match="There is no prediction"):
        join(records(), {})


def test_scores_of_videos_that_the_table_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 of 3 predictions are of videos .*: 'h-02' \(near: 'h-[02]'\); give the"):
        join(records(), {"g-1": 0.5, "h-2": 0.1, "h-02": 0.2})


def test_bitrate_classes_are_thirds_of_a_group() -> None:
    frame = join(records(), scores())
    assert frame.groupby(["group", "bitrate class"]).size().tolist() == [6] * 6
    frame.loc[0, "bitrate_kbps"] = np.nan
    assert bitrate_class(frame).iloc[0] == "unknown"


def test_a_class_has_the_pooled_coefficient_of_its_rows() -> None:
    frame = join(records(), scores())
    table = class_table(frame, "codec").set_index("codec")
    rows = frame[frame["codec"] == "a"]
    each = [spearmanr(part["mos"], part["score"]).statistic for _, part in rows.groupby("group")]
    assert table.loc["a", "srocc"] == pytest.approx(np.tanh(np.mean(np.arctanh(each))))


def test_the_page_holds_its_images_and_escapes_names(tmp_path: Path) -> None:
    log = pd.DataFrame({"epoch": [0, 1], "step": [3, 7], "train/loss": [1.0, 0.5], "val/result": [0.1, 0.2]})
    page = write_report(tmp_path / "run", join(records(), scores()), log, note="<script>")
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 4
    assert "<script>" not in text
    assert 'src="http' not in text
    pictures = {"predictions.png", "training.png", "residuals.png", "calibration.png"}
    assert {path.name for path in page.parent.iterdir()} == {"report.html", *pictures}


def test_a_reversed_model_is_said_to_be_so_on_the_page(tmp_path: Path) -> None:
    good = write_report(tmp_path / "good", join(records(), scores()), None).read_text(encoding="utf-8")
    assert "REVERSED" not in good
    minus = {name: -score for name, score in scores().items()}
    frame = join(records(), minus)
    page = write_report(tmp_path / "bad", frame, None).read_text(encoding="utf-8")
    found = evaluate(frame["group"].tolist(), frame["mos"], frame["score"])
    assert f"<td>{found.official.result:.4f}</td>" in page
    assert f"<td>{found.result:.4f}</td>" in page
    assert "predictions: REVERSED: pooled SROCC -0." in page
    assert "against the subjective scores in 2 of 2 groups" in page
    assert (class_table(frame, "codec")["result"] < 0).all()


def test_baselines_stand_beside_the_predictions(tmp_path: Path) -> None:
    frame = join(records(), scores())
    rates = frame["bitrate_kbps"].to_numpy()
    page = write_report(tmp_path, frame, None, baselines={"baseline: x": rates}, missing=["<b> is not shown"])
    text = page.read_text(encoding="utf-8")
    found = evaluate(frame["group"].tolist(), frame["mos"], rates)
    row = text.partition("<td>baseline: x</td>")[2].partition("</tr>")[0]
    assert [f"{value:.4f}" in row for value in (found.official.result, found.result)] == [True, True]
    assert "&lt;b&gt; is not shown" in text


def test_bitrate_classes_stand_from_low_to_high() -> None:
    assert class_table(join(records(), scores()), "bitrate class")["bitrate class"].tolist() == ["low", "mid", "high"]
    assert class_table(join(records(), scores()), "codec")["codec"].tolist() == ["a", "b"]


def test_names_of_bitrate_classes_hide_no_row_of_another_table() -> None:
    frame = join(
        [
            replace(r, codec="" if n == 0 else r.codec, preset="low" if n < 3 else "fast")
            for n, r in enumerate(records())
        ],
        scores(),
    )
    assert class_table(frame, "codec").set_index("codec")["videos"].to_dict() == {"a": 17, "b": 18}
    assert class_table(frame, "preset").set_index("preset")["videos"].to_dict() == {"fast": 33, "low": 3}


def test_text_from_outside_is_escaped_in_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>&'\"$x$"
    hostile = [
        replace(
            record, group=record.group + evil, reference=evil + record.group, codec=record.codec + evil, preset=evil
        )
        for record in records()
    ]
    run = tmp_path / "<img src=x onerror=alert(1)>"
    page = write_report(run, join(hostile, scores()), None, note=evil).read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;") >= 2 + 2 + 1 + 1  # groups, codecs, the preset, the note


FOUND = {
    "rows": {
        "all branches": {"together": {"srocc": 0.9, "plcc": 0.8, "krocc": 0.7, "result": 0.8, "ci": {}}, "seeds": {}},
        "a alone": {"together": {"srocc": 0.6, "plcc": 0.5, "krocc": 0.4, "result": 0.5, "ci": {}}, "seeds": {}},
        "mean of all": {"together": {"srocc": 0.6, "plcc": 0.5, "krocc": 0.4, "result": 0.5, "ci": {}}},
    },
    "difference_to": "all branches",
    "differences": {"a alone": {"value": -0.3, "low": -0.4, "high": -0.2}, "mean of all": {}},
}


def test_the_shares_of_branches_are_the_trained_rows_of_a_cross_validation() -> None:
    table = share_table(FOUND)
    assert table["model"].tolist() == ["all branches", "a alone"]
    assert table["result"].tolist() == [0.8, 0.5]
    assert table["difference"].tolist() == ["", "-0.3000 [-0.4000, -0.2000]"]
    for wrong in ({}, [], {**FOUND, "differences": {}}):
        with pytest.raises(ValueError, match="no rows of trained variants with `together` and a difference: "):
            share_table(wrong)  # type: ignore[arg-type]
