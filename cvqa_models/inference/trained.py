"""Find a model that can score: by a name, checkpoint, run folder, hub repository or configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cvqa_models.inference.hub_models import pull
from cvqa_models.models.shipped_level import SHIPPED
from cvqa_models.shipped import CONFIGS
from cvqa_models.tables import near_misses
from cvqa_models.training.callbacks.checkpoints import BEST, LAST
from cvqa_models.training.checkpoint import load_model
from cvqa_models.training.configured import Configured
from cvqa_models.training.module import QualityModule
from cvqa_models.training.run_folder import find_checkpoint


def configured_model(
    files: Sequence[Path], *, weights: str | Path | None = None, trust: Sequence[str] = ()
) -> QualityModule:
    """Return the model of configuration files, a later one overruling an earlier one.

    Raises:
        FileNotFoundError: If a file, or one of weights, is not here.
        ValueError: If the configuration is not valid, or its model must be trained first.
    """
    changes = {} if weights is None else {"model.init_args.weights": str(weights)}
    configured = Configured(list(files), changes, with_data=False, trusted=trust)
    model = configured.build_model()
    random = [part for part, source in model.each_source().items() if source.random]
    if any(parameter.requires_grad for parameter in model.parameters()) and "head" not in model.sources:
        random.append("head")
    if random:
        raise ValueError(
            f"{type(model).__name__} is not trained; train it and give its checkpoint (`{random[0]}` has no weights "
            "from a file)."
        )
    return model


def trained_model(name: str | Path, weights: str | Path | None = None, trust: Sequence[str] = ()) -> QualityModule:
    """Return the model of a name; `load` lists the kinds of names.

    Raises:
        FileNotFoundError: If nothing has that name, or weights are missing.
        ValueError: If it is not a trained model, or cannot be built here.
    """
    systems = {file.stem: file for file in (CONFIGS / "model").glob("*.yaml")}
    if isinstance(name, str) and name.startswith("hf:"):
        _refuse(weights, name)
        return pull(name.removeprefix("hf:"), trust)
    path = systems[name] if isinstance(name, str) and name in systems else Path(name)
    if path.suffix in (".yaml", ".yml"):
        return configured_model([path], weights=weights, trust=trust)
    if path.suffix != ".ckpt" and not path.exists():
        raise FileNotFoundError(
            f"There is no model {near_misses([str(name)], {*systems, SHIPPED})}; expected a checkpoint, the folder of "
            f"a run, a configuration, {SHIPPED} or a name of `cvqa systems`."
        )
    _refuse(weights, name)
    return load_model(_best(path) if path.is_dir() else path, trust)


def _refuse(weights: object, name: str | Path) -> None:
    if weights is not None:
        raise ValueError(f"'{name}' holds its own weights; leave `weights` out.")


def _best(run: Path) -> Path:
    path = find_checkpoint(run, BEST) or find_checkpoint(run, LAST)
    if path is None:
        raise FileNotFoundError(f"'{run}' holds no checkpoint of a run; give the folder that `train.py fit` was given.")
    return path
