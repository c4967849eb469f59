"""`train.py fit|validate|test|predict`: Lightning's command line with our model, data and run folder."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from jsonargparse import ArgumentError, Namespace, get_loader, set_loader, set_parsing_settings
from lightning_fabric.plugins import CheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from cvqa_models import __version__, ending
from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.files import sha256
from cvqa_models.messages import innermost, log_to_stderr
from cvqa_models.moved import current
from cvqa_models.plain_yaml import refuse_repeats
from cvqa_models.shipped import with_configs
from cvqa_models.training.callbacks.checkpoints import LAST, WholeFiles, checkpoints
from cvqa_models.training.callbacks.monitored import CheckMonitors
from cvqa_models.training.callbacks.one_thread import OneThread
from cvqa_models.training.callbacks.prediction_writer import PredictionWriter
from cvqa_models.training.callbacks.progress_lines import ProgressLines
from cvqa_models.training.callbacks.seeding import SeedSteps
from cvqa_models.training.callbacks.stopping import StopAfterBatch
from cvqa_models.training.checkpoint import check_fits, read_checkpoint
from cvqa_models.training.configured import let_train
from cvqa_models.training.module import QualityModule
from cvqa_models.training.quiet import keep_quiet
from cvqa_models.training.resuming import check_progress, resolve, trusted, typed, with_defaults
from cvqa_models.training.run_folder import find_checkpoint, holds_run, owned
from cvqa_models.weights.exact import digest
from cvqa_models.weights.sources import parts_from_checkpoint

log = logging.getLogger(__name__)
_load_yaml = get_loader("yaml")

DEFAULT_RUN = "runs/default"


class SaveTrainingConfig(SaveConfigCallback):
    """Save the configuration of training beside its logs; a prediction does not overwrite it."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            super().setup(trainer, pl_module, stage)


