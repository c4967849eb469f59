"""The mean of checkpoints' weights scores as a model of these weights does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cvqa_models.arguments import call
from cvqa_models.commands import average as command
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.training.average import average
from cvqa_models.training.checkpoint import load_model, read_checkpoint, to_bytes

LEVEL = {"class_path": "cvqa_models.branches.compression_damage.CompressionDamage"}
ARGUMENTS: dict[str, Any] = {
    "level": {**LEVEL, "init_args": {"weights": "compression_damage", "frozen": True}},
    "hidden": None,
    "norm": "standard",
}
NAME = "cvqa_models.models.compression_level.CompressionLevelModel"


def checkpoint(path: Path, bias: float, **more: object) -> Path:
    model = shipped_model()
    model.head.last.bias.data.fill_(bias)
    path.write_bytes(to_bytes(model, {"class_path": NAME, "init_args": {**ARGUMENTS, **more}}))
    return path


def test_the_mean_is_a_checkpoint_like_any_other(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / f"{number}.ckpt", value) for number, value in enumerate((1.0, 2.0, 6.0))]
    call("average", command.average, [*map(str, paths), "--out", str(tmp_path / "mean.ckpt")])
    one, mean = load_model(paths[0]), load_model(tmp_path / "mean.ckpt")
    assert mean.head.last.bias.item() == 3.0
    for key, tensor in one.state_dict().items():
        if key != "head.last.bias":
            assert torch.equal(mean.state_dict()[key], tensor), key
    assert "optimizer_states" not in read_checkpoint(tmp_path / "mean.ckpt")


def test_whole_numbers_are_those_of_the_last(tmp_path: Path) -> None:
    for number in (1, 2):
        state = {"count": torch.tensor(number), "half": torch.tensor([number], dtype=torch.float16)}
        torch.save({"state_dict": state}, tmp_path / f"{number}.ckpt")
    average([tmp_path / "1.ckpt", tmp_path / "2.ckpt"], tmp_path / "mean.ckpt")
    state = read_checkpoint(tmp_path / "mean.ckpt")["state_dict"]
    assert (state["count"].item(), state["half"].dtype, state["half"].item()) == (2, torch.float16, 1.5)


def test_checkpoints_of_different_models_are_refused(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one.ckpt", 1)
    with pytest.raises(ValueError, match="1 checkpoint given; an average takes two or more"):
        average([one], tmp_path / "mean.ckpt")
    other = checkpoint(tmp_path / "other.ckpt", 1, dropout=0.5)
    with pytest.raises(ValueError, match=r"one\.ckpt' and '.*other\.ckpt' are of different models: .*dropout"):
        average([one, other], tmp_path / "mean.ckpt")
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "shape.ckpt")
    torch.save({"state_dict": {"a": torch.zeros(3)}}, tmp_path / "shapes.ckpt")
    with pytest.raises(ValueError, match="they differ in a; average"):
        average([tmp_path / "shape.ckpt", tmp_path / "shapes.ckpt"], tmp_path / "mean.ckpt")
    assert not (tmp_path / "mean.ckpt").exists()
