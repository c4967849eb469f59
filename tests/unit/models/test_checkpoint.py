"""Checkpoints are read without running code, and only into the model that they hold."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from cvqa_models.models.checkpoint import load_model, load_weights, model_config, read_checkpoint
from tests.unit.models.test_module import make_model


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemError('code ran')",))


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint '.*gone\.ckpt'"):
        read_checkpoint(tmp_path / "gone.ckpt")


def test_pickled_code_is_refused_unrun(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bomb\.ckpt' is damaged or holds pickled objects"):
        read_checkpoint(saved(tmp_path / "bomb.ckpt", {"state_dict": Bomb()}))
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(ValueError, match=r"plain\.ckpt' is damaged or holds pickled objects"):
        read_checkpoint(tmp_path / "plain.ckpt")


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = saved(tmp_path / "cut.ckpt", {"state_dict": {"a": torch.zeros(5000)}})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"cut\.ckpt'"):
        read_checkpoint(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no `state_dict`"):
        read_checkpoint(saved(tmp_path / "other.ckpt", {"weights": 1}))
    with pytest.raises(ValueError, match="holds no model configuration"):
        load_model(saved(tmp_path / "bare.ckpt", {"state_dict": {}}))


# A table that starts with a letter that is a word of pickle's language, a film, a page, a picture, nothing.
@pytest.mark.parametrize(
    "content", [b"sequence,mos\na,1\n", b"\0\0\0\x20ftypisom", b"<html>", b"\x89PNG\r\n\x1a\n", b""]
)
def test_a_file_that_torch_never_wrote_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"wrong\.ckpt' is no checkpoint; expected a file that `train\.py fit` wrote"):
        read_checkpoint(tmp_path / "wrong.ckpt")


# What follows the mark of a pickle is an empty stack, a stray reference, half a number, or a list as a key.
@pytest.mark.parametrize("content", [b"a.", b"h\x01.", b"G\0", b"}]Ns."])
def test_a_pickle_that_makes_no_sense_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "old.ckpt").write_bytes(b"\x80\x02" + content)
    with pytest.raises(ValueError, match=r"old\.ckpt' is truncated or is no checkpoint"):
        read_checkpoint(tmp_path / "old.ckpt")


@pytest.mark.parametrize(
    ("hparams", "reason"),
    [
        ({"_class_path": "gone.Model"}, "gone"),
        ({"_class_path": "cvqa_models.models.multibranch.MultiBranch", "widht": 3}, "'widht' is not accepted"),
    ],
)
def test_a_model_that_cannot_be_built_is_told_with_its_file(tmp_path: Path, hparams: dict, reason: str) -> None:
    path = saved(tmp_path / "old.ckpt", {"state_dict": {}, "hyper_parameters": hparams})
    with pytest.raises(ValueError, match=rf"old\.ckpt' holds a model that cannot be built here: .*{reason}") as told:
        load_model(path)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = make_model()
    checkpoint: dict = {"state_dict": dict(model.state_dict())}
    model.on_save_checkpoint(checkpoint)
    checkpoint["state_dict"]["head.extra"] = checkpoint["state_dict"].pop("head.last.bias")
    with pytest.raises(ValueError, match=r"another model: 1 keys missing, 1 unexpected, 0 .*'head\.last\.bias'"):
        load_weights(make_model(), checkpoint, "x.ckpt")


def test_trained_branches_need_no_start_weights() -> None:
    def branch(frozen: bool) -> dict:
        return {"class_path": "B", "init_args": {"weights": "w", "frozen": frozen}}

    hparams = {"_class_path": "M", "_instantiator": "i", "branches": {"a": branch(True), "b": branch(False)}}
    config = model_config({"hyper_parameters": hparams})
    kept = {name: entry["init_args"]["weights"] for name, entry in config["init_args"]["branches"].items()}
    assert (config["class_path"], kept) == ("M", {"a": "w", "b": None})
    assert model_config({}) == {}
