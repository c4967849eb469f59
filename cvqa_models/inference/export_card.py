"""The card of an exported model: what it is, how to run it, and what was checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cvqa_models import __version__
from cvqa_models.models.shipped_level import LevelScores
from cvqa_models.training.scoring_model import ScoringModel

_CARD = """# {model}, as {format}

A no-reference quality model of compressed video, exported by cvqa_models {version}. `{file}` takes pixels and gives one
score per video{meaning}.
`view.json` says every step before it: which frames, which size, which crops, which colours.

- Weights: sha256 `{weights}`.
- The file: sha256 `{sha256}`.
- Parity with torch, on made-up pixels: scores differ by {difference:.2g}, and between places in a batch by
  {position:.2g}; {bound:.2g} is allowed, which is 1e-4 of the scale of {scale:g}.
{remark}{quantised}- Where the weights came from:
{sources}

Scores compare between encodes of one source. Their licence is that of the weights: see the licences that
`cvqa systems` lists, and the card of the model that this was made from.
"""


def card(model: ScoringModel, sidecar: dict[str, Any]) -> str:
    """Return the card of an export as Markdown, from the content of its `view.json`."""
    # Only the last part of a name: the rest may be a folder of this machine.
    branches = model.each_branch().items()
    parts = {f"{name}.{part}": source for name, branch in branches for part, source in branch.sources.items()}
    told = {part: source.name and Path(source.name).name for part, source in {**parts, **model.sources}.items()}
    sources = "\n".join(f"  - `{part}`: {name or 'trained from random numbers'}" for part, name in told.items())
    sources = sources or "  - the checkpoint given"
    level = isinstance(model, LevelScores)
    remark = quantised = ""
    if sidecar["format"] == "openvino":
        remark = (
            "- On processors with bfloat16 OpenVINO rounds to it by itself, which moves scores; compile with\n"
            '  `{"INFERENCE_PRECISION_HINT": "f32"}`, as the parity run did.\n'
        )
    if "int8" in sidecar:
        loss = sidecar["int8"]
        quantised = (
            f"- 8-bit weights and activations (`{loss['file']}`): over {loss['videos']} videos scores differ by "
            f"{loss['mean']:.3g} on average and {loss['largest']:.3g} at most, calibrated on the same videos.\n"
        )
    return _CARD.format(
        version=__version__,
        meaning=", from 0 (ruined) to 100 (clean) on VMAF's scale" if level else "",
        sources=sources,
        quantised=quantised,
        remark=remark,
        scale=sidecar["output"]["scale"],
        **{key: sidecar[key] for key in ("model", "format", "file", "weights", "sha256")},
        **sidecar["parity"],
    )
