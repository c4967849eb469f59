"""Exports: the same scores in another runtime, everything said beside them, and nothing kept that is not proved."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import cvqa_models
from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.branches.table import Table
from cvqa_models.commands.export import export
from cvqa_models.corpus import ffmpeg
from cvqa_models.inference import network_export
from cvqa_models.inference.network_export import Format, export_network
from cvqa_models.models.compression_level import CompressionLevelModel
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.types import Batch
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View

ROOT = Path(__file__).resolve().parents[3]
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in network_export.NEEDS["onnx"]), reason="needs onnx"
)


def tiny(branch: type[CompressionLevel] = CompressionLevel) -> CompressionLevelModel:
    torch.manual_seed(0)
    view = View(UniformClips(2, 2), NativePatches((1, 2), 32))
    return CompressionLevelModel(branch(width=8, view=view, frozen=True), hidden=None).eval()


def scores(model: CompressionLevelModel, views: Tensor) -> Tensor:
    key = next(iter(network_export.ScoreOfViews(model).views))
    names = [str(number) for number in range(len(views))]
    batch = Batch(names, names, torch.arange(len(views)), torch.zeros(len(views)), torch.ones(len(views)), {key: views})
    with torch.inference_mode():
        return torch.cat([model(one) for one in batch.singles()])


def shown(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 2, 3, 2, 32, 64), generator=generator, dtype=torch.uint8)


def check_folder(model: CompressionLevelModel, folder: Path, format: Format) -> None:
    told = json.loads((folder / "view.json").read_text())
    content = (folder / told["file"]).read_bytes()
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["inputs"][0]["shape"] == ["videos", 2, 3, 2, 32, 64]
    assert told["inputs"][0]["frames"]["example"]["indices"] == [[61, 62], [186, 187]]
    assert np.array(told["inputs"][0]["pixels"]["examples"][0]["cuts"]).shape == (2, 2, 1, 2)
    assert told["parity"]["difference"] <= told["parity"]["bound"] == pytest.approx(0.01)
    assert told["sha256"] in (folder / "README.md").read_text()
    assert str(ROOT).encode() not in content
    assert b"site-packages" not in content


@needs_onnx
@pytest.mark.slow
def test_onnx_gives_the_scores_of_torch_for_any_number_of_videos(tmp_path: Path) -> None:
    import onnxruntime

    model = tiny()
    made = export_network(model, tmp_path / "out", format="onnx")
    check_folder(model, tmp_path / "out", "onnx")
    session = onnxruntime.InferenceSession(made.file, providers=["CPUExecutionProvider"])
    for count in (1, 2, 5):
        views = shown(count)
        found = session.run(None, {"clips_0": views.numpy()})[0]
        assert found.shape == (count,)
        np.testing.assert_allclose(found, scores(model, views).numpy(), atol=0.01)


@pytest.mark.slow
def test_a_program_of_torch_gives_the_scores_for_any_number_of_videos(tmp_path: Path) -> None:
    model = tiny()
    made = export_network(model, tmp_path / "out", format="torch-export")
    check_folder(model, tmp_path / "out", "torch-export")
    program = torch.export.load(made.file).module()
    for count in (1, 4):
        torch.testing.assert_close(program(shown(count)), scores(model, shown(count)), atol=0.01, rtol=0)


@needs_onnx
@pytest.mark.slow
def test_a_model_of_two_views_has_an_input_for_each(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    wide, narrow = (View(UniformClips(2, 2), NativePatches((1, count), 32)) for count in (2, 1))
    branches = {name: CompressionLevel(width=8, view=view) for name, view in (("wide", wide), ("narrow", narrow))}
    made = export_network(MultiBranch(branches), tmp_path / "out", format="onnx")
    inputs = onnxruntime.InferenceSession(made.file, providers=["CPUExecutionProvider"]).get_inputs()
    assert [one.shape[1:] for one in inputs] == [[2, 3, 2, 32, 64], [2, 3, 2, 32, 32]]
    assert [one["name"] for one in json.loads((tmp_path / "out/view.json").read_text())["inputs"]] == [
        one.name for one in inputs
    ]


def test_safetensors_hold_all_weights(tmp_path: Path) -> None:
    model = tiny()
    made = export_network(model, tmp_path / "out", format="safetensors")
    check_folder(model, tmp_path / "out", "safetensors")
    read = load_file(made.file)
    assert read.keys() == model.state_dict().keys()
    assert all(torch.equal(read[key], tensor) for key, tensor in model.state_dict().items())


@pytest.mark.slow
def test_openvino_gives_the_scores_of_torch(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = tiny()
    made = export_network(model, tmp_path / "out", format="openvino")
    check_folder(model, tmp_path / "out", "openvino")
    found = openvino.Core().compile_model(made.file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(shown(3).numpy())[0]
    np.testing.assert_allclose(found, scores(model, shown(3)).numpy(), atol=0.01)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_package_that_is_not_installed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format
) -> None:
    monkeypatch.setattr(network_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=rf"`format` {format} needs .*, which is not installed; `pip install cvqa_models"
    ):
        export_network(tiny(), tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()


class Untraceable(CompressionLevel):
    def tokens(self, x: Tensor) -> Tensor:
        return super().tokens(x) * (1.0 if float(x.float().mean()) > 0 else 2.0)


def test_a_model_that_cannot_be_traced_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^CompressionLevelModel cannot be exported \(.*\); `--format safetensors` keeps"
    ):
        export_network(tiny(Untraceable), tmp_path / "out", format="torch-export")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["weights", "places"])
def test_a_file_with_other_scores_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    def writer(network: network_export.ScoreOfViews, probes: list[Tensor], target: Path) -> network_export.Run:
        target.write_bytes(b"half a model")

        def run(views: list[Tensor]) -> Tensor:
            with torch.inference_mode():
                found = network(*views)
            return found + (0.02 if wrong == "weights" else 0.02 * (len(found) > 1))

        return run  # type: ignore[return-value]

    monkeypatch.setitem(network_export.WRITERS, "onnx", writer)
    monkeypatch.setitem(network_export.NEEDS, "onnx", ())
    with pytest.raises(
        ValueError, match=r"The onnx file gives other scores than torch: they differ by .*; nothing was kept"
    ):
        export_network(tiny(), tmp_path / "out", format="onnx")
    assert not (tmp_path / "out").exists()


def test_models_without_fixed_pixels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "measured.csv").write_text("video_id,vmaf,psnr\na,50,30\n")
    measured = MultiBranch({"table": Table(str(tmp_path / "measured.csv"), columns=["vmaf", "psnr"])})
    with pytest.raises(ValueError, match="MultiBranch takes measured values as `table`, not pixels, so it cannot"):
        export_network(measured, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_words_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`--int8` goes with `--format onnx`, and this is openvino"):
        export(Path("compression_level"), out=tmp_path / "x", format="openvino", int8=[tmp_path])
    with pytest.raises(ValueError, match=r"`--with-frozen` goes with a file that ends in \.safetensors"):
        export(Path("compression_level"), out=tmp_path / "x", format="onnx", with_frozen=True)
    with pytest.raises(FileNotFoundError, match=r"There is no video '.*gone\.mp4'"):
        export(Path("compression_level"), out=tmp_path / "x", format="onnx", int8=[tmp_path / "gone.mp4"])
    with pytest.raises(FileNotFoundError, match="There is no model 'gone'"):
        export(Path("gone"), out=tmp_path / "x", format="onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    ffmpeg.write(["-f", "lavfi", "-i", "testsrc2=s=320x180:r=10:d=2", "-c:v", "libx264", "-crf", "35"], path)
    return path


@needs_onnx
def test_the_example_scores_without_torch_and_refuses_other_weights(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "exported"
    export(Path("compression_level"), out=folder, format="onnx", int8=[film])
    said = capsys.readouterr().out
    assert "8 bits: over 1 videos scores differ by " in said
    told = json.loads((folder / "view.json").read_text())
    assert told["int8"]["largest"] < 8
    assert (folder / "model.int8.onnx").stat().st_size < 0.5 * (folder / "model.onnx").stat().st_size
    assert "8-bit weights and activations" in (folder / "README.md").read_text()

    program = "import runpy, sys; sys.modules['torch'] = sys.modules['cvqa_models'] = None; "
    program += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
    command = [sys.executable, "-c", program, ROOT / "examples" / "3_onnx.py", folder, film]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240, env=environment)
    assert float(done.stdout) == pytest.approx(
        cvqa_models.load("compression_level", device="cpu")(film).value, abs=0.01
    )

    shutil.copy(folder / "model.int8.onnx", folder / "model.onnx")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
    assert done.returncode == 1
    assert done.stderr == f"'{folder / 'model.onnx'}' is not the file that view.json describes; export it again.\n"