class TrainCli(LightningCLI):
    """Lightning's command line with one folder per run. What a user types always overrules a checkpoint.

    Args:
        words: What was typed.
    """

    def __init__(self, words: list[str]) -> None:
        self.words = words
        super().__init__(
            QualityModule,
            GroupDataModule,
            subclass_mode_model=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            save_config_callback=SaveTrainingConfig,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={name: {"exit_on_error": False} for name in self.subcommands()} | {"exit_on_error": False},
            args=words,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the command that was typed, or all if it is none of them: the options of each take long to set up."""
        every = LightningCLI.subcommands()
        return {name: skipped for name, skipped in every.items() if [name] == self.words[:1]} or every

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
        words = self.words
        self.chosen = typed(words, "ckpt_path")
        command = words[0] if words and words[0] in self.subcommands() else None
        self.path = resolve(command, Path(typed(words, "run") or DEFAULT_RUN), self.chosen) if command else None
        try:
            self.config = parser.parse_args(with_defaults(words, self.path, trusted(words)))
        except ArgumentError as error:
            raise ValueError(f"{innermost(str(error))}; correct it, or list the options with `--help`.") from error
        if command:
            # The parent's method of this name would let a checkpoint overrule what was typed.
            self.config[command].ckpt_path = None

    @property
    def asked(self) -> Namespace:
        """Return the values that the chosen command runs with."""
        values: Namespace = self.config[self.subcommand]
        return values

    def before_instantiate_classes(self) -> None:
        config = self.asked
        config.ckpt_path = None if self.path is None else str(self.path)
        config.trainer.default_root_dir = config.run
        check_options(config.trainer)
        let_train(config.model)
        self._check_new()

    def _check_new(self) -> None:
        """Raise a ValueError if the folder already holds a run, and this one would be mixed with it."""
        run = Path(self.asked.run)
        new = self.subcommand == "fit" and self.chosen is None and self.path is None
        if new and holds_run(run):
            newest = find_checkpoint(run, LAST, to_train=True)
            way = f"continue it with `--ckpt_path last` ('{newest}')"
            raise ValueError(
                f"'{run}' already holds a run; choose another `--run`, or "
                f"{way if newest else 'remove it, as it has no checkpoint yet'}."
            )

    def instantiate_classes(self) -> None:
        held = nullcontext() if self.path is None else parts_from_checkpoint()
        with plain_errors(), held:
            super().instantiate_classes()
        if self.path is not None:
            # Lightning's message would fill a page, and not name the file.
            checkpoint = read_checkpoint(self.path)
            check_fits(self.model, checkpoint, self.path)
            if self.subcommand == "fit":
                check_progress(checkpoint, self.trainer, self.path)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init[self.subcommand].trainer
        own = {"logger": self._loggers(as_list(config.logger)), "plugins": with_whole_files(config.plugins)}
        chosen = as_list(config.callbacks)
        own["callbacks"] = [*chosen, *self._callbacks(chosen)]
        try:
            trainer = super().instantiate_trainer(**own, **kwargs)
        except (MisconfigurationException, TypeError, RuntimeError) as error:
            reason = str(error).strip(" .!")
            hint = "" if config.accelerator == "cpu" else "; without a GPU, use `configs/trainer/cpu.yaml`"
            raise ValueError(f"The trainer cannot be set up with these options: {reason}{hint}.") from error
        assert isinstance(trainer, pl.Trainer)
        return trainer

    def _loggers(self, chosen: list[Any]) -> Any:
        loggers = [logger for logger in chosen if not isinstance(logger, bool)]
        if self.subcommand == "fit":
            run = Path(self.asked.run)
            # A newly opened log would delete what a resumed run has logged so far.
            logs = "logs" if not (run / "logs").exists() else f"logs-{len(list(run.glob('logs*'))) + 1}"
            always = [CSVLogger(run, name="", version=logs), TensorBoardLogger(run, name="", version=logs)]
            loggers = [*always, *loggers]
        return loggers or False

    def _callbacks(self, chosen: list[pl.Callback]) -> list[pl.Callback]:
        run, seed = Path(self.asked.run), self.asked.seed_everything
        callbacks: list[pl.Callback] = [CheckMonitors(), OneThread()]
        if self.asked.trainer.enable_checkpointing is not False:
            callbacks += [*checkpoints(run), StopAfterBatch()]
        bar = self.asked.trainer.enable_progress_bar is not False
        if bar and not sys.stdout.isatty() and not any(isinstance(one, pl.callbacks.ProgressBar) for one in chosen):
            callbacks.append(ProgressLines())
        if isinstance(seed, int) and not isinstance(seed, bool):
            callbacks.append(SeedSteps(seed))
        if self.subcommand == "predict":
            callbacks.append(PredictionWriter(run / "predictions.csv", run / "maps" if self.asked.maps else None))
        return callbacks

    # Lightning's command line calls these instead of the trainer's own methods.

    def fit(self, *args: Any, **kwargs: Any) -> None:
        with self._told(), owned(Path(self.asked.run)):
            self._check_new()  # again, because now no other process can start a run here
            self.trainer.fit(*args, **kwargs)

    def validate(self, *args: Any, **kwargs: Any) -> None:
        with self._told():
            self.trainer.validate(*args, **kwargs)

    def test(self, *args: Any, **kwargs: Any) -> None:
        with self._told():
            self.trainer.test(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> None:
        with self._told():
            callbacks: list[pl.Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
            writer = next(one for one in callbacks if isinstance(one, PredictionWriter))
            done = self.datamodule.predicted = writer.resume(self._predicts())
            if done and not self.datamodule.records()["predict"]:
                done.remove(max(done))  # a loader without any video is none; the last one ended before the table
            self.trainer.predict(*args, **kwargs)

    def _predicts(self) -> str:
        """Return what decides a score beside the video: model, weights, decoder, arithmetic, version."""
        weights = digest(self.model) if self.path is None else sha256(self.path)
        model = hashlib.sha256(f"{weights} {self.asked.model}".encode()).hexdigest()[:16]
        return " ".join(
            [type(self.model).__name__, model, self.datamodule.options.key, str(self.trainer.precision), __version__]
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn errors that a user can mend into one sentence."""
        with plain_errors():
            try:
                yield
            except OSError as error:
                # When a write to an open file fails, as on a full disk, the system does not name the file. An error
                # that we raised has no number, and its message is complete.
                if error.errno is not None and error.filename is None:
                    error.filename = self.asked.run
                raise


def as_list(value: Any) -> list[Any]:
    """Return an option that takes one value or many as a list; null gives an empty list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def check_options(trainer: Any) -> None:
    """Raise a ValueError for options that Lightning's trainer accepts and later fails on, with an unclear error."""
    if str(trainer.precision) in ("16-true", "bf16-true", "64", "64-true"):
        raise ValueError(
            f"`--trainer.precision {trainer.precision}` would keep the weights in that precision, but features and "
            "losses are in 32 bits; use 32-true, or `16-mixed` or `bf16-mixed` to save time and memory."
        )
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        value = trainer[name]
        if value is not None and value < 1:
            raise ValueError(f"`--trainer.{name}` is {value}; expected at least 1.")


def with_whole_files(plugins: Any) -> list[Any]:
    """Return the trainer's plugins, with our writer of checkpoints unless the user has chosen one."""
    chosen = as_list(plugins)
    for plugin in chosen:
        # A plugin that writes through another one, such as `AsyncCheckpointIO` on its thread, and got none.
        if isinstance(plugin, CheckpointIO) and getattr(plugin, "checkpoint_io", plugin) is None:
            plugin.checkpoint_io = WholeFiles()  # type: ignore[attr-defined]
    return chosen if any(isinstance(plugin, CheckpointIO) for plugin in chosen) else [*chosen, WholeFiles()]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn other errors that Lightning raises for a user's mistake into a ValueError with one sentence."""
    try:
        yield
    except (MisconfigurationException, ModuleNotFoundError) as error:
        raise ValueError(f"{str(error).strip(' .!')}; correct the options of `--trainer`.") from error
    except RuntimeError as error:
        if not str(error).startswith("Early stopping conditioned on metric"):
            raise
        raise ValueError(f"{str(error).strip(' .!')}.") from error


def run_cli(args: list[str] | None = None) -> TrainCli:
    """Parse `args` (the command line if None), run, and return the finished command line object for scripts.

    Raises:
        ValueError: For a user's mistake in data, configuration or checkpoint.
        FileNotFoundError: For a file that is not there.
    """
    # A user may name classes of any package. But a value of open type builds nothing, and modules that run programs or
    # open files, such as `os` or `subprocess`, are never imported for a name.
    set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_allowlist=["cvqa_models"])
    set_loader("yaml", _load, (yaml.YAMLError,))
    return TrainCli([str(word) for word in with_configs(sys.argv[1:] if args is None else args)])


def _load(text: str) -> Any:
    """Return the content of YAML text, with the names of this release; no name may stand twice in it."""
    refuse_repeats(text)
    return current(_load_yaml(text))


def train(program: str = "train.py", words: list[str] | None = None) -> None:
    """Run the command line, with its log on stderr.

    Args:
        program: Name to print in front of messages.
        words: What was typed; None for the words that this process was started with.
    """
    log_to_stderr()
    keep_quiet()
    ending.leave_with_starter(program)
    run_cli(words)


def main() -> None:
    """Run `train.py` and leave with its exit code; see `ending.run`."""
    ending.run("train.py", train)
