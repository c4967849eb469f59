"""Published measures by name, and whether lower is better: their definition says so, never a correlation."""

from __future__ import annotations

import re

LOWER_IS_BETTER = frozenset({
    "mse", "rmse", "mae",  # errors of pixels
    "gmsd", "msgmsd", "mdsi", "mad", "nlpd", "vqm", "rred", "strred", "flip", "ciede2000",  # distances to the source
    "lpips", "stlpips", "dists", "adists", "pieapp",  # distances of learnt features
    "niqe", "ilniqe", "brisque", "piqe", "viideo",  # distances to natural pictures, and scores that grow with damage
})  # fmt: skip
HIGHER_IS_BETTER = frozenset({
    "psnr", "xpsnr", "wpsnr", "ssim", "msssim", "vmaf", "vif", "vifp", "fsim", "vsi", "srsim", "dss", "haarpsi",
    "avqt", "ahiq", "topiq", "vsfa", "mdtvsfa", "videval", "musiq", "nima", "clipiqa", "maniqa", "liqe", "qalign",
    "dover", "cover", "fastvqa", "fastervqa", "uvq", "cvqa", "vqa", "iqa", "score", "compression_level",
})  # fmt: skip


def is_lower_better(name: str) -> bool:
    """Return whether a word of a column's name, such as `FR LPIPS VGG` or `ms_gmsd`, is a measure of that kind."""
    return any(word in LOWER_IS_BETTER for word in re.split(r"[^a-z0-9]+", name.lower()))


def is_measure(name: str) -> bool:
    """Return whether a column's name, or a word of it, is a measure known here, such as `FR LPIPS VGG` or `psnr_y`."""
    words = {name.lower(), *re.split(r"[^a-z0-9]+", name.lower())}
    return bool(words & (LOWER_IS_BETTER | HIGHER_IS_BETTER))
