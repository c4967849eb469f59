"""Tables of predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.data.predictions import read_predictions, write_predictions
from cvqa_models.types import Prediction


def test_predictions_survive_a_round_trip_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    rows = [Prediction("b", "g", 1 / 3, {"motion": 1.0}), Prediction("a", "g", 1e-9, {"motion": 2.0})]
    write_predictions(path, [*rows, Prediction("b", "h", 1 / 3, {"motion": 1.0})])
    assert path.read_text().splitlines()[0] == "video_id,score,motion"
    assert read_predictions(path) == {"a": 1e-9, "b": 1 / 3}


def test_no_prediction_is_an_empty_table(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", [])
    assert (tmp_path / "p.csv").read_text() == "video_id,score\n"


def test_a_predictions_file_names_each_video_once(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("video_id,score\na,1\na,2\n")
    with pytest.raises(ValueError, match="row 2: 'a' stands twice"):
        read_predictions(tmp_path / "p.csv")


def test_names_that_a_spreadsheet_would_run_are_read_back(tmp_path: Path) -> None:
    scores = {"=cmd|' /C calc'!A0": 1.0, "-1+1": 2.0, "plain": -3.0}
    write_predictions(tmp_path / "p.csv", [Prediction(name, "g", score) for name, score in scores.items()])
    assert read_predictions(tmp_path / "p.csv") == scores
