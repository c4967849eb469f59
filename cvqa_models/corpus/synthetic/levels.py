"""Training data of the compression level: moving scenes, each filmed by its own camera and encoded with many ladders.

The labels are VMAF against the source as it came from the camera, so faults of the source do not count. The network
that learns from them never sees the source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding.encoders import Encoder, find_encoder
from cvqa_models.corpus.folder import building, keep, read_card, remember, scratch
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.corpus.labels import pseudo_labels
from cvqa_models.corpus.references import BT709, LOSSLESS, Reference, load, write_reference
from cvqa_models.corpus.synthetic.camera import Camera, random_camera
from cvqa_models.corpus.synthetic.footage import Footage, Window, find_footage, random_window
from cvqa_models.corpus.synthetic.overlays import captioned, drawing, sparkling
from cvqa_models.corpus.synthetic.scenes import PHOTOGRAPHS, Box, Mover, Scene, render
from cvqa_models.data.manifest import write_manifest
from cvqa_models.files import write_json

FRAMES = 30
# Windows at native resolution, as cut from larger pictures, and whole pictures of small size. All sides divide by 8, as
# some encoders ask.
SIZES = ((384, 216), (384, 216), (320, 240), (240, 384), (320, 184))
RATES = (10, 15, 24, 25, 30, 30, 50, 60)
DRAWINGS = ("text", "slide", "shapes", "gradient", "fractal")
DRAWN = 0.18  # share of scenes that show a drawing
# Encoder -> speeds, lowest and highest CRF (or QP), how often. openh264 is left out, to test with an unseen encoder.
LADDERS: dict[str, tuple[tuple[str, ...], int, int, float]] = {
    "x264": (("ultrafast", "veryfast", "medium", "slower"), 18, 51, 0.28),
    "x265": (("superfast", "fast", "medium"), 18, 51, 0.20),
    "svt-av1": (("10", "8", "6"), 34, 63, 0.18),
    "vp9": (("realtime8", "realtime6", "good5", "good4"), 34, 63, 0.14),
    "vvenc": (("lightest", "light"), 24, 54, 0.10),
    "kvazaar": (("ultrafast", "fast"), 20, 50, 0.06),
    "libaom": (("8",), 34, 63, 0.04),
}
LADDERS_PER_SCENE = 3
RUNGS = 4
# Share of the ladders whose rungs have several heights, as streams of adaptive bitrate do, and these heights as shares
# of the full one.
REDUCED = 0.4
HEIGHTS = (1.0, 0.75, 0.5, 0.333)
# Share of the videos that are shown a second time under film grain, as some players and AV1 streams add it, and the
# strengths of FFmpeg's filter. Such a copy keeps its label: grain hides damage, and must not count as detail.
GRAINY = 0.15
GRAIN = (4, 24)
# VMAF bins, and the wanted share of each among the encodes of every encoder.
VMAF_BINS = (20, 40, 60, 75, 85, 92, 97)
SHARES = (0.07, 0.10, 0.15, 0.18, 0.18, 0.15, 0.10, 0.07)
HEAVIEST = 4.0


@dataclasses.dataclass(frozen=True)
class Rung:
    """One encode to make."""

    encoder: str
    speed: str
    crf: float
    deep: bool  # 10 bit
    scale: float = 1.0  # size of the encode as a share of the source's size; a player scales it back

    @property
    def name(self) -> str:
        reduced = f"_s{self.scale:g}" if self.scale < 1 else ""
        return f"{self.encoder}_{self.speed}{'_10bit' if self.deep else ''}_{self.crf:g}{reduced}"


@dataclasses.dataclass(frozen=True)
class Take:
    """All random choices for one reference and its encodes.

    Attributes:
        name: Name of the scene.
        shown: What is shown: a made scene, or a window of real footage.
        reference: Name of the content, by which data is split: the photograph, or the footage.
        size: Columns and rows.
        fps: Frames a second.
        overlay: `caption`, `sparks` or nothing.
        camera: How the source was made.
        rungs: Encodes to make.
        seed: Seed of grain, shake and overlay.
    """

    name: str
    shown: Scene | Window
    reference: str
    size: tuple[int, int]
    fps: int | Fraction
    overlay: str
    camera: Camera
    rungs: tuple[Rung, ...]
    seed: int


def build_levels(
    root: Path,
    photographs: Path | None,
    references: int,
    seed: int = 0,
    workers: int | None = None,
    *,
    footage: Path | None = None,
    windows: int = 3,
) -> tuple[Path, dict[str, str]]:
    """Build the training data in `root`, or go on with it, and return its manifest and the failures by name.

    Args:
        root: Folder of the data set.
        photographs: Folder of pictures; None takes those of installed packages.
        references: Number of scenes; a later build with a larger number keeps the scenes that are there.
        seed: Seed of every draw.
        workers: Scenes at a time; None for one per processor.
        footage: Folder of real footage, of which windows become further scenes.
        windows: Windows of each piece of footage.

    Raises:
        FileNotFoundError: If `photographs` or `footage` does not exist.
        ValueError: If one of them holds nothing that can be shown, `root` was built with other settings, or nothing
            could be built.
    """
    pictures = _pictures(photographs)
    pieces, faults = find_footage(footage, FRAMES) if footage is not None else ([], {})
    with building(root):
        shown = {"footage": [one.path.name for one in pieces], "windows": windows} if pieces else {}
        remember(root, {"photographs": sorted(pictures), "seed": seed, "grainy": GRAINY, **shown})
        planned = [plan(number, seed, pictures, root) for number in range(references)]
        planned += [_plan_window(piece, number, seed) for piece in pieces for number in range(windows)]
        takes = {one.name: one for one in planned}
        jobs = {name: partial(_make, one, root) for name, one in takes.items()}
        rows, failures = run_jobs(jobs, "Making scenes", workers)
        if not rows:
            raise ValueError("No scene could be made: " + "; ".join(list(failures.values())[:3]))
        manifest = root / "manifest.csv"
        table = pd.DataFrame([row for one in rows.values() for row in one])
        write_manifest(manifest, table.assign(weight=balanced(table["codec"], table["mos"].to_numpy())))
    return manifest, {**faults, **failures}


def balanced(codec: pd.Series, vmaf: np.ndarray) -> np.ndarray:
    """Return label weights, shape (n,), that give every encoder the same distribution of VMAF; 1 for sources.

    Encoders differ in the qualities that their scale reaches. Without the weights, a network would learn which encoder
    does more damage on average, and rate the encoder it recognises, not the damage.

    Args:
        codec: Encoder of each video, empty for a source; n in all.
        vmaf: VMAF of each, shape (n,).
    """
    place = np.digitize(vmaf, VMAF_BINS)
    weight = np.ones(len(vmaf))
    for name in sorted(set(codec) - {""}):
        own = (codec == name).to_numpy()
        share = np.bincount(place[own], minlength=len(SHARES)) / own.sum()
        weight[own] = np.minimum(np.array(SHARES)[place[own]] / share[place[own]], HEAVIEST)
    return weight.round(4)


def _pictures(folder: Path | None) -> dict[str, str]:
    """Return name -> value for `Scene.photograph`, for the photographs in a folder or in installed packages."""
    if folder is None:
        return {name: name for name in PHOTOGRAPHS}
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'; give one with photographs.")
    found = {path.stem: str(path) for path in sorted(folder.rglob("*")) if path.suffix.lower() in _PICTURES}
    if not found:
        raise ValueError(f"'{folder}' holds no photograph; expected {', '.join(_PICTURES)}.")
    return found


_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def plan(number: int, seed: int, pictures: Mapping[str, str], root: Path) -> Take:
    """Return the random choices for one scene; they depend only on the arguments.

    Args:
        number: Number of the scene.
        seed: Seed of the whole data set.
        pictures: Name -> value for `Scene.photograph`.
        root: Folder of the data set; drawn pictures lie in `drawings/`.
    """
    rng = np.random.default_rng((seed, number))
    reference = str(rng.choice(list(pictures)))
    photograph = pictures[reference]
    if rng.random() < DRAWN:
        reference = f"{rng.choice(DRAWINGS)}-{rng.integers(8)}"
        photograph = str(root / "drawings" / f"{reference}.png")
    scene = _scene(f"scene-{seed}-{number}", photograph, list(pictures.values()), rng)
    size = SIZES[rng.integers(len(SIZES))]
    overlay = str(rng.choice(["", "caption", "sparks"], p=(0.84, 0.1, 0.06)))
    camera = random_camera(rng, FRAMES)
    fps = int(rng.choice(RATES))
    rungs = _reduced(_rungs(rng), np.random.default_rng((seed, number, 1)))
    return Take(scene.name, scene, reference, size, fps, overlay, camera, rungs, int(rng.integers(1 << 30)))


def _plan_window(piece: Footage, number: int, seed: int) -> Take:
    """Return the random choices for one window of a piece of footage; they depend only on its name, seed and number."""
    rng = np.random.default_rng((seed, number, *piece.path.name.encode()))
    size = SIZES[rng.integers(len(SIZES))]
    window = random_window(piece, size, FRAMES, rng)
    rungs = _reduced(_rungs(rng), rng)
    camera = random_camera(rng, FRAMES)
    name = f"footage-{piece.path.stem}-{number}"
    return Take(name, window, piece.path.stem, size, piece.fps, "", camera, rungs, int(rng.integers(1 << 30)))


def _scene(name: str, photograph: str, others: Sequence[str], rng: np.random.Generator) -> Scene:
    """Return a random scene: from a still to a very shaky camera, and from the whole photograph to single pixels."""

    def box() -> Box:
        return Box(rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), 0.95 * 4 ** -rng.random())

    def mover() -> Mover:
        (ax, bx), (ay, by) = rng.uniform(0, 1.78, 2), rng.uniform(0, 1, 2)
        return Mover(str(rng.choice(list(others))), rng.uniform(0.08, 0.3), (ax, ay), (bx, by))

    start, far, speed = box(), box(), 0.5 * rng.choice([0, rng.beta(1, 3)], p=(0.3, 0.7))
    end = Box(*(a + speed * (b - a) for a, b in zip(dataclasses.astuple(start), dataclasses.astuple(far), strict=True)))
    return Scene(
        name=name,
        photograph=photograph,
        start=start,
        end=end,
        turn=float(rng.choice([0, rng.uniform(-15, 15)], p=(0.8, 0.2))),
        parallax=float(rng.choice([0, rng.uniform(0, 0.8)])),
        shake=float(rng.choice([0, rng.uniform(0, 0.01)])),
        grain=float(rng.choice([0, rng.uniform(0.5, 6)], p=(0.7, 0.3))),
        movers=tuple(mover() for _ in range(rng.choice([0, 1, 2], p=(0.6, 0.25, 0.15)))),
        ripple=float(rng.choice([0, rng.uniform(0.001, 0.008)], p=(0.75, 0.25))),
    )


def _rungs(rng: np.random.Generator) -> tuple[Rung, ...]:
    names, shares = list(LADDERS), [share for *_, share in LADDERS.values()]
    rungs = []
    for name in rng.choice(names, LADDERS_PER_SCENE, replace=False, p=shares).tolist():
        speeds, low, high, _ = LADDERS[name]
        speed, deep = str(rng.choice(speeds)), name in ("x265", "svt-av1") and rng.random() < 0.3
        places = (np.arange(RUNGS) + rng.uniform(0, 1, RUNGS)) / RUNGS
        rungs += [Rung(name, speed, float(round(low + place * (high - low))), deep) for place in places]
    return tuple(dict.fromkeys(rungs))


def _reduced(rungs: Sequence[Rung], rng: np.random.Generator) -> tuple[Rung, ...]:
    """Return the rungs, for some encoders at several sizes, as the ladders of adaptive streaming are."""
    adaptive = {name for name in dict.fromkeys(rung.encoder for rung in rungs) if rng.random() < REDUCED}
    scales = rng.choice(HEIGHTS, len(rungs)).tolist()
    return tuple(
        dataclasses.replace(rung, scale=scale if rung.encoder in adaptive else 1.0)
        for rung, scale in zip(rungs, scales, strict=True)
    )


def _make(take: Take, root: Path) -> list[dict[str, object]]:
    """Return the rows of a scene: its encodes and the source itself; files are made unless they exist."""
    name, card = take.name, root / "scenes" / f"{take.name}.json"
    kept: list[dict[str, object]] | None = read_card(card)
    if kept is not None:
        return kept
    reference = load(root / "references", name) or _film(take, root)
    source = {"codec": "", "preset": "", "path": reference.path}
    encodes = {f"{name}_{one.name}": encode_rung(one, reference, root) for one in take.rungs}
    videos = {f"{name}_source": source, **encodes}
    rows: list[dict[str, object]] = []
    for video_id, facts in videos.items():
        path = Path(str(facts["path"]))
        values = pseudo_labels.measure(path, reference.path, root / "proxies" / f"{video_id}.json", (), every=2)
        row = {**facts, "video_id": video_id, "path": str(path.relative_to(root)), "mos": round(values["vmaf"], 3)}
        rows.append(row | {"reference": take.reference, "group": name})
    rows += under_grain(rows, reference.fps, root, take.seed)
    write_json(card, rows)
    return rows


def under_grain(rows: Sequence[Mapping[str, object]], fps: Fraction, root: Path, seed: int) -> list[dict[str, object]]:
    """Return rows of further videos: some of those in `rows` under film grain, with the labels that they have without.

    Args:
        rows: Videos of a scene, with `video_id` and a `path` below `root`.
        fps: Their frame rate.
        root: Folder of the data set.
        seed: Seed of the choice and of the grain.
    """
    rng, copies = np.random.default_rng((seed, 1)), []
    for row in rows:
        chosen, strength = rng.random() < GRAINY, int(rng.integers(GRAIN[0], GRAIN[1] + 1))
        if not chosen:
            continue
        shown = root / str(row["path"])
        path = root / "videos" / f"{row['video_id']}_grain{strength}.mkv"
        if not path.is_file():
            noise = f"noise=alls={strength}:all_seed={seed % 2**31}:allf=t"
            with scratch(root / "videos") as folder:
                rate = ["-r", str(fps)]
                ffmpeg.write([*rate, "-i", shown, "-vf", noise, *LOSSLESS, *rate], folder / path.name)
                keep(folder / path.name, path)
        video_id = f"{row['video_id']}_grain{strength}"
        copies.append({**row, "video_id": video_id, "path": str(path.relative_to(root))})
    return copies


def _film(take: Take, root: Path) -> Reference:
    """Return the source of a take: rendered or cut out, with its overlay, and processed by its camera."""
    width, height = take.size
    raw, cut, pictures = _pictures_of(take, root)
    camera = take.camera
    developed = ",".join([*cut, BT709, *camera.before])
    back = f"scale={width}:{height}:flags=bicubic"
    if camera.scale != 1:
        even = [max(2 * round(side * camera.scale / 2), 64) for side in take.size]
        developed += f",scale={even[0]}:{even[1]}:flags=bicubic"
    if not camera.encoder:
        arguments = [*raw, "-vf", developed if camera.scale == 1 else f"{developed},{back}"]
        return write_reference(take.name, root / "references", Fraction(take.fps), arguments, pictures)
    encoder = find_encoder(camera.encoder)
    assert encoder.crf
    with scratch(root / "videos") as folder:
        path = folder / "camera.mp4"
        options = encoder.arguments(camera.speed, encoder.crf, camera.crf)
        ffmpeg.write([*raw, "-vf", developed, *options], path, pictures)
        after = ",".join([back, *camera.after])
        sent: list[str | Path] = ["-r", str(take.fps), "-i", path, "-vf", after]
        return write_reference(take.name, root / "references", Fraction(take.fps), sent)


def _pictures_of(take: Take, root: Path) -> tuple[list[str | Path], list[str], Iterator[bytes]]:
    """Return FFmpeg's input options of what a take shows, the filters that cut it out, and the frames for its pipe."""
    width, height = take.size
    if isinstance(take.shown, Window):
        found: list[str | Path] = ["-i", take.shown.footage.path, *ffmpeg.LARGEST_VIDEO]
        return found, [take.shown.filters(width, height, FRAMES)], iter(())
    _draw_picture(take.shown.photograph, root)
    frames = render(take.shown, height, width, FRAMES, take.seed)
    if take.overlay:
        frames = (captioned if take.overlay == "caption" else sparkling)(frames, np.random.default_rng(take.seed))
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(take.fps), "-i", "pipe:0"]
    return [*raw], [], (one.tobytes() for one in frames)


