"""`cvqa fit-mmf` on the columns of a metric table; on measured videos it is tested in tests/e2e."""

from __future__ import annotations

import json
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from cvqa_models import extras
from cvqa_models.commands.fit_mmf import fit_mmf
from cvqa_models.inference.extract import extract_table
from cvqa_models.training.checkpoint import load_model

SETTINGS = {"trials": 2, "folds": 2}


def write(folder: Path, *, hole: bool = False) -> list[Path]:
    """Write a table of 5 references with 16 videos each, its features, and a configuration; return the latter."""
    rng = np.random.default_rng(0)
    lines = ["video_id,reference,group,mos,FR good,FR noise,split"]
    for number in range(80):
        reference, quality = number // 16, rng.normal()
        split = "val" if reference == 4 else "train"
        mos = "" if hole and number == 3 else quality + 2 * reference
        lines.append(f"v{number},r{reference},r{reference},{mos},{quality},{rng.normal()},{split}")
    table = folder / "metrics.csv"
    table.write_text("\n".join(lines) + "\n")
    extract_table(table, ["FR *"], folder / "store")
    measures = {
        "class_path": "cvqa_models.branches.table.Table",
        "init_args": {"path": str(table), "columns": ["FR *"]},
    }
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(table)}}
    config = {
        "model": {"class_path": "cvqa_models.models.mmf.Mmf", "init_args": {"measures": measures}},
        "data": {"source": source, "store": str(folder / "store")},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    return [folder / "config.yaml"]


def test_a_metric_table_is_enough(tmp_path: Path) -> None:
    config = write(tmp_path)
    found = fit_mmf(config=config, run=tmp_path / "run", **SETTINGS)
    assert list(found["importance"]) == ["FR good", "FR noise"]
    assert found["on"] == "val"
    assert found["result"] > 0.7
    model = load_model(tmp_path / "run" / "checkpoints" / "last.ckpt")
    scores = model.score({"measures": torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]])})
    assert scores[0] > scores[1]
    assert (tmp_path / "run" / "importance.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run" / "importance.png").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"importance\.png' cannot be written .*; free space or choose another folder"):
        fit_mmf(config=write(tmp_path), run=tmp_path / "run", trials=1, folds=2)


def test_mistakes_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, hole=True)
    with pytest.raises(ValueError, match=r"`mos` is missing for 1 of 64 videos \(first: 'v3'\)"):
        fit_mmf(config=config, run=tmp_path / "run")
    other = tmp_path / "metric.yaml"
    content = json.loads(config[0].read_text())
    name = {"class_path": "cvqa_models.models.metric.Metric", "init_args": {"name": "piq:gmsd"}}
    other.write_text(json.dumps({**content, "model": name}))
    with pytest.raises(ValueError, match=r"fits the system Mmf, not Metric; use `train\.py fit`"):
        fit_mmf(config=[other])

    def without_optuna(package: str) -> ModuleSpec | None:
        return None if package == "optuna" else find_spec(package)

    monkeypatch.setattr(extras, "find_spec", without_optuna)
    with pytest.raises(ValueError, match=r"needs the package optuna; `pip install 'cvqa_models\[fr\]'`"):
        fit_mmf(config=config)


@pytest.mark.parametrize(
    ("computed", "store", "message"),
    [
        (False, True, r"takes measured values, .*empty/.*' lacks 64 videos .*; run `cvqa extract --from-table"),
        (False, False, r"takes measured values, .* there is no `data\.store`; run `cvqa extract --from-table"),
        (True, True, r"empty' does not hold all measures; run `cvqa extract`"),
        (True, False, r"no `data\.store` is given; run `cvqa extract`"),
    ],
)
def test_measures_must_be_in_a_store(computed: bool, store: bool, message: str, tmp_path: Path) -> None:
    config = write(tmp_path)
    content = json.loads(config[0].read_text())
    content["data"]["store"] = str(tmp_path / "empty") if store else None
    if computed:
        piq = {"class_path": "cvqa_models.branches.piq.Piq", "init_args": {"measures": ["gmsd"], "num_clips": 2}}
        content["model"]["init_args"]["measures"] = piq
    config[0].write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        fit_mmf(config=config)
