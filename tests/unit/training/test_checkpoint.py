"""Checkpoints are read without running code, and only into the model that they hold."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.compression_level import CompressionLevelModel
from cvqa_models.training.checkpoint import load_model, load_weights, model_config, read_checkpoint, to_bytes
from tests.unit.training.test_module import make_model


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
        ({"_class_path": "gone.Model"}, "`model` names 'gone.Model', which is not of this package"),
        (
            {"_class_path": "cvqa_models.models.multibranch.MultiBranch", "widht": 3},
            "no argument 'widht'; expected one of",
        ),
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


def test_trained_branches_need_no_start_weights(tmp_path: Path) -> None:
    def hparams(frozen: bool) -> dict:
        init_args = {"weights": "/elsewhere/w.pth", "width": 8, "frozen": frozen}
        branch = {"class_path": "cvqa_models.branches.compression_level.CompressionLevel", "init_args": init_args}
        return {
            "_class_path": "cvqa_models.models.compression_level.CompressionLevelModel",
            "_instantiator": "gone.module.function",
            "level": branch,
            "weights": "/elsewhere/head.pth",
        }

    config = model_config({"hyper_parameters": hparams(False)}, "x.ckpt")
    assert config["class_path"] == hparams(False)["_class_path"]
    assert config["init_args"]["level"]["init_args"]["weights"] == "w.pth"
    assert model_config({}, "x.ckpt") == {}
    model = CompressionLevelModel(CompressionLevel(width=8))
    content = {"state_dict": model.state_dict(), "hyper_parameters": hparams(False)}
    found = load_model(saved(tmp_path / "trained.ckpt", content))
    assert all(torch.equal(value, found.state_dict()[key]) for key, value in model.state_dict().items())
    assert {part: source.name for part, source in found.each_source().items()} == {
        "level.net": "w.pth",
        "head": "head.pth",
    }
    with pytest.raises(ValueError, match=r"frozen\.ckpt' .* cannot be built here: weights 'w\.pth' are"):
        load_model(saved(tmp_path / "frozen.ckpt", {**content, "hyper_parameters": hparams(True)}))


def test_a_checkpoint_gives_no_leave_to_download() -> None:
    hparams = {"_class_path": "cvqa_models.models.metric.Metric", "name": "piq:LPIPS", "download": True}
    assert model_config({"hyper_parameters": hparams}, "x.ckpt")["init_args"]["download"] is False


@pytest.mark.parametrize(
    "key", ["state_dict", "current_model_state", "hyper_parameters", "frozen_digests", "callbacks"]
)
@pytest.mark.parametrize("value", [[1], {1: torch.zeros(1)}])
def test_a_part_that_is_no_table_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = saved(tmp_path / "odd.ckpt", {"state_dict": {}, key: value})
    with pytest.raises(ValueError, match=rf"odd\.ckpt' holds no table of names as `{key}`"):
        read_checkpoint(path)


def test_weights_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"odd\.ckpt' holds no tensor as 'head'"):
        read_checkpoint(saved(tmp_path / "odd.ckpt", {"state_dict": {"head": 1}}))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**12),
        torch.eye(2).to_sparse(),
        torch.zeros(2, device="meta"),
    ],
    ids=["repeated", "sparse", "without numbers"],
)
@pytest.mark.parametrize("place", ["state_dict", "optimizer_states"])
def test_a_tensor_that_is_not_plain_numbers_is_refused(tmp_path: Path, tensor: torch.Tensor, place: str) -> None:
    path = saved(tmp_path / "odd.ckpt", {"state_dict": {}, place: {"a": tensor}})
    with pytest.raises(
        ValueError, match=r"odd\.ckpt' (holds a tensor of shape .* that is not stored as plain|is damaged)"
    ):
        read_checkpoint(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "nan.ckpt", {"state_dict": {"a": torch.ones(3), "b": torch.tensor([1.0, torch.nan])}})
    with pytest.raises(ValueError, match=r"nan\.ckpt' holds weights that are no numbers \(NaN in 'b'\)"):
        read_checkpoint(path)
    model = make_model()
    with torch.no_grad():
        model.head.last.weight.fill_(torch.inf)
    checkpoint: dict = {"state_dict": dict(model.state_dict())}
    with pytest.raises(
        ValueError, match=r"x\.ckpt' holds weights that are no numbers \(infinity in 'head\.last\.weight'"
    ):
        load_weights(make_model(), checkpoint, "x.ckpt")


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(1 << 24))
    with pytest.raises(ValueError, match=r"bomb\.ckpt' is an archive that unpacks to more than its own size"):
        read_checkpoint(tmp_path / "bomb.ckpt")


def test_impossible_sizes_are_told_in_a_sentence(tmp_path: Path) -> None:
    branch = {"name": "test_vit", "args": {"embed_dim": 0}}
    hparams = {
        "_class_path": "cvqa_models.models.multibranch.MultiBranch",
        "branches": {"a": {"class_path": "cvqa_models.branches.timm.Timm", "init_args": branch}},
        "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"},
    }
    path = saved(tmp_path / "odd.ckpt", {"state_dict": {}, "hyper_parameters": hparams})
    with pytest.raises(ValueError, match=r"odd\.ckpt' holds a model that cannot be built here: ") as told:
        load_model(path)
    assert "\n" not in str(told.value)


def test_what_is_passed_on_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    weights = tmp_path / "own.safetensors"
    branch = CompressionLevel(width=8)
    save_file({f"branches.level.net.{key}": value for key, value in branch.net.state_dict().items()}, weights)
    init_args = {"weights": str(weights), "width": 8, "frozen": True}
    hparams = {
        "level": {"class_path": "cvqa_models.branches.compression_level.CompressionLevel", "init_args": init_args},
        "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"},
    }
    model = CompressionLevelModel(CompressionLevel(str(weights), width=8, frozen=True), GroupLoss())
    config = {"class_path": "cvqa_models.models.compression_level.CompressionLevelModel", "init_args": hparams}
    path = tmp_path / "a" / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(to_bytes(model, config))
    assert str(tmp_path).encode() not in path.read_bytes()
    assert init_args["weights"] == str(weights)  # the run's own record is left alone
    with pytest.raises(ValueError, match=r"weights 'own\.safetensors' are neither a file.* set CVQA_WEIGHTS to the"):
        load_model(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVQA_WEIGHTS", str(tmp_path))
        assert isinstance(load_model(path), CompressionLevelModel)
    weights.rename(tmp_path / "a" / "own.safetensors")  # beside the run
    assert isinstance(load_model(path), CompressionLevelModel)
