"""Write an ONNX file with 8-bit weights and activations, and measure the error of its scores."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cvqa_models.files import write_bytes
from cvqa_models.video.reader import read_views
from cvqa_models.video.view import View

FILE = "model.int8.onnx"


@dataclass(frozen=True)
class Int8:
    """The error of 8 bits, in units of the score: mean and largest difference over the videos of the calibration."""

    file: str
    videos: int
    mean: float
    largest: float


def quantised(
    source: Path, folder: Path, videos: Sequence[Path], views: Sequence[View], runner: Callable[[Path], Any]
) -> Int8:
    """Write `model.int8.onnx` and return the error of its scores.

    Convolutions and matrix products get 8-bit weights, with one scale per channel, and 8-bit activations, with ranges
    measured on the videos.

    Args:
        source: The ONNX file.
        folder: Folder for the new file.
        videos: Videos to calibrate on.
        views: Inputs of the file, in their order.
        runner: Function that takes an ONNX file and returns a function that scores views.

    Raises:
        FileNotFoundError: If a video is not there.
        ValueError: If one cannot be read.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    shown = [_views(path, views) for path in videos]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(shown)

        def get_next(self) -> dict[str, Any] | None:
            found = next(self.left, None)
            return None if found is None else {f"clips_{k}": view.numpy() for k, view in enumerate(found)}

    with tempfile.TemporaryDirectory(prefix="cvqa-export-", ignore_cleanup_errors=True) as name:
        plain, small = Path(name) / "plain.onnx", Path(name) / FILE
        quant_pre_process(source, plain, skip_symbolic_shape=True)
        quantize_static(
            plain,
            small,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        run, run_small = runner(source), runner(small)
        gaps = torch.stack([(run(one) - run_small(one)).abs().squeeze() for one in shown])
        write_bytes(folder / FILE, small.read_bytes())
    return Int8(FILE, len(shown), float(gaps.mean()), float(gaps.max()))


def _views(path: Path, views: Sequence[View]) -> list[Tensor]:
    found = read_views(path, views)
    return [found[view.key][None] for view in views]
