"""What a report takes from the training log of a run that was killed and went on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.report.plots import training_curves
from cvqa_models.training.run_folder import training_log


def write(run: Path, folder: str, text: str) -> None:
    (run / folder).mkdir(parents=True)
    (run / folder / "metrics.csv").write_text(text)


def test_a_step_that_was_done_again_counts_once_as_it_came_out_last(tmp_path: Path) -> None:
    head = "epoch,step,train/loss,val/result\n"
    write(tmp_path, "logs", f"{head}0,0,5.0,\n0,1,3.0,\n0,1,,0.5\n1,2,9.0,\n1,3,0.")  # killed within a line
    write(tmp_path, "logs-2", "")  # killed before the first one
    write(tmp_path, "logs-3", f"{head}1,2,8.0,\n")
    write(tmp_path, "logs-10", f"{head}1,2,2.0,\n1,3,1.0,\n1,3,,0.7\n")
    log = training_log(tmp_path)
    assert log is not None
    left, right = training_curves(log).axes
    assert left.lines[0].get_ydata() == pytest.approx([4.0, 1.5])
    assert right.lines[0].get_ydata() == pytest.approx([0.5, 0.7])


def test_a_run_that_logged_nothing_has_no_log(tmp_path: Path) -> None:
    assert training_log(tmp_path) is None
    write(tmp_path, "logs", "")
    assert training_log(tmp_path) is None
