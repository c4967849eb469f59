"""Training goes on where it was stopped, obeys what was typed, and ends with one sentence where it cannot run."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.plugins.io import AsyncCheckpointIO

from cvqa_models.data.predictions import read_predictions
from cvqa_models.data.rows import read_rows
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.training import cli
from cvqa_models.training.callbacks.checkpoints import WholeFiles
from cvqa_models.training.callbacks.prediction_writer import PredictionWriter
from cvqa_models.training.callbacks.progress_lines import ProgressLines
from cvqa_models.training.run_folder import find_checkpoint, owned
from cvqa_models.types import Batch
from tests.cli.table_run import fit_words, write_inputs

Fit = Callable[..., cli.TrainCli]
Told = Callable[..., str]
STOPPING = "--trainer.callbacks+=pytorch_lightning.callbacks.EarlyStopping"


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def trained(configs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs."""
    run = tmp_path_factory.mktemp("trained") / "run"
    cli.run_cli(fit_words(configs, run, "--trainer.max_epochs=3"))
    return run


@pytest.fixture
def told(configs: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """Run a training command in this process and return the one sentence that it ends with."""

    def run(folder: Path, *words: str, command: str = "fit") -> str:
        monkeypatch.setattr(sys, "argv", ["train.py", *fit_words(configs, folder, *words, command=command)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        lines = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2, lines
        assert not [line for line in lines if "Traceback" in line]
        assert lines[-1].startswith("train.py: ")
        return lines[-1]

    return run


def content(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def assert_same(one: Path, two: Path) -> None:
    """Weights, the state of the optimiser and the best result are the same to the bit."""
    first, second = content(one), content(two)
    for name, value in first["state_dict"].items():
        torch.testing.assert_close(second["state_dict"][name], value, atol=0, rtol=0)
    moments = [[state["exp_avg"] for state in c["optimizer_states"][0]["state"].values()] for c in (first, second)]
    torch.testing.assert_close(moments[1], moments[0], atol=0, rtol=0)
    best = [[state.get("best_model_score") for state in c["callbacks"].values()] for c in (first, second)]
    assert best[0] == best[1]
    assert first["global_step"] == second["global_step"]


# Checkpoints


def test_a_checkpoint_is_whole_or_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"epoch": 1}, path)
    old = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ValueError, match=r"last\.ckpt' cannot be written \(No space left on device\)"):
        WholeFiles().save_checkpoint({"epoch": 2}, path)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_checkpoints_never_pass_through_the_folder_for_temporary_files(
    configs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "tmp"
    nowhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(nowhere))
    seen = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, target: (seen.append((self, Path(target))), replace(self, target))
    )
    cli.run_cli(fit_words(configs, tmp_path / "run", "--trainer.max_epochs=2"))
    moved = [(source, target) for source, target in seen if target.suffix == ".ckpt"]
    assert len(moved) >= 3
    assert all(source.parent == target.parent for source, target in moved)
    assert not list(nowhere.iterdir())


def test_a_users_own_way_of_writing_keeps_whole_files(tmp_path: Path) -> None:
    asynchronous = AsyncCheckpointIO()
    assert cli.with_whole_files(asynchronous) == [asynchronous]
    assert isinstance(asynchronous.checkpoint_io, WholeFiles)
    assert isinstance(cli.with_whole_files(None)[0], WholeFiles)
    asynchronous.save_checkpoint({"epoch": 3}, tmp_path / "a.ckpt")
    asynchronous.teardown()
    assert content(tmp_path / "a.ckpt") == {"epoch": 3}


