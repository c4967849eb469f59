"""Content that videos have and photographs lack: text on the screen, sparks in the dark, drawn pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789     .,:-"
Picture = NDArray[np.uint8]


def drawing(kind: str, side: int, rng: np.random.Generator) -> Picture:
    """Return a drawn picture, shape (side, side, 3), with sharp edges and smooth gradients.

    Args:
        kind: `text`, `slide`, `shapes`, `gradient` or `fractal`.
        side: Rows and columns.
        rng: Generator of its content.
    """
    if kind == "gradient":
        corners = rng.uniform(0, 255, (2, 2, 3))
        along = np.linspace(0, 1, side)
        rows = corners[0] + along[:, None, None] * (corners[1] - corners[0])
        smooth = rows[:, :1] + along[None, :, None] * (rows[:, 1:] - rows[:, :1])
        picture: Picture = np.rint(smooth).astype(np.uint8)
        return picture
    if kind == "fractal":
        return _fractal(side, rng)
    from PIL import Image, ImageDraw, ImageFont

    paper, pen = _colour(rng), _colour(rng)
    if kind == "slide":
        paper, pen = ((255,) * 3, (0,) * 3) if rng.random() < 0.5 else ((0,) * 3, (255,) * 3)
    image = Image.new("RGB", (side, side), paper)
    draw = ImageDraw.Draw(image)
    if kind == "shapes":
        for _ in range(60):
            x, y = rng.uniform(-0.1, 1, 2) * side
            box = [x, y, x + rng.uniform(0.02, 0.3) * side, y + rng.uniform(0.02, 0.3) * side]
            (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=_colour(rng))
        return np.array(image)
    height = int(rng.integers(12, 40))
    for top in range(0, side, height * 4 // 3):
        if kind == "text" or rng.random() < 0.7:  # a slide has gaps
            draw.text((8, top), _words(2 * side // height, rng), fill=pen, font=ImageFont.load_default(height))
    return np.array(image)


def _fractal(side: int, rng: np.random.Generator) -> Picture:
    """Return a window of the Mandelbrot set near its edge, coloured by how fast points escape, (side, side, 3)."""
    centre, reach = complex(-0.7436, 0.1318) + 0.02 * complex(*rng.normal(size=2)), 10 ** rng.uniform(-2, 0)
    along = np.linspace(-reach, reach, side)
    c = centre + along[None] + 1j * along[:, None]
    z, steps = np.zeros_like(c), np.zeros(c.shape, np.float32)
    for _ in range(96):
        inside = np.abs(z) < 4
        z[inside] = z[inside] ** 2 + c[inside]
        steps += inside
    waves = rng.uniform(0.05, 0.4, 3) * steps[..., None] + rng.uniform(0, 2 * np.pi, 3)
    picture: Picture = np.rint(127.5 * (1 + np.sin(waves))).astype(np.uint8)
    return picture


def captioned(frames: Iterable[Picture], rng: np.random.Generator) -> Iterator[Picture]:
    """Yield the frames with one line of text that does not move."""
    from PIL import Image, ImageDraw, ImageFont

    line, ink, place = _words(int(rng.integers(5, 25)), rng), _colour(rng), rng.uniform(0, 0.8, 2)
    for frame in frames:
        height, width = frame.shape[:2]
        image = Image.fromarray(frame)
        font = ImageFont.load_default(height // 9)
        ImageDraw.Draw(image).text((place[0] * width, place[1] * height), line, fill=ink, font=font)
        yield np.array(image)


def sparkling(frames: Iterable[Picture], rng: np.random.Generator) -> Iterator[Picture]:
    """Yield the frames with bright sparks that fly apart from one place and fall, like fireworks."""
    count = int(rng.integers(50, 500))
    angle, speed = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, 0.012, count)
    centre, colour = rng.uniform(0.2, 0.8, 2), rng.uniform(90, 255, 3)
    size = int(rng.integers(1, 4))
    for number, frame in enumerate(frames):
        height, width = frame.shape[:2]
        time = number + 8
        y = (centre[1] + time * speed * np.sin(angle) + 0.0001 * time**2) * height
        x = centre[0] * width + time * speed * np.cos(angle) * height
        lit = frame.astype(np.float32)
        for row in range(size):
            for column in range(size):
                i, j = y.astype(int) + row, x.astype(int) + column
                seen = (i >= 0) & (i < height) & (j >= 0) & (j < width) & (rng.random(count) < 0.8)
                lit[i[seen], j[seen]] += colour
        yield np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _words(length: int, rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(_LETTERS), length))