def _draw_picture(photograph: str, root: Path) -> None:
    """Draw the picture if `photograph` names one in the data set's folder that does not exist yet."""
    path = Path(photograph)
    if path.parent != root / "drawings" or path.is_file():
        return
    from PIL import Image

    kind, number = path.stem.split("-")
    with scratch(path.parent) as folder:
        Image.fromarray(drawing(kind, 1200, np.random.default_rng(int(number)))).save(folder / path.name)
        keep(folder / path.name, path)


def encode_rung(rung: Rung, reference: Reference, root: Path) -> dict[str, object]:
    """Return the row of an encode. A smaller one is stored losslessly at the source's size, as a player shows it."""
    encoder = _with_depth(find_encoder(rung.encoder), rung.deep)
    assert encoder.crf
    folder = root / "videos" / reference.name
    folder.mkdir(parents=True, exist_ok=True)
    options = encoder.arguments(rung.speed, encoder.crf, rung.crf)
    path = folder / f"{rung.name}.{'mp4' if rung.scale == 1 else 'mkv'}"
    with scratch(root / "videos") as partly:
        whole = partly / path.name
        if rung.scale == 1:
            packets = ffmpeg.write([*reference.inputs, *options], whole)
        else:
            small = [max(8 * round(side * rung.scale / 8), 64) for side in (reference.width, reference.height)]
            back = ["-vf", f"scale={reference.width}:{reference.height}:flags=bicubic", *LOSSLESS]
            stream = partly / "small.mp4"
            shrunk = [*reference.inputs, "-vf", f"scale={small[0]}:{small[1]}:flags=bicubic"]
            packets = ffmpeg.write([*shrunk, *options], stream)
            ffmpeg.write(["-r", str(reference.fps), "-i", stream, *back, "-r", str(reference.fps)], whole)
        keep(whole, path)
    kbps = 8 * sum(packets) / reference.seconds / 1000
    return {"codec": rung.encoder, "preset": rung.speed, "path": path, "bitrate_kbps": round(kbps, 1)}


def _with_depth(encoder: Encoder, deep: bool) -> Encoder:
    options = tuple("yuv420p10le" if deep and word == "yuv420p" else word for word in encoder.options)
    return dataclasses.replace(encoder, options=options)
