"""`train.py fit|validate|test|predict`: Lightning's command line with our model, data and run folder."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import ArgumentError, set_parsing_settings
from lightning_fabric.plugins import CheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins.io.wrapper import _WrappingCheckpointIO

from cvqa_models import ending
from cvqa_models.callbacks.checkpoints import LAST, WholeFiles, checkpoints
from cvqa_models.callbacks.monitored import CheckMonitors
from cvqa_models.callbacks.prediction_writer import PredictionWriter
from cvqa_models.callbacks.seeding import SeedSteps
from cvqa_models.callbacks.stopping import StopAfterBatch
from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.mistakes import innermost
from cvqa_models.models.checkpoint import check_fits, read_checkpoint
from cvqa_models.models.module import QualityModule
from cvqa_models.resuming import check_progress, resolve, trusted, typed, with_defaults
from cvqa_models.run_folder import find_checkpoint, holds_run, owned
from cvqa_models.terminal import log_to_stderr

log = logging.getLogger(__name__)

DEFAULT_RUN = "runs/default"


class SaveTrainingConfig(SaveConfigCallback):
    """Keep the configuration of training beside its logs; what a prediction was asked for is not the run's."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            super().setup(trainer, pl_module, stage)


class TrainCLI(LightningCLI):
    """Lightning's command line, with one folder per run and with checkpoints that never overrule what a user typed."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--run",
            type=str,
            default=DEFAULT_RUN,
            help="Folder of this run: configuration, logs, checkpoints, predictions.",
        )
        parser.add_argument(
            "--maps",
            action="store_true",
            help="With `predict`: also write the score maps of each video to RUN/maps/VIDEO_ID.safetensors.",
        )
        parser.add_argument(
            "--trust",
            type=str,
            nargs="+",
            default=[],
            help="Your own packages whose classes a checkpoint may build; their code is run.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        words = [str(word) for word in args] if isinstance(args, list) else sys.argv[1:]
        self.chosen = typed(words, "ckpt_path")
        command = words[0] if words and words[0] in self.subcommands() else None
        path = resolve(command, Path(typed(words, "run") or DEFAULT_RUN), self.chosen) if command else None
        try:
            self.config = parser.parse_args(with_defaults(words, path, trusted(words)))
        except ArgumentError as error:
            raise ValueError(f"{innermost(str(error))}; correct it, or list the options with `--help`.") from error
        if command:
            self.config[command].ckpt_path = None if path is None else str(path)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: the stock step lets a checkpoint overrule explicit arguments; see `parse_arguments`."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        config.trainer.default_root_dir = config.run
        check_options(config.trainer)
        self._check_new()

    def _check_new(self) -> None:
        """Raise a ValueError where a new run would be mixed with an old one."""
        run = Path(self._get(self.config, "run"))
        new = self.subcommand == "fit" and self.chosen is None and self._get(self.config, "ckpt_path") is None
        if new and holds_run(run):
            newest = find_checkpoint(run, LAST, to_train=True)
            way = f"continue it with `--ckpt_path last` ('{newest}')"
            raise ValueError(
                f"'{run}' already holds a run; choose another `--run`, or "
                f"{way if newest else 'remove it, as it has no checkpoint yet'}."
            )

    def instantiate_classes(self) -> None:
        with plain_errors():
            super().instantiate_classes()
        path = self._get(self.config, "ckpt_path")
        if path:
            # Lightning would say it in a page, and without the file.
            checkpoint = read_checkpoint(path)
            check_fits(self.model, checkpoint, path)
            if self.subcommand == "fit":
                check_progress(checkpoint, self.trainer, Path(path))

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        run = Path(self._get(self.config, "run"))
        chosen = self._get(self.config_init, "trainer.logger")
        loggers = [] if chosen in (None, True, False) else chosen if isinstance(chosen, list) else [chosen]
        if self.subcommand == "fit":
            # Opening a log anew would delete what a resumed run has logged so far.
            logs = "logs" if not (run / "logs").exists() else f"logs-{len(list(run.glob('logs*'))) + 1}"
            always = [CSVLogger(run, name="", version=logs), TensorBoardLogger(run, name="", version=logs)]
            loggers = [*always, *loggers]
        return super().instantiate_trainer(logger=loggers or False, **kwargs)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[pl.Callback]) -> pl.Trainer:
        run = Path(self._get(self.config, "run"))
        callbacks = [*callbacks, CheckMonitors()]
        if config.get("enable_checkpointing") is not False:
            callbacks = [*callbacks, *checkpoints(run), StopAfterBatch()]
        seed = self._get(self.config, "seed_everything")
        if isinstance(seed, int) and not isinstance(seed, bool):
            callbacks.append(SeedSteps(seed))
        if self.subcommand == "predict":
            maps = run / "maps" if self._get(self.config, "maps") else None
            callbacks.append(PredictionWriter(run / "predictions.csv", maps))
        config["plugins"] = with_whole_files(config.get("plugins"))
        try:
            trainer = super()._instantiate_trainer(config, callbacks)
        except (MisconfigurationException, TypeError, RuntimeError) as error:
            reason = str(error).strip(" .!")
            hint = "" if config.get("accelerator") == "cpu" else "; without a GPU, use `configs/trainer/cpu.yaml`"
            raise ValueError(f"The trainer cannot be set up with these options: {reason}{hint}.") from error
        assert isinstance(trainer, pl.Trainer)
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        with plain_errors():
            try:
                if subcommand != "fit":
                    super()._run_subcommand(subcommand)
                    return
                with owned(Path(self._get(self.config, "run"))):
                    self._check_new()  # again, now that nobody else can start one
                    super()._run_subcommand(subcommand)
            except OSError as error:
                # Of a write into an open file, such as a log or a checkpoint on a full disk, the system names no file.
                # Our own errors have no number, and say it all.
                if error.errno is not None and error.filename is None:
                    error.filename = self._get(self.config, "run")
                raise


def check_options(trainer: Any) -> None:
    """Raise a ValueError for what Lightning's trainer takes and then fails on, with an error that says nothing."""
    if str(trainer.precision) in ("16-true", "bf16-true", "64", "64-true"):
        raise ValueError(
            f"`--trainer.precision {trainer.precision}` would hold the weights so, while features and losses are "
            "in 32 bits; use 32-true, or `16-mixed` or `bf16-mixed` to save time and memory."
        )
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        value = trainer[name]
        if value is not None and value < 1:
            raise ValueError(f"`--trainer.{name}` is {value}; expected at least 1.")


