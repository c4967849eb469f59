"""Write a model as one file for other runtimes: network and head, a description of its input, and a check of scores."""

from __future__ import annotations

import importlib.util
import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from cvqa_models.files import sha256, write_bytes, write_text
from cvqa_models.inference.export_card import card
from cvqa_models.inference.int8 import Int8, quantised
from cvqa_models.inference.view_steps import describe_views
from cvqa_models.models.shipped_level import LevelScores
from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.weights.exact import digest

Format = Literal["safetensors", "onnx", "torch-export", "openvino"]
Run = Callable[[Sequence[Tensor]], Tensor]

FILES: dict[Format, str] = {
    "safetensors": "model.safetensors",
    "onnx": "model.onnx",
    "torch-export": "model.pt2",
    "openvino": "model.xml",
}
NEEDS: dict[Format, tuple[str, ...]] = {
    "safetensors": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "torch-export": (),
    "openvino": ("openvino",),
}
VIEW, CARD = "view.json", "README.md"
BOUND = 1e-4  # largest difference, as a share of the scale of the scores
PROBES = 3  # number of made-up videos in the parity run
COMPRESSION_LEVEL_SCALE = 100.0


@dataclass(frozen=True)
class Parity:
    """The result of the parity run, in units of the score.

    Attributes:
        scale: The scale of the scores: 100 for the compression level, else the largest of the run, at least 1.
        difference: Largest difference between the file and torch, one video at a time.
        position: Largest difference of one video at different places of a batch.
        bound: Largest value that is allowed for both.
    """

    scale: float
    difference: float
    position: float

    @property
    def bound(self) -> float:
        """Return the largest allowed difference."""
        return BOUND * self.scale


@dataclass(frozen=True)
class Exported:
    """An export that passed its parity run.

    Attributes:
        folder: Folder of the export.
        file: The model's file in it.
        parity: Result of the parity run.
        int8: Error of 8 bits, if such a file was requested.
    """

    folder: Path
    file: Path
    parity: Parity
    int8: Int8 | None = None


class ScoreOfViews(nn.Module):
    """Scores from the views of a model: uint8 tensors (B, N, C, T, H, W), in the order of `names`."""

    def __init__(self, model: ScoringModel) -> None:
        super().__init__()
        self.model = model
        views = {demand.view.key: demand.view for demand in model.demands.values() if demand.view is not None}
        self.views = views
        # Not `view_0`: the tracer names the results of `Tensor.view` so, and ONNX wants every name once.
        self.names = [f"clips_{number}" for number in range(len(views))]

    def forward(self, *views: Tensor) -> Tensor:
        """Return one score per video, float32, shape (B,)."""
        shown = dict(zip(self.views, views, strict=True))
        features = {}
        for name, branch in self.model.each_branch().items():
            assert branch.view is not None
            features[name] = branch.tokens(shown[branch.view.key]).float()
        return self.model.score(features)


def export_network(
    model: ScoringModel,
    out: str | Path,
    *,
    format: Format = "onnx",
    int8: Sequence[str | Path] = (),
) -> Exported:
    """Write a model into a folder for another runtime, with its view as JSON and a card; whole or not at all.

    The file takes the views as uint8, for any number of videos, and holds normalisation, network and head. It is kept
    only if its scores differ from those of torch by at most 1e-4 of their scale, for a single video and at each place
    of a batch.

    Args:
        model: A trained model, such as `load(...).model`.
        out: Folder; files of an earlier export in it are replaced.
        format: `onnx`, `torch-export` (a program for `torch.export.load`), `openvino`, or `safetensors` (all weights,
            for this package).
        int8: Videos to calibrate an 8-bit ONNX file. If given, that file is written too, and its error is measured.

    Raises:
        ValueError: If a package is not installed, the model cannot be exported, or the file gives other scores.
    """
    _check_packages(format)
    folder, network = Path(out), _network(model)
    probes = _probes(network)
    with tempfile.TemporaryDirectory(prefix="cvqa-export-", ignore_cleanup_errors=True) as name:
        target = Path(name) / FILES[format]
        run = WRITERS[format](network, probes, target)
        parity = _parity(network, run, probes, format)
        small = None
        if int8:
            small = quantised(target, Path(name), [Path(path) for path in int8], list(network.views.values()), onnx_run)
        sidecar = describe(model, network, format, sha256(target), parity)
        if small is not None:
            sidecar["int8"] = vars(small)
        for path in sorted(Path(name).iterdir()):
            write_bytes(folder / path.name, path.read_bytes())
    write_text(folder / VIEW, json.dumps(sidecar, indent=1) + "\n")
    write_text(folder / CARD, card(model, sidecar))
    return Exported(folder, folder / FILES[format], parity, small)


