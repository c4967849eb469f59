"""Published measures for which lower is better. Their definition says so; it is never guessed from a correlation."""

from __future__ import annotations

import re

LOWER_IS_BETTER = frozenset({
    "mse", "rmse", "mae",  # errors of pixels
    "gmsd", "msgmsd", "mdsi", "mad", "nlpd", "vqm", "rred", "strred", "flip", "ciede2000",  # distances to the source
    "lpips", "stlpips", "dists", "adists", "pieapp",  # distances of learnt features
    "niqe", "ilniqe", "brisque", "piqe", "viideo",  # distances to natural pictures, and scores that grow with damage
})  # fmt: skip


def is_lower_better(name: str) -> bool:
    """Return whether a word of a column's name, such as `FR LPIPS VGG` or `ms_gmsd`, is a measure of that kind."""
    return any(word in LOWER_IS_BETTER for word in re.split(r"[^a-z0-9]+", name.lower()))
