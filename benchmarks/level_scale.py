"""The scale of the shipped compression level: its ends, its steps, fewer lines, grain.

    python benchmarks/level_scale.py [--clips ../shared/clips_more] [--only NAME ...] [--encodes runs/level-bench]

The first second of each clip, at its own height. Printed per clip: Spearman's and Pearson's correlation and the mean
distance to VMAF over a ladder of adaptive streaming, x264 at four qualities and four heights, each shown at full size;
of the 33 steps of x264 from CRF 18 to 51 those that raise the level; the level at CRF 51 beside VMAF; of the clip as it
came; and what grain adds to it. Then a drawn slide at CRF 51. Encodes are kept in the folder.
"""

from __future__ import annotations

import argparse
import logging
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from compression_level import plcc, references, srocc

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.corpus.labels.pseudo_labels import measure
from cvqa_models.corpus.references import BT709, Reference, load, write_reference
from cvqa_models.corpus.synthetic.levels import HEIGHTS, Rung, encode_rung
from cvqa_models.corpus.synthetic.overlays import drawing
from cvqa_models.inference.load import load as load_model
from cvqa_models.models.shipped_level import WEIGHTS

CRF = range(18, 52)
SPEED = "veryfast"
SLIDE = (960, 540)


def vmaf(path: Path, reference: Reference, root: Path) -> float:
    return measure(path, reference.path, root / "vmaf" / f"{path.parent.name}_{path.stem}.json", (), every=2)["vmaf"]


def make(rungs: list[Rung], reference: Reference, root: Path) -> dict[Rung, Path]:
    """Return the encodes of one clip, made unless they are there."""
    paths = {}
    for rung in rungs:
        # A lossless file of a smaller encode, shown at the reference's size, ends in mkv.
        kept = root / "videos" / reference.name / f"{rung.name}.{'mp4' if rung.scale == 1 else 'mkv'}"
        paths[rung] = kept if kept.is_file() else Path(str(encode_rung(rung, reference, root)["path"]))
    return paths


def grainy(reference: Reference, root: Path) -> Path:
    path = root / "videos" / reference.name / "grain.mkv"
    if not path.is_file():
        part = path.with_suffix(".part.mkv")
        ffmpeg.write([*reference.inputs, "-vf", "noise=alls=12:allf=t", "-c:v", "ffv1"], part)
        part.replace(path)
    return path


def slide(folder: Path) -> Reference:
    """Return a still slide of text, a second long."""
    if kept := load(folder, "slide"):
        return kept
    width, height = SLIDE
    picture = drawing("slide", width, np.random.default_rng(0))[:height].tobytes()
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "30", "-i", "pipe:0"]
    return write_reference("slide", folder, Fraction(30), [*raw, "-vf", BT709], [picture] * 30)


def ladder(reference: Reference, root: Path) -> list[tuple[Path, float]]:
    """Return an adaptive-bitrate ladder of one clip, with VMAF."""
    rungs = [Rung("x264", SPEED, crf, False, scale) for scale in HEIGHTS for crf in (22, 30, 38, 46)]
    return [(path, vmaf(path, reference, root)) for path in make(rungs, reference, root).values()]


def steps(reference: Reference, root: Path) -> list[tuple[Path, float]]:
    """Return x264's encodes from CRF 18 to 51, with the VMAF of the last."""
    paths = list(make([Rung("x264", SPEED, crf, False) for crf in CRF], reference, root).values())
    return [(path, vmaf(path, reference, root) if path == paths[-1] else np.nan) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips_more"))
    parser.add_argument("--encodes", type=Path, default=Path("runs/level-bench"))
    parser.add_argument("--weights", default=WEIGHTS, help="other weights than the shipped ones, by `cvqa export`")
    parser.add_argument("--only", nargs="+", help="names of clips")
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    root = arguments.encodes / "scale"
    sources = references(arguments.clips, root / "references", None)
    sources = [one for one in sources if not arguments.only or one.name in arguments.only]
    text = slide(root / "references")
    jobs = {f"{one.name} {name}": partial(maker, one, root) for one in sources for name, maker in MADE.items()}
    jobs["slide"] = partial(steps, text, root)
    made, failures = run_jobs(jobs, "Encoding", arguments.workers)
    for name, message in failures.items():
        print(f"failed: {name}: {message}")
    scorer = load_model(weights=arguments.weights, device="cpu")

    def level(path: Path) -> float:
        return scorer(path).value

    lines = []
    for one in sources:
        shown, true = zip(*((level(path), value) for path, value in made[f"{one.name} ladder"]), strict=True)
        walk = [level(path) for path, _ in made[f"{one.name} steps"]]
        clean = level(one.path)
        lines.append(
            {
                "clip": one.name,
                "ladder srocc": srocc(np.array(shown), np.array(true)),
                "plcc": plcc(np.array(shown), np.array(true)),
                "error": np.abs(np.array(shown) - true).mean(),
                "wrong of 33": int((np.diff(walk) > 0).sum()),
                "CRF 51": walk[-1],
                "its vmaf": made[f"{one.name} steps"][-1][1],
                "clean": clean,
                "grain adds": level(grainy(one, root)) - clean,
            }
        )
    print(pd.DataFrame(lines).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    last, truth = made["slide"][-1]
    print(f"a slide: {level(text.path):.1f} as drawn; at CRF 51 {level(last):.1f}, where VMAF is {truth:.1f}")


MADE = {"ladder": ladder, "steps": steps}

if __name__ == "__main__":
    main()
