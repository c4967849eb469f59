"""Training tells in lines how far it is."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
from pytorch_lightning.demos.boring_classes import BoringModel

from cvqa_models import messages
from cvqa_models.training.callbacks.progress_lines import ProgressLines


def trainer(**settings: object) -> pl.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    sizes = {"limit_train_batches": 2, "limit_val_batches": 1, "limit_test_batches": 1, "limit_predict_batches": 1}
    return pl.Trainer(callbacks=[ProgressLines()], **quiet, **sizes, **settings)  # type: ignore[arg-type]


def test_batches_of_every_loop_are_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "BETWEEN_LINES", 0.0)
    trainer(max_epochs=2, num_sanity_val_steps=0).fit(BoringModel())
    epochs = [[f"epoch {epoch} of 2: batch {batch} of 2" for batch in (1, 2)] for epoch in (1, 2)]
    told = [line for line in capsys.readouterr().err.splitlines() if ": batch" in line]
    assert told == [*epochs[0], "validation: batch 1 of 1", *epochs[1], "validation: batch 1 of 1"]
    trainer().test(BoringModel())
    trainer().predict(BoringModel())
    told = [line for line in capsys.readouterr().err.splitlines() if ": batch" in line]
    assert told == ["test: batch 1 of 1", "prediction: batch 1 of 1"]


def test_a_run_of_less_than_half_a_minute_tells_nothing_and_other_ranks_never_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ProgressLines()
    lines._tell("test", 0, 1)
    monkeypatch.setattr(messages, "BETWEEN_LINES", 0.0)
    lines.disable()
    lines._tell("test", 0, 1)
    assert capsys.readouterr().err == ""
