"""No-reference quality models of compressed video: load one, score videos, evaluate, train on your own panel.

    import cvqa_models

    scorer = cvqa_models.load("compression_level")
    scorer("film.mp4").value

The names below are public: a release that changes one says so in its notes. Each is imported when it is first used, so
`import cvqa_models` is quick. Everything else may move.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvqa_models.corpus.labels.import_table import import_table
    from cvqa_models.evaluation.crossval import CrossValidation, crossval
    from cvqa_models.evaluation.evaluate import Evaluation, evaluate
    from cvqa_models.evaluation.rate_distortion import Comparison, compare
    from cvqa_models.inference.export import export
    from cvqa_models.inference.extract_bulk import extract
    from cvqa_models.inference.hub_models import push
    from cvqa_models.inference.load import load
    from cvqa_models.inference.network_export import Exported, export_network
    from cvqa_models.inference.scorer import Provenance, Score, Scorer
    from cvqa_models.inference.timeline import Timeline
    from cvqa_models.report.comparison import write_comparison
    from cvqa_models.submission.submit import submit
    from cvqa_models.training.sweep import Sweep, sweep
    from cvqa_models.video.reader import ReadOptions

__version__ = "0.1.0"

_PLACES = {
    "load": "inference.load",
    "push": "inference.hub_models",
    "Scorer": "inference.scorer",
    "Score": "inference.scorer",
    "Provenance": "inference.scorer",
    "Timeline": "inference.timeline",
    "evaluate": "evaluation.evaluate",
    "Evaluation": "evaluation.evaluate",
    "compare": "evaluation.rate_distortion",
    "Comparison": "evaluation.rate_distortion",
    "write_comparison": "report.comparison",
    "extract": "inference.extract_bulk",
    "crossval": "evaluation.crossval",
    "CrossValidation": "evaluation.crossval",
    "import_table": "corpus.labels.import_table",
    "sweep": "training.sweep",
    "Sweep": "training.sweep",
    "export": "inference.export",
    "export_network": "inference.network_export",
    "Exported": "inference.network_export",
    "submit": "submission.submit",
    "ReadOptions": "video.reader",
}

__all__ = [
    "Comparison",
    "CrossValidation",
    "Evaluation",
    "Exported",
    "Provenance",
    "ReadOptions",
    "Score",
    "Scorer",
    "Sweep",
    "Timeline",
    "__version__",
    "compare",
    "crossval",
    "evaluate",
    "export",
    "export_network",
    "extract",
    "import_table",
    "load",
    "push",
    "submit",
    "sweep",
    "write_comparison",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module 'cvqa_models' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"cvqa_models.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
