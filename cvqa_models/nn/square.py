"""Frames as squares, as vision-language models take them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# CLIP's mean colour in whole grey levels: what Q-Align and LLaVA pad with.
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
    # Pillow resizes along rows, rounds to grey levels, then along columns; near hard edges that shows.
    for size in ((pixels.shape[2], side), (side, side)):
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True)
        pixels = (pixels + 0.5).floor().clamp(0, 255)
    return pixels.to(torch.uint8)


def local_crops(frames: Tensor, grid: tuple[int, int], side: int, *, random: bool) -> Tensor:
    """Return one crop at native resolution per cell of a grid, uint8, (M, rows * columns, 3, side, side).

    Args:
        frames: uint8, shape (M, 3, H, W); a frame smaller than a crop is padded.
        grid: Rows and columns of equal cells.
        side: Side of a crop, in pixels.
        random: Whether crops lie anywhere over their cell; otherwise they are centred on it, or as near as fits.
    """
    frames = pad(frames, side, side)
    H, W = frames.shape[-2:]
    crops = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            shift = torch.rand(2).tolist() if random else (0.5, 0.5)
            top = _offset((row + shift[0]) * H / grid[0], side, H)
            left = _offset((column + shift[1]) * W / grid[1], side, W)
            crops.append(frames[:, :, top : top + side, left : left + side])
    return torch.stack(crops, dim=1)


def _offset(centre: float, side: int, length: int) -> int:
    return min(max(round(centre - side / 2), 0), length - side)