def with_whole_files(plugins: Any) -> list[Any]:
    """Return the trainer's plugins, with ours for writing checkpoints where a user has chosen none."""
    chosen = plugins if isinstance(plugins, list) else [] if plugins is None else [plugins]
    for plugin in chosen:
        if isinstance(plugin, _WrappingCheckpointIO) and plugin.checkpoint_io is None:
            plugin.checkpoint_io = WholeFiles()  # one that writes on a thread of its own, through another
    return chosen if any(isinstance(plugin, CheckpointIO) for plugin in chosen) else [*chosen, WholeFiles()]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what Lightning says of a user's mistake in other classes of error into a ValueError, which is a sentence."""
    try:
        yield
    except (MisconfigurationException, ModuleNotFoundError) as error:
        raise ValueError(f"{str(error).strip(' .!')}; correct the options of `--trainer`.") from error
    except RuntimeError as error:
        if not str(error).startswith("Early stopping conditioned on metric"):
            raise
        raise ValueError(f"{str(error).strip(' .!')}.") from error


def run_cli(args: list[str] | None = None) -> TrainCLI:
    """Parse `args` (the command line if None) and run; returns the finished command line object for scripts.

    Raises:
        ValueError: For a user's mistake in data, configuration or checkpoint.
        FileNotFoundError: For a file that is not there.
    """
    # What a user types may name classes of any package, but a value of open type builds nothing, and nothing that runs
    # programs or opens files by itself, such as `os` or `subprocess`, is imported for a name.
    set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_allowlist=["cvqa_models"])
    return TrainCLI(
        QualityModule,
        GroupDataModule,
        subclass_mode_model=True,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        save_config_callback=SaveTrainingConfig,
        save_config_kwargs={"overwrite": True},
        parser_kwargs={name: {"exit_on_error": False} for name in TrainCLI.subcommands()} | {"exit_on_error": False},
        args=args,
    )


def train(program: str = "train.py", words: list[str] | None = None) -> None:
    """Run the command line, telling what happens on stderr.

    Args:
        program: Name in front of what is said.
        words: What was typed; None for the words that this process was started with.
    """
    log_to_stderr()
    ending.leave_with_starter(program)
    run_cli(words)


def main() -> None:
    """Run `train.py` and leave with its exit code; see `ending.run`."""
    ending.run("train.py", train)
