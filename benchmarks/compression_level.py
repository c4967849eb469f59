"""The shipped compression level against VMAF on real clips that its training never saw.

    python benchmarks/compression_level.py [--clips ../shared/clips] [--height 540] [--encodes runs/level-bench]

The first second of each clip is encoded by six encoders at five qualities, at the clip's own height or at another.
openh264 was left out of training. VMAF is taken against the clip as it came. Printed per clip and in all: Spearman's
and Pearson's correlation with VMAF over the 30 encodes of a clip, Spearman's inside each ladder of five, and Pearson's
over all encodes of all clips. The distance beside it is NIQE's construction: natural-scene statistics of piq's BRISQUE,
and their Mahalanobis distance to those of pristine photographs. BRISQUE itself is printed where its regressor, which
piq downloads, is in torch's cache. Encodes and VMAF are kept in the folder, so a second run takes a minute.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding.encoders import BITRATE, find_encoder
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.corpus.labels.pseudo_labels import measure
from cvqa_models.corpus.references import Reference, load, prepare_clip
from cvqa_models.corpus.synthetic.scenes import PHOTOGRAPHS, read_photograph
from cvqa_models.data.videos import index_videos
from cvqa_models.inference.load import load as load_model
from cvqa_models.models.shipped_level import WEIGHTS
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.reader import read_views
from cvqa_models.video.view import View

# Encoder -> speed and qualities: CRF or QP; for openh264 multiples of the rate that x264 needs at CRF 34.
LADDERS: dict[str, tuple[str, tuple[float, ...]]] = {
    "x264": ("medium", (22, 28, 34, 40, 46)),
    "x265": ("fast", (22, 28, 34, 40, 46)),
    "svt-av1": ("8", (30, 40, 48, 56, 63)),
    "vp9": ("good5", (32, 42, 50, 57, 63)),
    "vvenc": ("lightest", (24, 30, 36, 42, 48)),
    "openh264": ("cabac", (2, 3.5, 6, 10, 18)),
}
PATCH = 96  # NIQE's


def references(clips: Path, folder: Path, height: int | None) -> list[Reference]:
    prepared = []
    for name, path in index_videos(clips).items():
        width = None
        if height is not None:
            facts = ffmpeg.inspect(path)
            width = 2 * round(facts.width * height / facts.height / 2)
        found = load(folder, name) or prepare_clip(path, folder, width=width, seconds=1.0)
        prepared.append(found)
    return prepared


def encode(reference: Reference, codec: str, root: Path) -> list[dict[str, object]]:
    """Return the ladder of one clip and encoder with its VMAF, made unless it is there."""
    speed, qualities = LADDERS[codec]
    encoder = find_encoder(codec)
    rows: list[dict[str, object]] = []
    for quality in qualities:
        name = f"{reference.name}_{codec}_{quality:g}"
        path = root / "videos" / f"{name}.mp4"
        if not path.is_file():
            knob, value = (encoder.crf, quality) if encoder.crf else (BITRATE, quality * need(reference, root))
            partial_path = path.with_suffix(".part.mp4")
            ffmpeg.write([*reference.inputs, *encoder.arguments(speed, knob, value)], partial_path)
            partial_path.replace(path)
        vmaf = measure(path, reference.path, root / "vmaf" / f"{name}.json", (), every=2)["vmaf"]
        rows.append({"clip": reference.name, "codec": codec, "path": path, "vmaf": vmaf})
    return rows


def need(reference: Reference, root: Path) -> float:
    path = root / "videos" / f"{reference.name}_x264_34.mp4"
    return 8 * path.stat().st_size / reference.seconds / 1000


def statistics(patches: Tensor) -> Tensor:
    """Return natural-scene statistics of gray patches (N, 1, 96, 96) in 0 to 255, at two scales, (up to N, 36)."""
    brisque = importlib.import_module("piq.brisque")  # the package's attribute of this name is the function
    half = torch.nn.functional.avg_pool2d(patches, 2)
    try:
        parts = [brisque._natural_scene_statistics(one, 7, 7 / 6) for one in (patches, half)]
    except AssertionError:  # piq refuses a patch that is too smooth, as many are in an enlarged picture: leave it out
        if len(patches) == 1:
            return patches.new_empty(0, 36)
        return torch.cat([statistics(some) for some in patches.chunk(2)])
    return torch.cat(parts, dim=1)


def cut(gray: Tensor) -> Tensor:
    """Return the textured patches of a gray picture (H, W)."""
    tiles = gray.unfold(0, PATCH, PATCH).unfold(1, PATCH, PATCH).reshape(-1, 1, PATCH, PATCH)
    return tiles[tiles.std((1, 2, 3)) > 2]


def fit_natural() -> tuple[Tensor, Tensor]:
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    found = statistics(torch.cat([cut((read_photograph(name) * luma).sum(0)) for name in PHOTOGRAPHS]))
    return found.mean(0), found.T.cov()


def distance(path: Path, natural: tuple[Tensor, Tensor]) -> float:
    view = View(UniformClips(2, 1), Native())
    frames = read_views(path, [view])[view.key][:, :, 0].float()
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    patches = torch.cat([cut((frame * luma).sum(0)) for frame in frames])
    found = statistics(patches) if len(patches) else patches
    if len(found) < 2:
        return float("nan")
    gap = found.mean(0) - natural[0]
    spread = torch.linalg.pinv((found.T.cov() + natural[1]) / 2)
    return float((gap @ spread @ gap).clamp(min=0).sqrt())


def brisque(path: Path) -> float:
    from piq import brisque as index

    view = View(UniformClips(2, 1), Native())
    frames = read_views(path, [view])[view.key][:, :, 0].float()
    return float(index(frames, data_range=255.0))


def srocc(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


def plcc(a: np.ndarray, b: np.ndarray) -> float:
    return float(pearsonr(a, b).statistic)


def table(rows: pd.DataFrame, column: str, sign: int) -> pd.DataFrame:
    """Return one line per clip and one over all of them."""
    lines = []
    for clip, group in rows.groupby("clip", sort=False):
        values = sign * group[column].to_numpy()
        ladders = [
            srocc(sign * one[column].to_numpy(), one["vmaf"].to_numpy())
            for _, one in group.groupby("codec", sort=False)
        ]
        unseen = group[group["codec"] == "openh264"]
        lines.append(
            {
                "clip": clip,
                "srocc": srocc(values, group["vmaf"].to_numpy()),
                "plcc": plcc(values, group["vmaf"].to_numpy()),
                "ladder median": np.median(ladders),
                "ladder worst": min(ladders),
                "openh264 ladder": srocc(sign * unseen[column].to_numpy(), unseen["vmaf"].to_numpy()),
                "vmaf from": group["vmaf"].min(),
                "to": group["vmaf"].max(),
                "ladders": ladders,
            }
        )
    result = pd.DataFrame(lines)
    every = np.concatenate(result.pop("ladders").to_numpy())
    print(result.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    pooled = plcc(sign * rows[column].to_numpy(), rows["vmaf"].to_numpy())
    print(
        f"{column}: group SROCC median {result['srocc'].median():.3f}, mean {result['srocc'].mean():.3f}; group PLCC "
        f"median {result['plcc'].median():.3f}; ladder SROCC median {np.median(every):.3f}, mean {every.mean():.3f}; "
        f"pooled PLCC {pooled:.3f}"
        + (f"; mean error {np.abs(rows[column] - rows['vmaf']).mean():.1f} VMAF" if column == "level" else "")
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--height", type=int, help="scale the clips to so many lines; their own size by default")
    parser.add_argument("--encodes", type=Path, default=Path("runs/level-bench"))
    parser.add_argument("--weights", default=WEIGHTS, help="other weights than the shipped ones, by `cvqa export`")
    parser.add_argument("--only", nargs="+", help="names of clips")
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    root = arguments.encodes / f"{arguments.height or 'native'}"
    (root / "videos").mkdir(parents=True, exist_ok=True)
    sources = references(arguments.clips, root / "references", arguments.height)
    sources = [one for one in sources if not arguments.only or one.name in arguments.only]
    jobs = {f"{one.name} {codec}": partial(encode, one, codec, root) for one in sources for codec in LADDERS}
    first = {name: job for name, job in jobs.items() if name.endswith(" x264")}  # openh264's rates count from these
    made, failures = run_jobs(first, "Encoding with x264", arguments.workers)
    more, failed = run_jobs({n: jobs[n] for n in jobs if n not in first}, "Encoding", arguments.workers)
    for name, message in {**failures, **failed}.items():
        print(f"failed: {name}: {message}")
    rows = pd.DataFrame([row for name in jobs for row in {**made, **more}.get(name, [])])
    scorer = load_model(weights=arguments.weights, device="cpu")
    rows["level"] = [scorer(path).value for path in rows["path"]]
    table(rows, "level", 1)
    if arguments.weights != WEIGHTS:
        return
    natural = fit_natural()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows["distance"] = [distance(path, natural) for path in rows["path"]]
        table(rows, "distance", -1)
        if (Path(torch.hub.get_dir()) / "checkpoints" / "brisque_svm_weights.pt").is_file():
            rows["brisque"] = [brisque(path) for path in rows["path"]]
            table(rows, "brisque", -1)
        else:
            print("brisque: its regressor is not in torch's cache, and nothing is downloaded here.")


if __name__ == "__main__":
    main()