def test_a_small_head_on_cached_features_is_trained_on_one_thread(
    configs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen, step = torch.get_num_threads(), [], MultiBranch.training_step

    def watched(self: MultiBranch, batch: Batch, index: int) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return step(self, batch, index)

    monkeypatch.setattr(MultiBranch, "training_step", watched)
    try:
        torch.set_num_threads(2)
        cli.run_cli(fit_words(configs, tmp_path / "run", "--trainer.max_epochs=1"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_a_checkpoint_says_nothing_of_the_folder_that_it_was_made_in(trained: Path) -> None:
    for path in (trained / "checkpoints").iterdir():
        callbacks = json.dumps(content(path)["callbacks"], default=str)
        assert "best.ckpt" in callbacks
        assert str(trained) not in callbacks
        assert "/" not in callbacks.replace("val/result", "")


def test_a_moved_run_still_knows_its_best_epoch(configs: list[Path], trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "moved"
    shutil.copytree(trained, run)
    again = cli.run_cli(fit_words(configs, run, "--ckpt_path=last", "--trainer.max_epochs=3"))
    best = again.trainer.checkpoint_callback
    assert best.best_model_path == str(run / "checkpoints" / "best.ckpt")  # type: ignore[union-attr]
    assert best.best_model_score == max(best.best_k_models.values())  # type: ignore[union-attr]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_another_run_does_not_wait_for_a_better_epoch_than_it_has(
    configs: list[Path], trained: Path, tmp_path: Path
) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    run = tmp_path / "other"
    # A rate of nothing: no epoch is better than the one of the first run.
    still = ["--model.init_args.recipe.lr_head=0", "--model.init_args.recipe.weight_decay=0"]
    cli.run_cli(fit_words(configs, run, f"--ckpt_path={last}", "--trainer.max_epochs=4", *still))
    assert content(run / "checkpoints" / "best.ckpt")["epoch"] == 3


# Which checkpoint a name means


def test_a_run_goes_on_from_the_newest_checkpoint_that_can_be_read(
    configs: list[Path], trained: Path, tmp_path: Path, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    best, last = (run / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    os.utime(best, (1, 1))
    assert find_checkpoint(run, "last") == last
    last.write_bytes(last.read_bytes()[:5000])
    said = told(run)
    assert f"continue it with `--ckpt_path last` ('{best}')" in said
    caplog.set_level("INFO")
    again = cli.run_cli(fit_words(configs, run, "--ckpt_path=last", "--trainer.max_epochs=4"))
    assert f"`--ckpt_path last` is '{best}'" in caplog.text
    assert f"passed over: '{last}' is truncated" in caplog.text
    assert again.trainer.ckpt_path == str(best)
    assert content(last)["epoch"] == 3
    for path in (best, last):
        path.write_bytes(pickle.dumps(Path("x")))
    for words in ((), ("--ckpt_path=last",), ("--ckpt_path", "best")):
        said = told(run, *words)
        assert "has no `" in said
        assert "weights_only" not in said


def test_weights_alone_are_passed_over_in_training_and_read_in_prediction(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    weights = run / "checkpoints" / "weights.ckpt"
    torch.save({"state_dict": {}}, weights)
    assert find_checkpoint(run, "last") == weights
    assert find_checkpoint(run, "last", to_train=True) == run / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("command", ["validate", "predict", "fit"])
def test_a_name_that_means_no_checkpoint(command: str, told: Told, tmp_path: Path) -> None:
    said = told(tmp_path / "run", "--ckpt_path=best", command=command)
    assert "has no checkpoint that `best` could mean" in said
    assert not (tmp_path / "run").exists()


def test_one_command_starts_a_run_and_goes_on_with_it(configs: list[Path], tmp_path: Path, told: Told) -> None:
    words = fit_words(configs, tmp_path / "run", "--ckpt_path=last", "--trainer.max_epochs=2")
    first = cli.run_cli(words).trainer
    second = cli.run_cli([*words, "--trainer.enable_progress_bar=true"]).trainer
    # This is no terminal, where a bar could be drawn.
    assert first.progress_bar_callback is None
    assert isinstance(second.progress_bar_callback, ProgressLines)
    assert (first.ckpt_path, first.global_step, second.global_step) == (None, 12, 12)
    assert second.ckpt_path == str(tmp_path / "run" / "checkpoints" / "last.ckpt")
    # A file names the run, and the checkpoint, as well as the command line does.
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(json.dumps({"run": str(tmp_path / "run"), "ckpt_path": "last"}))
    bare = [word for word in words if not word.startswith(("--run", "--ckpt_path"))]
    assert cli.run_cli([*bare, f"--config={overlay}"]).trainer.ckpt_path == second.ckpt_path


# What was typed


def test_rates_typed_on_resuming_are_obeyed(configs: list[Path], trained: Path, tmp_path: Path) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    recipe = {"lr_head": 0.5, "weight_decay": 0.125, "warmup": 0.0}
    words = [f"--model.init_args.recipe.{name}={value}" for name, value in recipe.items()]
    stop = [STOPPING, "--trainer.callbacks.monitor=val/result", "--trainer.callbacks.mode=max"]
    first = cli.run_cli(
        fit_words(configs, tmp_path / "a", *stop, "--trainer.callbacks.patience=9", "--trainer.max_epochs=1")
    )
    again = cli.run_cli(
        fit_words(
            configs,
            tmp_path / "b",
            *stop,
            "--trainer.callbacks.patience=2",
            *words,
            f"--ckpt_path={tmp_path / 'a' / 'checkpoints' / 'last.ckpt'}",
            "--trainer.max_epochs=2",
        )
    )
    assert first.trainer.early_stopping_callback.patience == 9  # type: ignore[union-attr]
    assert again.trainer.early_stopping_callback.patience == 2  # type: ignore[union-attr]
    (optimizer,) = again.trainer.optimizers
    assert {group["initial_lr"] for group in optimizer.param_groups} == {0.5}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.125, 0.0}
    # A cosine over 12 steps, of which the last is done; the old run's was over 6.
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi * 12 / 12)))
    rates = again.trainer.lr_scheduler_configs[0].scheduler
    assert rates.lr_lambdas[0].total == 12
    assert last.is_file()


def test_more_epochs_typed_on_resuming_stretch_the_schedule(configs: list[Path], trained: Path, tmp_path: Path) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    cli.run_cli(fit_words(configs, tmp_path / "run", f"--ckpt_path={last}", "--trainer.max_epochs=6"))
    before, after = content(last)["state_dict"], content(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    # At the end of the old schedule the rate was 0, which would leave all weights where they are.
    assert any(not torch.allclose(after[name], value, atol=1e-4) for name, value in before.items())


def test_a_run_without_an_end_in_epochs_trains(configs: list[Path], tmp_path: Path) -> None:
    done = cli.run_cli(
        fit_words(configs, tmp_path / "steps", "--trainer.max_epochs=-1", "--trainer.max_steps=15")
    ).trainer
    assert done.global_step == 15
    assert done.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    timed = cli.run_cli(
        fit_words(configs, tmp_path / "time", "--trainer.max_epochs=-1", "--trainer.max_time=00:00:00:01")
    ).trainer
    assert timed.global_step > 0
    assert timed.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3)


MISTAKES = {
    "monitor": ([STOPPING, "--trainer.callbacks.monitor=val/reslt"], "'val/reslt', which nothing logs"),
    "late monitor": (
        [STOPPING, "--trainer.callbacks.monitor=train/los"],
        "`train/los` which is not available",
    ),
    "checkpoint monitor": (
        ["--trainer.callbacks+=pytorch_lightning.callbacks.ModelCheckpoint", "--trainer.callbacks.monitor=val/x"],
        "'val/x', which nothing logs",
    ),
    "few batches": (["--trainer.limit_train_batches=0.1"], "0.1 * 6 < 1"),
    "overfit": (["--trainer.overfit_batches=0.01"], "0.01 * 6 < 1"),
    "bf16-true": (["--trainer.precision=bf16-true"], "use 32-true"),
    "16-true": (["--trainer.precision=16-true"], "use 32-true"),
    "64": (["--trainer.precision=64"], "use 32-true"),
    "devices": (["--trainer.devices=-1"], "should be an int > 0"),
    "strategy": (["--trainer.strategy=foo"], "invalid strategy name"),
    "accumulate": (["--trainer.accumulate_grad_batches=0"], "`--trainer.accumulate_grad_batches` is 0"),
    "validation": (["--trainer.check_val_every_n_epoch=0"], "`--trainer.check_val_every_n_epoch` is 0"),
    "interval": (["--trainer.val_check_interval=50"], "number of the training batches (6)"),
    "twice": (
        [
            "--trainer.callbacks+=pytorch_lightning.callbacks.ModelCheckpoint",
            "--trainer.callbacks.monitor=val/result",
            "--trainer.callbacks.mode=max",
        ],
        "more than one stateful callback",
    ),
    "rate": (["--model.init_args.recipe.lr_head=-1"], "`lr_head` is -1"),
    "warmup": (["--model.init_args.recipe.warmup=2"], "`warmup` is 2"),
}


@pytest.mark.filterwarnings("ignore:You requested to overfit")
@pytest.mark.parametrize("kind", MISTAKES)
def test_an_option_that_cannot_be_used(kind: str, told: Told, tmp_path: Path) -> None:
    words, expected = MISTAKES[kind]
    assert expected in told(tmp_path / "run", "--trainer.max_epochs=1", *words)


def test_a_checkpoint_that_has_gone_further_than_asked(told: Told, trained: Path, tmp_path: Path) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    said = told(tmp_path / "run", f"--ckpt_path={last}", "--trainer.max_epochs=2")
    assert f"'{last}' was trained for 3 epochs, more than `max_epochs` 2" in said
    said = told(tmp_path / "run", f"--ckpt_path={last}", "--trainer.max_steps=5")
    assert "was trained for 18 steps, more than `max_steps` 5" in said
    weights = tmp_path / "weights.ckpt"
    torch.save({name: content(last)[name] for name in ("state_dict", "hyper_parameters")}, weights)
    assert "holds weights alone" in told(tmp_path / "run", f"--ckpt_path={weights}")


# One owner


def test_a_run_folder_has_one_owner(configs: list[Path], trained: Path, told: Told, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    hold = "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_EX); "
    hold += "print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", hold, str(run / "run.lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        said = told(run, "--ckpt_path=last", "--trainer.max_epochs=4")
        assert f"Another `fit` is under way in '{run}'" in said
        other.send_signal(signal.SIGKILL)
        other.wait()
        # The dead hold nothing.
        with owned(run):
            pass
    assert content(run / "checkpoints" / "last.ckpt")["epoch"] == 2


# Signals


Stop = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def stop(configs: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stop]:
    """Run a command that gets a signal in its second epoch; returns the exit code and what it says last."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}

    def run(folder: Path, *names: str, batch: int = 2, command: str = "fit") -> tuple[int, list[str]]:
        words = fit_words(configs, folder, "--trainer.max_epochs=3", command=command)
        if command != "fit":
            words.remove("--trainer.max_epochs=3")
        for number, name in enumerate(names):
            arguments = {"name": name, "epoch": 1, "batch": batch + number}
            callback = {"class_path": "tests.cli.table_run.SendSignal", "init_args": arguments}
            words.append(f"--trainer.callbacks+={json.dumps(callback)}")
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert isinstance(end.value.code, int)
        return end.value.code, capsys.readouterr().err.strip().splitlines()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("name", "batch", "code", "steps"), [("SIGTERM", 2, 143, 9), ("SIGTERM", 5, 143, 12), ("SIGINT", 2, 130, 6)]
)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(
    name: str, batch: int, code: int, steps: int, configs: list[Path], trained: Path, stop: Stop, tmp_path: Path
) -> None:
    ended, lines = stop(tmp_path / "run", name, batch=batch)
    assert ended == code
    assert lines[-1].startswith(f"train.py: stopped by {'SIGTERM' if name == 'SIGTERM' else 'Ctrl-C'}")
    assert not [line for line in lines if "Traceback" in line]
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert content(last)["global_step"] == steps
    cli.run_cli(fit_words(configs, tmp_path / "run", "--trainer.max_epochs=3", "--ckpt_path=last"))
    for file in ("last.ckpt", "best.ckpt"):
        assert_same(tmp_path / "run" / "checkpoints" / file, trained / "checkpoints" / file)


def test_a_stopped_prediction_goes_on_from_the_rows_that_are_done(
    configs: list[Path], stop: Stop, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO", "cvqa_models")
    run = tmp_path / "run"
    ended, lines = stop(run, "SIGTERM", batch=0, command="predict")
    assert (ended, lines[-1][:29]) == (143, "train.py: stopped by SIGTERM;")
    assert not list(run.rglob("predictions*"))
    ended, _ = stop(run, "SIGTERM", command="predict")
    assert ended == 143
    assert [path.name for path in run.rglob("predictions*")] == ["predictions.rows.jsonl"]
    part = {row["video"]: row["score"] for row in read_rows(run / "predictions.rows.jsonl")}
    assert f"rows.jsonl' keeps the {len(part)} videos that are done; the same command" in caplog.text
    kept = (run / "predictions.rows.jsonl").read_bytes()
    for words in ([], ["--trainer.precision=bf16-mixed"]):  # rows of another arithmetic do not count
        caplog.clear()
        cli.run_cli(fit_words(configs, run, *words, command="predict"))
        assert (f"{len(part)} videos were predicted before" in caplog.text) == (not words)
        assert sorted(path.name for path in run.rglob("*predictions*")) == ["predictions.csv", "predictions.json"]
        if not words:
            whole = read_predictions(run / "predictions.csv")
            (run / "predictions.rows.jsonl").write_bytes(kept)
    assert 0 < len(part) < len(whole)
    assert part == {name: whole[name] for name in part}
    cli.run_cli(fit_words(configs, tmp_path / "other", command="predict"))
    assert read_predictions(tmp_path / "other" / "predictions.csv") == whole


def test_a_prediction_that_ended_before_its_table_is_written(configs: list[Path], tmp_path: Path, monkeypatch) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(PredictionWriter, "_write", lambda *_: None)  # killed at this moment
    cli.run_cli(fit_words(configs, run, command="predict"))
    monkeypatch.undo()
    rows = {row["video"]: row["score"] for row in read_rows(run / "predictions.rows.jsonl")}
    cli.run_cli(fit_words(configs, run, command="predict"))
    assert read_predictions(run / "predictions.csv") == rows


def test_a_job_that_slurm_queues_again_goes_on_by_the_same_command(
    configs: list[Path], trained: Path, stop: Stop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name, value in {"NTASKS": "1", "JOB_ID": "17", "JOB_NAME": "x", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    run = tmp_path / "run"
    code, _ = stop(run, "SIGUSR1", "SIGTERM", batch=1)
    assert code == 143
    assert (tmp_path / "asked").read_text() == "requeue 17\n"
    assert content(run / "hpc_ckpt_1.ckpt")["global_step"] == 8
    assert content(run / "checkpoints" / "last.ckpt")["global_step"] == 9
    assert find_checkpoint(run, "hpc") == run / "hpc_ckpt_1.ckpt"
    (run / "checkpoints" / "last.ckpt").unlink()  # as if SIGKILL had come before it was written
    cli.run_cli(fit_words(configs, run, "--trainer.max_epochs=3"))
    assert_same(run / "checkpoints" / "last.ckpt", trained / "checkpoints" / "last.ckpt")
