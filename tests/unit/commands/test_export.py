import json
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser
from safetensors.torch import load_file

from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.commands.export import export
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.compression_level import CompressionLevelModel
from cvqa_models.training.checkpoint import to_bytes
from cvqa_models.training.module import QualityModule
from cvqa_models.weights.reading import metadata
from tests.unit.training.test_average import checkpoint


def test_the_weights_alone_come_out_and_load_into_a_branch(tmp_path: Path) -> None:
    model = CompressionLevelModel(CompressionLevel(width=8), GroupLoss())
    content = {"state_dict": model.state_dict(), "callbacks": {"dirpath": "/somewhere"}, "optimizer_states": [1]}
    torch.save(content, tmp_path / "last.ckpt")
    for name in ("a", "b"):
        export(tmp_path / "last.ckpt", out=tmp_path / "new" / f"{name}.safetensors")
    written = (tmp_path / "new" / "a.safetensors").read_bytes()
    assert written == (tmp_path / "new" / "b.safetensors").read_bytes()
    assert b"somewhere" not in written
    for source in (tmp_path / "new" / "a.safetensors", tmp_path / "last.ckpt"):
        branch = CompressionLevel(str(source), width=8)
        for name, tensor in branch.net.state_dict().items():
            assert torch.equal(tensor, model.state_dict()[f"branches.level.net.{name}"])


def test_the_whole_model_comes_out_with_what_is_frozen(tmp_path: Path) -> None:
    view = {
        "frames": {
            "class_path": "cvqa_models.video.frame_rules.UniformClips",
            "init_args": {"num_clips": 1, "clip_length": 2},
        },
        "pixels": {
            "class_path": "cvqa_models.video.patches.NativePatches",
            "init_args": {"grid": [1, 1], "patch": 112},
        },
    }
    level = {"weights": "compression_level", "view": view, "frozen": True}
    config = {
        "class_path": "cvqa_models.models.compression_level.CompressionLevelModel",
        "init_args": {
            "level": {"class_path": "cvqa_models.branches.compression_level.CompressionLevel", "init_args": level},
            "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"},
        },
    }
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    model = parser.instantiate(parser.parse_object({"model": config})).model
    (tmp_path / "last.ckpt").write_bytes(to_bytes(model, config))
    export(tmp_path / "last.ckpt", out=tmp_path / "head.safetensors")
    assert load_file(tmp_path / "head.safetensors").keys() == {f"head.{key}" for key in model.head.state_dict()}
    export(tmp_path / "last.ckpt", out=tmp_path / "whole.safetensors", with_frozen=True)
    whole = load_file(tmp_path / "whole.safetensors")
    assert whole.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(whole[key], tensor)


def test_the_curve_of_a_calibration_goes_with_the_weights(tmp_path: Path) -> None:
    path, out = checkpoint(tmp_path / "last.ckpt", 1.0), tmp_path / "w.safetensors"
    export(path, out=out)
    assert metadata(out) == metadata(path) == {}
    curve = {"raw": [0.0, 100.0], "scale": [1.0, 5.0], "radius": 0.5, "coverage": 0.9, "sources": 9, "ends": [1, 5]}
    torch.save({**torch.load(path, weights_only=True), "calibration": curve}, path)
    export(path, out=out)
    assert json.loads(metadata(out)["calibration"]) == curve
    out.write_bytes(out.read_bytes()[:100])
    with pytest.raises(ValueError, match="is not a complete safetensors file; fetch it again"):
        metadata(out)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "last.ckpt")
    (tmp_path / "out.safetensors").mkdir()
    with pytest.raises(ValueError, match=r"out\.safetensors' cannot be written \(.*\); free space or choose"):
        export(tmp_path / "last.ckpt", out=tmp_path / "out.safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "out.safetensors"}


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ValueError, match=r"`out` is 'w\.pt'; expected a name that ends in \.safetensors"):
        export(tmp_path / "last.ckpt", out=Path("w.pt"))
