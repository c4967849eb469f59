"""The embedded data set: moving photographs from packages, six real encoders, and scores from VMAF, in CVQAD's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding.encode import Encode, encode_all
from cvqa_models.corpus.encoding.encoders import find_encoder
from cvqa_models.corpus.encoding.ladder import LadderJob
from cvqa_models.corpus.folder import building, remember, scratch, write_csv
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.corpus.labels import pseudo_labels
from cvqa_models.corpus.references import Reference, prepare_clip, shoot_scene
from cvqa_models.corpus.synthetic.scenes import SCENES
from cvqa_models.corpus.tables import label_table
from cvqa_models.data.videos import index_videos
from cvqa_models.extras import check_installed
from cvqa_models.files import write_text

PRESETS = ("fast", "medium")
# Target rates as multiples of x264's rate for the clip at CRF 34. So every clip has videos from poor to almost clean,
# and few of them reach the end of VMAF's scale, where differences are noise. openh264 never quantises coarser than 42
# of 51, so its rates start higher.
MULTIPLES = dict.fromkeys(("x264", "x265", "svt-av1", "vp9", "vvenc"), (0.5, 1.1, 2.5)) | {"openh264": (2.4, 4.4, 8.0)}
TOLERANCE = 0.3  # rates only need to differ here; the table holds the measured rates
FPS = 25
_README = """# A small compressed-video data set

**The scores are a proxy, not human opinion.** `subjective_score` is a Bradley-Terry score of simulated viewers who
compare the videos of a group by their VMAF. Use it to try the training path, never to report quality.

- `Subjective_scores.csv`: CVQAD's columns. `sequence` is the reference, `crf` the target rate in kb/s, `real_bitrate`
  the measured one, `bitrate` the place of the target in its own ladder (low, mid, high).