def describe(model: ScoringModel, network: ScoreOfViews, format: Format, file: str, parity: Parity) -> dict[str, Any]:
    """Return the content of `view.json`: what the file is, and every step from video to its input."""
    return {
        "model": model.kind,
        "format": format,
        "file": FILES[format],
        "sha256": file,
        "weights": digest(model),
        "output": {"name": "score", "type": "float32", "shape": ["videos"], "scale": parity.scale},
        "parity": {"bound": parity.bound, "difference": parity.difference, "position": parity.position},
        "calibration": None if model.calibration is None else model.calibration.plain(),
        "inputs": describe_views(network.names, list(network.views.values())),
    }


def _check_packages(format: Format) -> None:
    missing = [name for name in NEEDS[format] if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"`format` {format} needs {' and '.join(missing)}, which is not installed; `pip install "
            "cvqa_models[export]` brings it."
        )


def _network(model: ScoringModel) -> ScoreOfViews:
    name = model.kind
    measured = [branch for branch, demand in model.demands.items() if demand.view is None]
    if measured:
        raise ValueError(f"{name} takes measured values as `{measured[0]}`, not pixels, so it cannot be exported.")
    network = ScoreOfViews(model.eval().to("cpu"))
    open_ended = [key for key, view in network.views.items() if view.frames.num_clips is None]
    if open_ended:
        raise ValueError(
            f"{name} sees as many clips as a video has (`{open_ended[0]}`), and a file needs a fixed number; give its "
            "branch a view with `num_clips`."
        )
    return network


