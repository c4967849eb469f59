"""`train.py fit|validate|test|predict`: Lightning's command line with our model, data and run folder."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import ArgumentError
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from cvqa_models.callbacks.prediction_writer import PredictionWriter
from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.mistakes import innermost, is_loader_failure, sentence
from cvqa_models.models.checkpoint import check_fits, model_config, read_checkpoint
from cvqa_models.models.module import QualityModule

log = logging.getLogger(__name__)

NAMED = ("best", "last", "hpc", "null")  # checkpoints that Lightning finds by itself


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
            default="runs/default",
            help="Folder of this run: configuration, logs, checkpoints, predictions.",
        )
        parser.add_argument(
            "--maps",
            action="store_true",
            help="With `predict`: also write the score maps of each video to RUN/maps/VIDEO_ID.safetensors.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        words = args if isinstance(args, list) else sys.argv[1:]
        try:
            self.config = parser.parse_args(_with_checkpoint_defaults(words))
        except ArgumentError as error:
            raise ValueError(f"{innermost(str(error))}; correct it, or list the options with `--help`.") from error

    def _parse_ckpt_path(self) -> None:
        """Do nothing: the stock step lets a checkpoint overrule explicit arguments; see `parse_arguments`."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        run = Path(config.run)
        if self.subcommand == "fit" and config.ckpt_path is None and (run / "logs").exists():
            last = run / "checkpoints" / "last.ckpt"
            way = (
                f"continue it with `--ckpt_path {last}`" if last.is_file() else "remove it, as it has no checkpoint yet"
            )
            raise ValueError(f"'{run}' already holds a run; choose another `--run`, or {way}.")
        config.trainer.default_root_dir = str(run)

    def instantiate_classes(self) -> None:
        super().instantiate_classes()
        path = self._get(self.config, "ckpt_path")
        if path and path not in NAMED:
            # Lightning would say it in a page, and without the file.
            check_fits(self.model, read_checkpoint(path), path)

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
        if config.get("enable_checkpointing") is not False:
            callbacks = [*callbacks, *checkpoints(run)]
        if self.subcommand == "predict":
            maps = run / "maps" if self._get(self.config, "maps") else None
            callbacks = [*callbacks, PredictionWriter(run / "predictions.csv", maps)]
        try:
            trainer = super()._instantiate_trainer(config, callbacks)
        except MisconfigurationException as error:
            raise ValueError(
                f"The trainer cannot be set up on this machine: {str(error).strip(' .!')}; without a GPU, use "
                "`configs/trainer/cpu.yaml`."
            ) from error
        assert isinstance(trainer, pl.Trainer)
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except OSError as error:
            # Of a write into an open file, such as a log or a checkpoint on a full disk, the system names no file. Our
            # own errors have no number, and say it all.
            if error.errno is not None and error.filename is None:
                error.filename = self._get(self.config, "run")
            raise


def checkpoints(run: Path) -> list[ModelCheckpoint]:
    """Return the callbacks that keep, in `run`/checkpoints, the epoch with the best `val/result` and the last one.

    Two callbacks, because `save_last` writes only when the best one does: a run would be continued from its best epoch.
    """
    folder = run / "checkpoints"
    best = ModelCheckpoint(
        dirpath=folder,
        filename="epoch{epoch:03d}-result{val/result:.4f}",
        auto_insert_metric_name=False,
        monitor="val/result",
        mode="max",
    )
    # `mode` says nothing without a monitor, but tells this callback's state from that of one that a user adds.
    return [best, ModelCheckpoint(dirpath=folder, filename="last", mode="max", enable_version_counter=False)]


def _with_checkpoint_defaults(words: list[str]) -> list[str]:
    """Put the model configuration of `--ckpt_path` before everything else that was typed, so that it only fills gaps.

    Order is precedence: command line over file over checkpoint.
    """
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        if name == "--ckpt_path":
            path = value or (words[index + 1] if index + 1 < len(words) else "")
            if not path or path in NAMED:
                return words
            config = model_config(read_checkpoint(path))
            return [words[0], f"--model={json.dumps(config)}", *words[1:]] if config else words
    return words


def run_cli(args: list[str] | None = None) -> TrainCLI:
    """Parse `args` (the command line if None) and run; returns the finished command line object for scripts.

    Raises:
        ValueError: For a user's mistake in data, configuration or checkpoint.
        FileNotFoundError: For a file that is not there.
    """
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


def main() -> None:
    """Run `train.py`; a user's mistake ends in one sentence and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run_cli()
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_loader_failure(error):
            raise
        sys.stderr.write(f"train.py: {sentence(error)}\n")
        sys.exit(2)
