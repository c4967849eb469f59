"""Checkpoints and configurations of commit 128d276 load, and score as they did there, to the bit.

`before/` holds what each tiny system of that commit wrote when it was fitted for one step on the encodes of
`test_tiny_systems.py`: the model's part of RUN/logs/config.yaml, and RUN/checkpoints/last.ckpt. A checkpoint is
here without the state of the optimiser, and of tables of more than 256 numbers it keeps shape, mean and deviation;
`filled` draws such numbers again. `scores.json` is what that commit's `cvqa score` said of them, on one thread.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cvqa_models.inference.load import load
from cvqa_models.training.checkpoint import load_weights, read_checkpoint
from cvqa_models.training.configured import Configured

BEFORE = Path(__file__).parent / "before"
MADE: dict[str, Any] = json.loads((BEFORE / "scores.json").read_text())
SCORES: dict[str, dict[str, float]] = MADE["scores"]
FINISHED = {"metric", "ms_ssim"}  # nothing to train, so they have no checkpoint
COMPARING = {*FINISHED, "mmf"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def filled(path: Path) -> dict[str, Any]:
    """Return a checkpoint with the numbers that its file leaves out."""
    content: dict[str, Any] = torch.load(io.BytesIO(gzip.decompress(path.read_bytes())), weights_only=True)
    state = content["state_dict"]
    for key, (shape, mean, deviation) in content.pop("drawn").items():
        noise = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
        state[key] = torch.from_numpy(noise * deviation + mean).float()
    return {**content, "state_dict": {key: state[key] for key in content.pop("order")}}


def arithmetic() -> dict[str, str]:
    """Return what tells apart machines whose sums may differ in the last bit: versions, and a digest of some sums."""
    draw = torch.Generator().manual_seed(0)
    x, kernel = torch.randn(2, 16, 48, 48, generator=draw), torch.randn(32, 16, 3, 3, generator=draw)
    rows = F.conv2d(x, kernel, stride=2).flatten(2).transpose(1, 2)
    attended = F.scaled_dot_product_attention(rows, rows / 100, rows)
    resized = F.interpolate(x, (31, 17), mode="bicubic", antialias=True)
    sums = [attended @ attended.transpose(1, 2), F.gelu(rows), resized]
    digest = hashlib.sha256(b"".join(part.contiguous().numpy().tobytes() for part in sums)).hexdigest()
    return {"sums": digest[:16], **{name: version(name) for name in MADE["made_with"] if name != "sums"}}


def expected(score: float) -> Any:
    """Return what a score must equal: itself where arithmetic is that of the record, else nearly so."""
    return score if arithmetic() == MADE["made_with"] else pytest.approx(score, rel=1e-4, abs=1e-5)


@pytest.fixture
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the file that a user of that commit would give to `cvqa score`."""
    if request.param in FINISHED:
        return BEFORE / f"{request.param}.yaml"
    torch.save(filled(BEFORE / f"{request.param}.ckpt.gz"), tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.parametrize(("model", "name"), [(name, name) for name in SCORES], ids=list(SCORES), indirect=["model"])
def test_what_was_fitted_before_loads_and_scores_as_it_did(model: Path, name: str) -> None:
    scorer = load(model, device="cpu")
    for source, score in SCORES[name].items():
        reference = BEFORE / f"{source}.mkv" if name in COMPARING else None
        assert scorer(BEFORE / f"{source}_40.mp4", reference=reference).value == expected(score)
    if name not in FINISHED:
        built = Configured([BEFORE / f"{name}.yaml"], with_data=False).build_model()
        load_weights(built, read_checkpoint(model), model)  # exactly these keys and shapes
        assert built.demands == scorer.model.demands