def _probes(network: ScoreOfViews) -> list[Tensor]:
    """Return made-up videos, one tensor per view: noise, a gradient, and a grid, so that layers see varied input."""
    generator = torch.Generator().manual_seed(0)
    probes = []
    for view in network.views.values():
        height, width = view.pixels.output_size(720, 1280)
        channels = 6 if view.with_reference else 3
        shape = (PROBES, view.frames.num_clips or 1, channels, view.frames.clip_length, height, width)
        noise = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        slope = torch.linspace(0, 255, width).to(torch.uint8).expand(shape[1:])
        grid = ((torch.arange(width) // 8 + torch.arange(height)[:, None] // 8) % 2 * 120 + 60).to(torch.uint8)
        probes.append(torch.stack([noise[0], slope, grid.expand(shape[1:])]))
    return probes


def _parity(network: ScoreOfViews, run: Run, probes: list[Tensor], format: Format) -> Parity:
    """Compare a file with torch.

    Raises:
        ValueError: If the scores differ by more than the bound.
    """
    alone = [[probe[row : row + 1] for probe in probes] for row in range(PROBES)]
    with torch.inference_mode():
        expected = torch.cat([network(*views) for views in alone]).float()
    scale = _scale(network.model, expected)
    found = torch.cat([run(views) for views in alone])
    difference = float((found - expected).abs().max())
    orders = [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    placed = [run([probe[order] for probe in probes]) - found[order] for order in orders]
    parity = Parity(scale, difference, float(torch.stack(placed).abs().max()))
    if not max(parity.difference, parity.position) <= parity.bound:
        raise ValueError(
            f"The {format} file gives other scores than torch: they differ by {parity.difference:.3g}, and by "
            f"{parity.position:.3g} between places in a batch, where {parity.bound:.3g} is allowed; nothing was kept."
        )
    return parity


def _scale(model: ScoringModel, scores: Tensor) -> float:
    if isinstance(model, LevelScores):
        return COMPRESSION_LEVEL_SCALE
    return max(1.0, float(scores.abs().max()))


def _write_safetensors(network: ScoreOfViews, probes: list[Tensor], target: Path) -> Run:
    from safetensors.torch import load_file

    state = {key: tensor.contiguous().clone() for key, tensor in network.model.state_dict().items()}
    target.write_bytes(save(state))
    read = load_file(target)

    def run(views: Sequence[Tensor]) -> Tensor:
        swapped = {f"model.{key}": tensor for key, tensor in read.items()}
        with torch.inference_mode():
            # One video at a time, as this package scores; so places in a batch cannot matter.
            rows = [[view[row : row + 1] for view in views] for row in range(len(views[0]))]
            return torch.cat([torch.func.functional_call(network, swapped, tuple(row)) for row in rows])

    return run


def _program(network: ScoreOfViews, probes: list[Tensor]) -> torch.export.ExportedProgram:
    """Return the network as a graph with any number of videos.

    Raises:
        ValueError: If torch cannot trace it.
    """
    videos = torch.export.Dim("videos", min=1, max=4096)
    try:
        with torch.no_grad():
            program = torch.export.export(
                network, tuple(probes), dynamic_shapes={"views": tuple({0: videos} for _ in probes)}, strict=False
            )
    except Exception as error:  # torch's tracer may raise any error, depending on the model
        raise ValueError(_refusal(network, error)) from error
    program.example_inputs = None
    for node in program.graph.nodes:  # its metadata names files of this machine
        node.meta.pop("stack_trace", None)
    return program


def _refusal(network: ScoreOfViews, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160].rstrip(".")
    if reason.startswith("Constraints violated"):
        reason = "its code takes the videos of a batch apart, and a file is for any number of them"
    return (
        f"{network.model.kind} cannot be exported ({reason}); `--format safetensors` keeps its weights for this "
        "package."
    )


def _write_torch(network: ScoreOfViews, probes: list[Tensor], target: Path) -> Run:
    torch.export.save(_program(network, probes), target)
    module = torch.export.load(target).module()

    def run(views: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode():
            scores: Tensor = module(*views)
            return scores

    return run


def _write_onnx(network: ScoreOfViews, probes: list[Tensor], target: Path) -> Run:
    program = _program(network, probes)
    for name in ("onnx_ir", "onnxscript", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they log each constant that they fold
    try:
        made = torch.onnx.export(
            program, input_names=network.names, output_names=["score"], dynamo=True, verbose=False, optimize=True
        )
        assert made is not None
        for node in made.model.graph.all_nodes():  # torch records its own files on this machine there
            node.metadata_props.clear()
        made.save(str(target), external_data=False)
        return onnx_run(target)
    except Exception as error:  # as above, for operators that ONNX or its runtime does not have
        raise ValueError(_refusal(network, error)) from error


def onnx_run(file: Path) -> Run:
    """Return a function that gives the scores of an ONNX file on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(views: Sequence[Tensor]) -> Tensor:
        (scores,) = session.run(None, {name: view.numpy() for name, view in zip(names, views, strict=True)})
        return torch.from_numpy(scores)

    return run


def _write_openvino(network: ScoreOfViews, probes: list[Tensor], target: Path) -> Run:
    import openvino

    try:
        made = openvino.convert_model(_program(network, probes))
    except RuntimeError as error:
        raise ValueError(_refusal(network, error)) from error
    for place, name in zip(made.inputs, network.names, strict=True):
        place.get_tensor().set_names({name})
    openvino.save_model(made, target, compress_to_fp16=False)
    compiled = openvino.Core().compile_model(target, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(views: Sequence[Tensor]) -> Tensor:
        return torch.from_numpy(compiled([view.numpy() for view in views])[0].copy())

    return run


WRITERS: dict[Format, Callable[[ScoreOfViews, list[Tensor], Path], Run]] = {
    "safetensors": _write_safetensors,
    "onnx": _write_onnx,
    "torch-export": _write_torch,
    "openvino": _write_openvino,
}
