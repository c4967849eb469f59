"""Models in repositories of a model hub: weights as safetensors, a configuration of plain values, and a card."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from cvqa_models import hub
from cvqa_models.places import portable
from cvqa_models.training.checkpoint import load_model, model_config, read_checkpoint, whole_model
from cvqa_models.training.module import QualityModule
from cvqa_models.weights.reading import read

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
_CARD = """---
library_name: cvqa_models
tags: [video-quality-assessment]
---

# {name}

A no-reference quality model of compressed video: `{system}` of cvqa_models {version}, {parameters} parameters.

```python
import cvqa_models

scorer = cvqa_models.load("hf:{repo}")
scorer("film.mp4").value
```

`model.safetensors` holds all weights, frozen ones too; `config.json` the class and its arguments. Neither runs code.
Say here what it was trained on, what its scores mean, and under which licence its weights may be used.
"""


def push(checkpoint: str | Path, repo: str, *, private: bool = False, trust: Sequence[str] = ()) -> str:
    """Put the model of a checkpoint into a repository of the hub, and return its address.

    The repository then holds no path of this machine, no optimiser and no pickle. A card that is already there is kept.

    Args:
        checkpoint: Checkpoint written by `train.py fit`.
        repo: Owner and name, with a slash between them; a missing repository is made.
        private: Whether only its owner can see a new repository.
        trust: Your own packages whose classes the checkpoint may build; their code is run.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read, or the hub refuses: not logged in, no right to write, no connection.
    """
    model = load_model(checkpoint, trust)
    config = portable(model_config(read_checkpoint(checkpoint), checkpoint, trust))
    if model.calibration is not None:
        config["calibration"] = model.calibration.plain()
    with tempfile.TemporaryDirectory(prefix="cvqa-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
        (folder / WEIGHTS).write_bytes(save(state))
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (folder / CARD).write_text(_card(model, repo), encoding="utf-8")
        return hub.upload(folder, repo, private=private, keep=CARD)


def pull(repo: str, trust: Sequence[str] = ()) -> QualityModule:
    """Return the model that `push` put into a repository, in eval mode on the CPU.

    Raises:
        FileNotFoundError: If there is none, or the hub cannot be reached.
        ValueError: If its files are damaged, or name classes outside this package, or values of wrong types.
    """
    path = hub.fetch(repo, CONFIG)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{CONFIG}' of {repo} is no JSON; expected what `cvqa push` wrote.") from error
    return whole_model(config, read(hub.fetch(repo, WEIGHTS)), path, trust)


def _card(model: QualityModule, repo: str) -> str:
    return _CARD.format(
        name=repo.rpartition("/")[2],
        system=type(model).__name__,
        version=importlib.metadata.version("cvqa_models"),
        parameters=f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        repo=repo,
    )
