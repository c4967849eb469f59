"""Make moving scenes of photographs in installed packages: pan, zoom, turn, parallax, shake, objects, film grain."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# Name -> (package, file). The packages contain these files, so nothing is downloaded.
PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "tissue": ("skimage", "data/ihc.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "palace": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "cameraman": ("skimage", "data/camera.png"),
    "lawn": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "coins": ("skimage", "data/coins.png"),
    "moon": ("skimage", "data/moon.png"),
}

_ENOUGH = (2560, 2560)  # pixels; a larger picture is reduced when it is read


@dataclass(frozen=True)
class Box:
    """A camera's field of view: its centre as a share of the photograph, its size as a share of the largest fit."""

    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Mover:
    """A disc, cut from a photograph, that crosses the picture; places and radius are shares of the picture's height."""

    photograph: str
    radius: float
    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What one clip shows.

    Attributes:
        name: Name of the reference.
        photograph: Key of `PHOTOGRAPHS`, or the path of a picture.
        start: Field of view of the first frame.
        end: Field of view of the last frame.
        turn: Degrees by which the camera turns around its axis in the whole clip.
        parallax: How much further the lower edge moves than the centre, as a share of the pan.
        shake: Amplitude of the hand-held shake as a share of the picture's height.
        grain: Standard deviation of the film grain in 8-bit levels.
        movers: Discs in front of the photograph.
        ripple: Amplitude of a wave through the picture, like water, as a share of its height.
    """

    name: str
    photograph: str
    start: Box
    end: Box
    turn: float = 0.0
    parallax: float = 0.0
    shake: float = 0.0
    grain: float = 0.0
    movers: tuple[Mover, ...] = ()
    ripple: float = 0.0


# From nearly still and smooth to fast and detailed. All have some grain, as pictures of every camera do: encoders
# remove it first. Discs are cut from photographs that no scene shows, so no content is in two scenes.
SCENES = (
    Scene("astronaut", "astronaut", Box(0.42, 0.38, 0.70), Box(0.55, 0.42, 0.70), grain=2.5),
    Scene("coffee", "coffee", Box(0.50, 0.50, 0.95), Box(0.48, 0.52, 0.80), grain=2.0),
    Scene("cat", "cat", Box(0.48, 0.48, 0.80), Box(0.54, 0.50, 0.75), shake=0.008, grain=3.0),
    Scene(
        "rocket", "rocket", Box(0.50, 0.50, 0.90), Box(0.50, 0.47, 0.90), grain=2.5,
        movers=(Mover("moon", 0.16, (0.1, 0.8), (1.6, 0.2)),),
    ),
    Scene("galaxies", "galaxies", Box(0.40, 0.45, 0.60), Box(0.44, 0.47, 0.60), grain=2.0),
    Scene("motorcycle", "motorcycle", Box(0.42, 0.52, 0.70), Box(0.60, 0.52, 0.70), parallax=0.6, grain=2.0),
    Scene("palace", "palace", Box(0.32, 0.55, 0.60), Box(0.68, 0.50, 0.60), grain=2.5),
    Scene("flower", "flower", Box(0.50, 0.50, 0.95), Box(0.55, 0.45, 0.60), grain=2.0),
    Scene("retina", "retina", Box(0.50, 0.50, 0.62), Box(0.50, 0.50, 0.55), turn=25.0, grain=3.0),
    Scene(
        "tissue", "tissue", Box(0.45, 0.40, 0.75), Box(0.52, 0.60, 0.75), shake=0.006, grain=2.0,
        movers=(Mover("coins", 0.20, (1.7, 0.3), (0.2, 0.6)), Mover("moon", 0.12, (0.3, 0.1), (1.2, 0.9))),
    ),
    Scene("portrait", "portrait", Box(0.46, 0.36, 0.85), Box(0.48, 0.34, 0.70), grain=3.0),
    Scene("cameraman", "cameraman", Box(0.40, 0.40, 0.80), Box(0.52, 0.35, 0.75), shake=0.004, grain=3.0),
    Scene("lawn", "lawn", Box(0.45, 0.50, 0.90), Box(0.55, 0.50, 0.80), parallax=0.4, grain=1.5),
    Scene("gravel", "gravel", Box(0.50, 0.45, 0.95), Box(0.50, 0.55, 0.95), turn=8.0, grain=2.0),
)  # fmt: skip


def random_scenes(count: int, seed: int) -> list[Scene]:
    """Return `count` random scenes; the same seed gives the same scenes."""
    rng = np.random.default_rng(seed)
    names = list(PHOTOGRAPHS)

    def box() -> Box:
        return Box(rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65), rng.uniform(0.4, 0.95))

    def mover() -> Mover:
        (ax, bx), (ay, by) = rng.uniform(0, 1.78, 2), rng.uniform(0, 1, 2)
        return Mover(str(rng.choice(names)), rng.uniform(0.08, 0.25), (ax, ay), (bx, by))

    def scene(number: int) -> Scene:
        start, far, speed = box(), box(), rng.beta(1, 2)
        end = Box(*(a + speed * (b - a) for a, b in zip(astuple(start), astuple(far), strict=True)))
        return Scene(
            name=f"scene-{seed}-{number}",
            photograph=str(rng.choice(names)),
            start=start,
            end=end,
            turn=float(rng.choice([0, 0, rng.uniform(-30, 30)])),
            parallax=float(rng.choice([0, rng.uniform(0, 0.8)])),
            shake=float(rng.choice([0, rng.uniform(0, 0.01)])),
            grain=float(rng.choice([0, rng.uniform(0, 5)])),
            movers=tuple(mover() for _ in range(rng.integers(0, 3))),
        )

    return [scene(number) for number in range(count)]


def render(scene: Scene, height: int, width: int, frames: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a scene, each (height, width, 3) RGB.

    Args:
        scene: The scene to show.
        height: Rows of a frame.
        width: Columns of a frame.
        frames: Number of frames.
        seed: Seed of the grain and the shake.
    """
    rng = np.random.default_rng(seed)
    photograph = _fitted(read_photograph(scene.photograph), scene, height, width)
    discs = [(mover, _disc(mover, height)) for mover in scene.movers]
    phases = rng.uniform(0, 2 * math.pi, 4)
    for number in range(frames):
        time = number / max(frames - 1, 1)
        shake = scene.shake * np.sin(phases + number * np.array([0.9, 0.7, 0.31, 0.23])).reshape(2, 2).sum(0)
        picture = _shoot(photograph, scene, time, shake, height, width, 0.4 * number)
        for mover, disc in discs:
            _paste(picture, disc, mover, time)
        noisy = picture.numpy().transpose(1, 2, 0)
        if scene.grain:
            noisy = noisy + rng.normal(0, scene.grain, (height, width, 1))
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def read_photograph(name: str) -> Tensor:
    """Return a photograph as float32 (3, H, W) in [0, 255].

    Raises:
        ValueError: If its package is not installed.
    """
    from PIL import Image

    if name in PHOTOGRAPHS:
        package, file = PHOTOGRAPHS[name]
        if find_spec(package.partition(".")[0]) is None:
            raise ValueError(
                f"The photograph {name!r} comes with the package {package.partition('.')[0]}, which is not installed; "
                "install `cvqa_models[build]`."
            )
        with importlib.resources.as_file(importlib.resources.files(package) / file) as path, Image.open(path) as image:
            pixels = np.array(image.convert("RGB"), dtype=np.float32)
    else:
        with Image.open(name) as image:
            image.draft("RGB", _ENOUGH)  # reads a large JPEG in an eighth of the time
            picture = image.convert("RGB")
            picture.thumbnail(_ENOUGH)
            pixels = np.array(picture, dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _largest(photograph: Tensor, height: int, width: int) -> float:
    """Return the width, in pixels of the photograph, of the largest picture of this shape that fits into it."""
    rows, columns = photograph.shape[1:]
    return min(columns, rows * width / height)


def _fitted(photograph: Tensor, scene: Scene, height: int, width: int) -> Tensor:
    """Return the photograph reduced so that the camera never skips pixels of it, which would cause aliasing."""
    scale = _largest(photograph, height, width) * min(scene.start.size, scene.end.size) / width
    if scale <= 1:
        return photograph
    size = [round(side / scale) for side in photograph.shape[1:]]
    return F.interpolate(photograph[None], size, mode="bicubic", antialias=True, align_corners=False)[0]


def _shoot(
    photograph: Tensor, scene: Scene, time: float, shake: NDArray, height: int, width: int, phase: float
) -> Tensor:
    """Return what the camera sees at `time` in [0, 1], shape (3, height, width); `phase` belongs to the ripple."""
    rows, columns = photograph.shape[1:]
    x, y = (a + time * (b - a) for a, b in ((scene.start.x, scene.end.x), (scene.start.y, scene.end.y)))
    across = _largest(photograph, height, width) * scene.start.size ** (1 - time) * scene.end.size**time
    down = across * height / width
    u = torch.linspace(-0.5, 0.5, width) * across
    v = torch.linspace(-0.5, 0.5, height)[:, None] * down
    angle = math.radians(scene.turn * time)
    pan = (x - scene.start.x) * columns * scene.parallax
    sample_x = x * columns + math.cos(angle) * u - math.sin(angle) * v + shake[0] * down + 2 * pan * v / down
    sample_y = y * rows + math.sin(angle) * u + math.cos(angle) * v + shake[1] * down
    if scene.ripple:
        sample_x = sample_x + scene.ripple * down * torch.sin(phase + 25 * v / down)
        sample_y = sample_y + scene.ripple * down * torch.sin(1.3 * phase + 18 * u / down)
    grid = torch.stack([2 * sample_x / columns - 1, 2 * sample_y / rows - 1], -1)
    picture = F.grid_sample(photograph[None], grid[None], "bicubic", "reflection", align_corners=False)[0]
    return picture.clamp(0, 255)


def _disc(mover: Mover, height: int) -> Tensor:
    """Return a disc as (4, d, d): three colours and its opacity, which falls softly at the edge."""
    photograph = read_photograph(mover.photograph)
    side = max(round(2 * mover.radius * height), 4)
    rows, columns = photograph.shape[1:]
    half = min(rows, columns) // 3
    centre = photograph[:, rows // 2 - half : rows // 2 + half, columns // 2 - half : columns // 2 + half]
    colours = F.interpolate(centre[None], [side, side], mode="bicubic", antialias=True, align_corners=False)[0]
    place = torch.linspace(-1, 1, side)
    distance = torch.hypot(place[:, None], place)
    return torch.cat([colours.clamp(0, 255), ((1 - distance) * side / 3).clamp(0, 1)[None]])


def _paste(picture: Tensor, disc: Tensor, mover: Mover, time: float) -> None:
    """Draw a disc into the picture in place, at whole pixels; parts outside are cut off."""
    height, width = picture.shape[1:]
    side = disc.shape[1]
    left, top = (round((a + time * (b - a)) * height) - side // 2 for a, b in zip(mover.start, mover.end, strict=True))
    x0, x1, y0, y1 = max(left, 0), min(left + side, width), max(top, 0), min(top + side, height)
    if x0 >= x1 or y0 >= y1:
        return
    part = disc[:, y0 - top : y1 - top, x0 - left : x1 - left]
    under = picture[:, y0:y1, x0:x1]
    under += part[3] * (part[:3] - under)
