"""The recorded files' made videos, shown by a view as a file of them would be."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cvqa_models.video.in_memory import in_memory
from cvqa_models.video.patches import OfficialFragments
from cvqa_models.video.reader import stacked
from cvqa_models.video.view import View
from tests.parity.fill import clip


def made_video(source: dict[str, Any]) -> np.ndarray:
    """Return the frames that the rule `video` of the recorded files makes, uint8, (T, H, W, 3)."""
    height, width, block = source["H"], source["W"], source["block"]
    small = clip((3, source["T"], -(-height // block), -(-width // block)), source["seed"])
    large = small.repeat_interleave(block, -1).repeat_interleave(block, -2)[..., :height, :width]
    return (large * 256).to(torch.uint8).permute(1, 2, 3, 0).contiguous().numpy()


def seen(frames: np.ndarray, view: View) -> Tensor:
    """Return what a branch is given of frames, uint8, (N, 3, T, H, W)."""
    return stacked([view], in_memory(frames, 25.0).iter_clips([view]))[view.key]


def authors_fragments(frames: np.ndarray, rule: OfficialFragments) -> Tensor:
    """Return fragments, uint8 (1, 3, T, h, w), with small frames enlarged by torch, as the authors do.

    Ours are enlarged by swscale, whose pixels differ by rounding.
    """
    height, width = frames.shape[1:3]
    aligned = rule.aligned or len(frames)
    offsets = rule.draw(height, width, len(frames) // aligned, None)
    ratio = min(height / rule.output_size(0, 0)[0], width / rule.output_size(0, 0)[1])
    if ratio < 1:
        x = torch.from_numpy(frames).permute(3, 0, 1, 2).contiguous()
        x = (F.interpolate(x / 255.0, scale_factor=1 / ratio, mode="bilinear") * 255.0).to(torch.uint8)
        frames = x.permute(1, 2, 3, 0).numpy()
    cut = np.stack([rule.cut(frame, offsets[index // aligned]) for index, frame in enumerate(frames)])
    return torch.from_numpy(cut).permute(3, 0, 1, 2)[None]


def sha256(view: Tensor) -> str:
    """Return the digest of a view (N, C, T, H, W) in the authors' layout, (C, N * T, H, W)."""
    return hashlib.sha256(view.transpose(0, 1).flatten(1, 2).contiguous().numpy().tobytes()).hexdigest()
