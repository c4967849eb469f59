"""`cvqa build mini` and `cvqa build levels`: data sets from moving photographs."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.commands.failures import finish
from cvqa_models.files import check_there
from cvqa_models.messages import say


def mini(
    root: Path,
    *,
    references: Path | None = None,
    width: int = 320,
    height: int = 180,
    seconds: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    json: Path | None = None,
) -> int:
    """Build the embedded data set: fourteen references, six encoders, two presets, three rates, scores made from VMAF.

    The table has CVQAD's columns; its scores are a proxy, not human opinion. An interrupted build goes on where it
    stopped. The exit code is 2 if a video failed; the others are kept.

    Args:
        root: Folder of the data set.
        references: Folder of your own clips, in place of moving photographs from packages.
        width: Columns of the videos.
        height: Rows of the videos; not used for your own clips, which keep their aspect ratio.
        seconds: Length of the clips.
        seed: Seed of the film grain and the simulated viewers.
        workers: Jobs at a time; one per processor by default.
        json: File for the result: table, number of videos, failures.

    Examples:
        cvqa build mini --root data/mini
    """
    check_there("folder", references)
    from cvqa_models.corpus.synthetic.mini import build_mini  # slow to import

    built = build_mini(root, references, workers, width=width, height=height, seconds=seconds, seed=seed)
    say(f"{built.num_videos} videos and their proxy scores: {built.labels}")
    return finish(built.failures, {"labels": str(built.labels), "videos": built.num_videos}, json)


def levels(
    root: Path,
    *,
    photographs: Path | None = None,
    references: int = 300,
    footage: Path | None = None,
    windows: int = 3,
    seed: int = 0,
    workers: int | None = None,
    json: Path | None = None,
) -> int:
    """Build training data of the compression level: random scenes in motion over random ladders, labelled with VMAF.

    Photographs move, are filmed by a random camera (noise, blur, dark, bars, often already compressed), and are encoded
    by three encoders at four qualities each, some of them at several heights and scaled back, as in adaptive streaming.
    A sixth of the scenes show drawings: text, slides, shapes, gradients, fractals. Some videos come a second time under
    film grain, with the label that they have without. A group is a scene; data is split by photograph. An interrupted
    build goes on where it stopped. The exit code is 2 if a scene failed; the others are kept.

    Args:
        root: Folder of the data set; `manifest.csv` in it is what training reads.
        photographs: Folder of photographs; those of installed packages by default, which are also the demo's.
        references: Number of scenes; a later build with a larger number keeps the scenes that are there.
        footage: Folder of your own clips, hardly compressed, of which windows become further scenes.
        windows: Windows of each of these clips.
        seed: Seed of every draw.
        workers: Scenes at a time; one per processor by default.
        json: File for the result: manifest, failures.

    Examples:
        cvqa build levels --root data/levels --references 50
    """
    check_there("folder", photographs, footage)
    from cvqa_models.corpus.synthetic.levels import build_levels  # slow to import

    manifest, failures = build_levels(root, photographs, references, seed, workers, footage=footage, windows=windows)
    say(f"Training data: {manifest}")
    return finish(failures, {"manifest": str(manifest)}, json)
