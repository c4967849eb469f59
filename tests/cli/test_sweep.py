"""`cvqa sweep`: variants from several seeds, resumed and extended."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev

import pytest
import yaml

from cvqa_models.commands.sweep import sweep
from cvqa_models.training import cli
from cvqa_models.training import sweep as library
from cvqa_models.training.checkpoint import read_checkpoint
from tests.cli.table_run import ROOT, write_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sweep")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "max_epochs": 2}
    (folder / "quick.yaml").write_text(yaml.safe_dump({"trainer": quiet}))
    variants = {"small / mlp": {"model.hidden": 4}, "linear": {"model.hidden": None, "trainer.max_epochs": 1}}
    (folder / "variants.yaml").write_text(yaml.safe_dump(variants, sort_keys=False))
    return [*write_inputs(folder), ROOT / "configs/trainer/cpu.yaml", folder / "quick.yaml"]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Train in this process, and keep the words of each run."""
    done: list[list[str]] = []

    def fit(words: list[str]) -> int:
        done.append(words)
        try:
            cli.run_cli(["fit", *words])
        except ValueError:
            return 2
        return 0

    monkeypatch.setattr(library, "_fit", fit)
    return done


def test_each_variant_is_trained_from_each_seed_once(
    inputs: list[Path], fits: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = inputs[0].parent / "variants.yaml"
    assert sweep(config=inputs, out=tmp_path, variants=variants, seeds=[0], json=tmp_path / "first.json") == 0
    assert len(fits) == 2
    assert sweep(config=inputs, out=tmp_path, variants=variants, seeds=[0, 1], json=tmp_path / "both.json") == 0
    assert len(fits) == 4
    first, both = (json.loads((tmp_path / f"{name}.json").read_text())["runs"] for name in ("first", "both"))
    assert list(both) == ["small / mlp", "linear"]
    assert {name: runs["0"] for name, runs in both.items()} == {name: runs["0"] for name, runs in first.items()}
    for name in both:
        assert both[name]["0"] != both[name]["1"]
    # What is told of a run is what its best checkpoint stands for, and the values of the variant were used.
    for run in tmp_path.glob("*/seed-*"):
        best = read_checkpoint(run / "checkpoints" / "best.ckpt")
        told = both["linear" if "linear" in run.parent.name else "small / mlp"][run.name[-1]]
        [kept] = [state for state in best["callbacks"].values() if state.get("monitor") == "val/result"]
        assert told["result"] == pytest.approx(float(kept["best_model_score"]), abs=1e-6)
        assert best["hyper_parameters"]["hidden"] == (None if "linear" in run.parent.name else 4)
    values = [run["result"] for run in both["linear"].values()]
    line = next(line for line in capsys.readouterr().out.splitlines()[::-1] if "linear" in line)
    assert f"{mean(values):.4f} ± {stdev(values):.4f}" in line


def test_a_run_that_fails_costs_the_others_nothing(
    inputs: list[Path], fits: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = tmp_path / "variants.yaml"
    variants.write_text("good: {}\nbad: {model.hiden: 3}\n")
    assert sweep(config=inputs, out=tmp_path / "out", variants=variants, seeds=[3]) == 2
    assert list((tmp_path / "out" / "good").glob("seed-3/finished.json"))
    assert "seed-3: `cvqa fit` ended with exit code 2" in " ".join(capsys.readouterr().err.split())
    variants.write_text("good: {model.hidden: 2}\n")
    with pytest.raises(ValueError, match=r"out' holds a sweep with other settings of 'good'; choose another `--out`"):
        sweep(config=inputs, out=tmp_path / "out", variants=variants)
    with pytest.raises(ValueError, match=r"other settings of 'the configuration'"):
        sweep(config=inputs[:2], out=tmp_path / "out")
    with pytest.raises(ValueError, match=r"`--seeds` is \[1, 1\]; expected one or more different numbers"):
        sweep(config=inputs, out=tmp_path / "out", seeds=[1, 1])


def test_a_run_is_a_process_of_its_own_that_validates(inputs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "variants.yaml").write_text("none: {trainer.max_epochs: 0}\n")
    found = library.sweep(inputs, tmp_path / "out", variants=tmp_path / "variants.yaml", seeds=[0])
    [(run, reason)] = found.failures.items()
    assert run == str(tmp_path / "out" / "none" / "seed-0")
    assert reason == "no epoch was validated; look at `trainer.max_epochs` and `trainer.limit_val_batches`."
