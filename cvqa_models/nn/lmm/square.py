"""Turn frames into squares, as vision-language models take them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# CLIP's mean colour in whole levels; Q-Align and LLaVA pad with it.
PAD = (122, 116, 104)
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def pad(frames: Tensor, height: int, width: int) -> Tensor:
    """Return uint8 `frames` (M, 3, H, W) centred on a canvas of CLIP's mean colour, at least `height` x `width`."""
    H, W = frames.shape[-2:]
    height, width = max(H, height), max(W, width)
    colour = torch.tensor(PAD, dtype=torch.uint8, device=frames.device)
    canvas = colour[:, None, None].repeat(len(frames), 1, height, width)
    top, left = (height - H) // 2, (width - W) // 2
    canvas[:, :, top : top + H, left : left + W] = frames
    return canvas


def pad_to_square(frames: Tensor) -> Tensor:
    """Return uint8 `frames` (M, 3, H, W) centred on a square of their longer side."""
    side = max(frames.shape[-2:])
    return pad(frames, side, side)


def square(frames: Tensor, side: int) -> Tensor:
    """Return uint8 `frames` (M, 3, H, W) padded to a square and resized to `side`, bicubic, as Pillow does it."""
    pixels = pad_to_square(frames).float()
    # Pillow resizes along rows, rounds to whole levels, and then resizes along columns; near hard edges this matters.
    for size in ((pixels.shape[2], side), (side, side)):
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True)
        pixels = (pixels + 0.5).floor().clamp(0, 255)
    return pixels.to(torch.uint8)


def local_crops(frames: Tensor, grid: tuple[int, int], side: int, places: Tensor | None = None) -> Tensor:
    """Return one crop at native resolution per cell of a grid, uint8, (M, rows * columns, 3, side, side).

    Args:
        frames: uint8, shape (M, 3, H, W); a frame smaller than a crop is padded.
        grid: Rows and columns of equal cells.
        side: Side of a crop, in pixels.
        places: Place of the centre of each crop in its cell, from 0 to 1 down and across, shape (M, rows * columns, 2);
            None for the middle. A crop is moved to stay inside the frame.
    """
    rows, columns = grid
    frames = pad(frames, side, side)
    H, W = frames.shape[-2:]
    if places is None:
        places = torch.full((len(frames), rows * columns, 2), 0.5)
    crops = []
    for frame, centres in zip(frames, places.tolist(), strict=True):
        for index, (down, across) in enumerate(centres):
            top = _offset((index // columns + down) * H / rows, side, H)
            left = _offset((index % columns + across) * W / columns, side, W)
            crops.append(frame[:, top : top + side, left : left + side])
    return torch.stack(crops).view(len(frames), rows * columns, 3, side, side)


def _offset(centre: float, side: int, length: int) -> int:
    return min(max(round(centre - side / 2), 0), length - side)
