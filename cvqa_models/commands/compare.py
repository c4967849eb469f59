"""`cvqa compare`: find which encoder is better, where, and by how much."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cvqa_models.ending import MISTAKE

if TYPE_CHECKING:
    from cvqa_models.evaluation.rate_distortion import Comparison

GATE = 3  # exit code if a limit set by the user is not met


def compare(
    videos: Path,
    /,
    *,
    anchor: str,
    by: list[str] | None = None,
    scores: list[Path] | None = None,
    checkpoint: Path | None = None,
    lower_is_better: list[str] | None = None,
    interpolation: Literal["pchip", "akima"] = "pchip",
    bootstrap: int = 2000,
    seed: int = 0,
    out: Path = Path("comparison"),
    fail_below: float | None = None,
    fail_if_worse: bool = False,
    device: str = "cpu",
    trust: list[str] | None = None,
    json: Path | None = None,
) -> int:
    """Compare encoders by how much rate they take for the same score (BD-rate), without a reference.

    Writes OUT/comparison.html, one page that needs no other file: curves, delta rates with intervals over sources,
    small multiples, the worst cases side by side; and the numbers as comparison.json and comparison.csv. Encodes
    compare inside one source and preset, or inside one source if `by` holds `preset`. Nothing is extrapolated.

    Input that cannot be used is named, and the rest is compared; the exit code is then 2. It is 3 if a limit is not
    met.

    Args:
        videos: A manifest, or a folder: of `cvqa build encode`, of folders SOURCE/ENCODER/, or of files named
            ENCODER_PRESET_SOURCE_RATE. Rates that no table gives are measured.
        anchor: Encoder with which the others are compared, as in the column `by`; values of several columns are joined
            by `/`, as in `x264/medium`.
        by: Columns that name what is compared; `codec` by default.
        scores: Tables of scores with `video_id`, or `video` as `cvqa score --csv_file` writes it. Without one, the
            files are scored, and the scores are stored in OUT/scores.csv. Human scores of the manifest are used too. A
            column that the manifest has, too, counts only if it is a known measure such as `vmaf`: `quality` may be a
            setting.
        checkpoint: Model that scores the files: a checkpoint or the folder of a run; by default the compression level
            that ships with the project.
        lower_is_better: Columns to negate, in addition to known measures such as LPIPS.
        interpolation: Curve between points: monotone cubic, or Akima's, which may overshoot between few points.
        bootstrap: Number of resamples of the sources for 95 % intervals; 0 for none.
        seed: Seed of the resamples.
        out: Folder to write.
        fail_below: Exit code 3 if the first score of any encode is worse than this.
        fail_if_worse: Exit code 3 if an encoder takes more rate than the anchor by the first score.
        device: Torch device for the scoring.
        trust: Your own packages whose classes the checkpoint may build; their code is run.
        json: Also write comparison.json here.

    Examples:
        cvqa compare data/encodes --anchor x264
        cvqa compare manifest.csv --anchor x264/medium --by codec preset --fail-if-worse
    """
    if scores and checkpoint is not None:
        raise ValueError("Give either `--scores FILE` or `--checkpoint FILE`: scores that are there, or what scores.")
    if not videos.exists():
        raise FileNotFoundError(f"There is no table or folder '{videos}'; give a manifest or a folder of encodes.")
    # Slow imports come here, after the arguments are checked.
    from cvqa_models.commands.comparison_output import gates, name_of, scorer_of, show
    from cvqa_models.evaluation.comparison_payload import comparison_payload
    from cvqa_models.evaluation.rate_distortion import compare as compared
    from cvqa_models.files import write_text
    from cvqa_models.report.comparison import write_comparison

    result: Comparison = compared(
        videos,
        anchor=anchor,
        by=by or ["codec"],
        scores=scores,
        scorer=None if scores else scorer_of(checkpoint, device, trust or [], out),
        name=name_of(checkpoint),
        lower_is_better=lower_is_better or [],
        interpolation=interpolation,
        bootstrap=bootstrap,
        seed=seed,
    )
    page = write_comparison(result, out)
    if json is not None:
        write_text(json, json_format.dumps(comparison_payload(result), indent=1) + "\n")
    show(result, page)
    if gates(result, fail_below, fail_if_worse):
        return GATE
    return MISTAKE if result.left_out else 0
