"""Boxes as the detectors use them: anchors, offsets between boxes, suppression of duplicates, pyramid levels.

Boxes are x1 y1 x2 y2, width = x2 - x1. All formulas are those of the official HRNet detectors (MMDetection), which
differ from torchvision's in small ways: anchors are not rounded, exponents are clamped on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

LOG_RATIO_LIMIT = abs(math.log(16 / 1000))
"""Largest change of a side's logarithm that an offset can ask for."""
SPLIT_FROM = 10_000
"""From this many boxes on, groups are suppressed one by one: one call would cost the square of all boxes."""


def cell_anchors(stride: int, scale: float, ratios: Sequence[float]) -> Tensor:
    """(R, 4) anchors around the origin: area (scale * stride) squared, one for each ratio height / width."""
    root = torch.sqrt(torch.tensor(ratios, dtype=torch.float32))
    half = torch.stack([stride * (1 / root) * scale, stride * root * scale], dim=1) * 0.5
    return torch.cat([-half, half], dim=1)


def anchor_grid(cell: Tensor, height: int, width: int, stride: int) -> Tensor:
    """(height * width * R, 4) anchors of a feature map, `cell` (R, 4) at every multiple of `stride`; x before y."""
    x = torch.arange(width, device=cell.device, dtype=cell.dtype) * stride
    y = torch.arange(height, device=cell.device, dtype=cell.dtype) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=2)
    return (shifts[:, :, None] + cell).reshape(-1, 4)


def decode(boxes: Tensor, offsets: Tensor, stds: Sequence[float], sizes: Tensor) -> Tensor:
    """Boxes (..., 4) moved by offsets (..., 4), clipped to pictures of `sizes` (..., 2) width, height; they broadcast.

    The parametrisation of R-CNN (Girshick et al., CVPR 2014): shifts in units of the box, logarithms of the sides.
    """
    offsets = offsets * offsets.new_tensor(stds)
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) * 0.5, boxes[..., 2:] - boxes[..., :2]
    centres = centres + sides * offsets[..., :2]
    half = sides * offsets[..., 2:].clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp() * 0.5
    corners = torch.cat([centres - half, centres + half], dim=-1)
    return torch.minimum(corners.clamp(min=0), torch.cat([sizes, sizes], dim=-1))


def encode(boxes: Tensor, targets: Tensor, stds: Sequence[float]) -> Tensor:
    """Offsets (N, 4) that `decode` turns `boxes` (N, 4) into `targets` (N, 4) with; sides below 1e-3 count as that."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    target_sides = (targets[:, 2:] - targets[:, :2]).clamp(min=1e-3)
    shifts = ((targets[:, :2] + targets[:, 2:]) - (boxes[:, :2] + boxes[:, 2:])) * 0.5 / sides
    return torch.cat([shifts, (target_sides / sides).log()], dim=1) / boxes.new_tensor(stds)


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, overlap: float) -> Tensor:
    """Indices, best score first, of boxes that no better box of the same group overlaps with IoU > `overlap`."""
    # An exported network must not learn by heart that the picture it was traced with was empty.
    if len(boxes) == 0 and not torch.onnx.is_in_onnx_export():
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    # The official kernel holds the threshold in float32, torchvision's in float64.
    overlap = torch.tensor(overlap, dtype=torch.float32).item()
    # Groups are moved apart, so that one call suits all; this rounding is part of the official result.
    farthest = F.pad(boxes.flatten(), (0, 1)).max()  # boxes are never below 0, and there may be none
    apart = boxes + (groups.to(boxes.dtype) * (farthest + 1))[:, None]
    if len(boxes) < SPLIT_FROM:
        return cast(Tensor, nms(apart, scores, overlap))
    kept = []
    for group in set(groups.tolist()):
        rows = (groups == group).nonzero()[:, 0]
        kept.append(rows[nms(apart[rows], scores[rows], overlap)])
    rows = torch.cat(kept)
    return rows[scores[rows].argsort(descending=True)]


def pyramid_level(boxes: Tensor, levels: int, finest: float = 56.0) -> Tensor:
    """(N,) index of the level whose features suit each box: 0 below side 2 * `finest`, one more at each doubling.

    Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, equation 1.
    """
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    return torch.log2(side / finest + 1e-6).floor().clamp(0, levels - 1).long()