- `videos/enc_res_{{codec}}_{{preset}}_{{sequence}}_{{crf}}.mp4`: {videos} videos of {references} references.
- `references/`: the lossless sources.
- `proxies.csv`: VMAF and luma PSNR of every video against its source, frames paired by index.
- `encodes/`, `proxies/`: one card per video, from which an interrupted build goes on.
"""


@dataclass(frozen=True)
class Built:
    """The result of a build.

    Attributes:
        labels: Table with CVQAD's columns.
        proxies: Table of VMAF and PSNR.
        videos: Folder of the videos.
        references: Folder of the lossless sources.
        num_videos: Number of rows of the tables.
        failures: Name of what failed -> the message; empty if nothing failed.
    """

    labels: Path
    proxies: Path
    videos: Path
    references: Path
    num_videos: int
    failures: dict[str, str]


def build_mini(
    root: Path,
    references: Path | None = None,
    workers: int | None = None,
    *,
    width: int = 320,
    height: int = 180,
    seconds: float = 1.0,
    seed: int = 0,
) -> Built:
    """Build the embedded data set under `root`, or go on with it: six encoders x two presets x three rates.

    Args:
        root: Folder of the data set.
        references: Folder of your own clips; None takes moving photographs from packages.
        workers: Jobs at a time; None for one per processor.
        width: Columns of the videos, even.
        height: Rows of the videos, even; not used for your own clips, which keep their aspect ratio.
        seconds: Length of the clips.
        seed: Seed of the film grain and the simulated viewers.

    Raises:
        FileNotFoundError: If `references` does not exist.
        ValueError: If it holds no video or two of one name, `root` was built with other settings, a size is odd, or
            nothing could be built.
    """
    if width % 2 or height % 2 or min(width, height) < 64:
        raise ValueError(f"The size {width}x{height} must be even and at least 64x64.")
    if references is None:  # else a data set of few photographs could be taken for the whole one
        check_installed("skimage", "sklearn", what="The mini data set, whose scenes show its photographs,")
    clips = index_videos(references) if references else {}
    with building(root):
        remember(root, {"references": str(references), "size": [width, height], "seconds": seconds, "seed": seed})
        return _build(root, clips, workers, width, height, seconds, seed)


def _build(
    root: Path, clips: Mapping[str, Path], workers: int | None, width: int, height: int, seconds: float, seed: int
) -> Built:
    folder = root / "references"
    if clips:
        shots = {
            name: partial(prepare_clip, path, folder, width=width, seconds=seconds) for name, path in clips.items()
        }
    else:
        size = {"width": width, "height": height, "fps": FPS}
        shots = {one.name: partial(shoot_scene, one, folder, seconds=seconds, seed=seed, **size) for one in SCENES}
    sources, failures = run_jobs(shots, "Making references", workers)
    if not sources:
        raise ValueError("No reference could be made: " + "; ".join(failures.values()))
    encodes, broken = _encode(list(sources.values()), root, workers)
    pairs = {one.video_id: (one.path, sources[one.sequence].path) for one in encodes}
    values, unmeasured = pseudo_labels.measure_all(pairs, root / "proxies", workers=workers)
    failures = {**failures, **broken, **unmeasured}
    scored = [one for one in encodes if "vmaf" in values.get(one.video_id, {})]
    return _write_tables(root, scored, values, failures, sources, seed)


def _encode(sources: Sequence[Reference], root: Path, workers: int | None) -> tuple[list[Encode], dict[str, str]]:
    needs, failures = run_jobs({one.name: partial(_need, one, root) for one in sources}, "Choosing rates", workers)
    jobs = [
        LadderJob(source, encoder, preset, encoder.presets[preset], "kbps", rungs, TOLERANCE)
        for source in sources
        if source.name in needs
        for codec, multiples in MULTIPLES.items()
        for encoder, rungs in [(find_encoder(codec), _rounded(needs[source.name], multiples))]
        for preset in PRESETS
    ]
    encodes, broken = encode_all(jobs, root, workers)
    return encodes, {**failures, **broken}


def _need(source: Reference, root: Path) -> float:
    """Return x264's rate in kb/s for a clip at CRF 34."""
    encoder = find_encoder("x264")
    assert encoder.crf
    with scratch(root / "videos") as folder:
        arguments = [*source.inputs, *encoder.arguments("veryfast", encoder.crf, 34)]
        return 8 * sum(ffmpeg.write(arguments, folder / "probe.mp4")) / source.seconds / 1000


def _rounded(kbps: float, multiples: Sequence[float]) -> tuple[float, ...]:
    """Return target rates of two digits; they are whole numbers, so that all programs write the column `crf` alike."""
    return tuple(float(max(round(float(f"{multiple * kbps:.2g}")), 1)) for multiple in multiples)


def _write_tables(
    root: Path,
    encodes: Sequence[Encode],
    values: Mapping[str, Mapping[str, float]],
    failures: dict[str, str],
    sources: Mapping[str, Reference],
    seed: int,
) -> Built:
    if not encodes:
        raise ValueError("No video could be built: " + "; ".join(list(failures.values())[:3]))
    videos = pd.DataFrame(
        {"video_id": [one.video_id for one in encodes], "group": [f"{one.sequence}/{one.preset}" for one in encodes]}
    )
    proxies = videos[["video_id"]].join(pd.DataFrame([values[one] for one in videos["video_id"]]))
    scores = pseudo_labels.bradley_terry_labels(videos, proxies["vmaf"].to_numpy(), seed=seed)
    write_csv(root / "proxies.csv", proxies)
    write_csv(root / "Subjective_scores.csv", label_table(encodes, scores))
    write_text(root / "README.md", _README.format(videos=len(encodes), references=len(sources)))
    return Built(
        labels=root / "Subjective_scores.csv",
        proxies=root / "proxies.csv",
        videos=root / "videos",
        references=root / "references",
        num_videos=len(encodes),
        failures=failures,
    )
