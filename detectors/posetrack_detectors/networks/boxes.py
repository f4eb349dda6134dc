"""Box arithmetic of the detectors: anchors, box offsets, non-maximum suppression (NMS), pyramid levels.

Boxes are x1 y1 x2 y2, width = x2 - x1. The formulas follow the reference HRNet detectors (MMDetection). They differ
from torchvision's in details: anchors are not rounded, exponents are clamped on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from posetrack_detectors.networks.vision_ops import nms

LOG_RATIO_LIMIT = abs(math.log(16 / 1000))
"""Largest change of a side's logarithm that an offset may cause."""
SPLIT_FROM = 10_000
"""From this many boxes on, NMS runs per group: the cost of one call grows with the square of the number of boxes."""


def cell_anchors(stride: int, scale: float, ratios: Sequence[float]) -> Tensor:
    """(R, 4) anchors around the origin: area (scale * stride) squared, one for each ratio of height to width."""
    root = torch.sqrt(torch.tensor(ratios, dtype=torch.float32))
    half = torch.stack([stride * (1 / root) * scale, stride * root * scale], dim=1) * 0.5
    return torch.cat([-half, half], dim=1)


def anchor_grid(cell: Tensor, height: int, width: int, stride: int) -> Tensor:
    """(height * width * R, 4) anchors of a feature map: `cell` (R, 4) at every multiple of `stride`, row by row."""
    x = torch.arange(width, device=cell.device, dtype=cell.dtype) * stride
    y = torch.arange(height, device=cell.device, dtype=cell.dtype) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=2)
    return (shifts[:, :, None] + cell).reshape(-1, 4)


def decode(boxes: Tensor, offsets: Tensor, stds: Sequence[float], sizes: Tensor) -> Tensor:
    """Apply offsets (..., 4) to boxes (..., 4) and clip them to image `sizes` (..., 2) width, height; shapes broadcast.

    R-CNN's parametrisation (Girshick et al., CVPR 2014): shifts in units of the box, logarithms of the sides.
    """
    offsets = offsets * _constant(tuple(stds), offsets.device, offsets.dtype)
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) * 0.5, boxes[..., 2:] - boxes[..., :2]
    centres = centres + sides * offsets[..., :2]
    half = sides * offsets[..., 2:].clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp() * 0.5
    corners = torch.cat([centres - half, centres + half], dim=-1)
    return torch.minimum(corners.clamp(min=0), torch.cat([sizes, sizes], dim=-1))


@cache
def _constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """The numbers as a tensor, copied to the device once: a copy waits for it."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def encode(boxes: Tensor, targets: Tensor, stds: Sequence[float]) -> Tensor:
    """The offsets (N, 4) with which `decode` maps `boxes` (N, 4) to `targets` (N, 4); sides are at least 1e-3."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    target_sides = (targets[:, 2:] - targets[:, :2]).clamp(min=1e-3)
    shifts = ((targets[:, :2] + targets[:, 2:]) - (boxes[:, :2] + boxes[:, 2:])) * 0.5 / sides
    return torch.cat([shifts, (target_sides / sides).log()], dim=1) / boxes.new_tensor(stds)


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, overlap: float) -> Tensor:
    """Indices of the boxes that NMS keeps in each group, best score first; IoU > `overlap` is a duplicate."""
    # ONNX tracing must not record the empty case as a constant.
    if len(boxes) == 0 and not torch.onnx.is_in_onnx_export():
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    # The reference kernel has a float32 threshold, torchvision's a float64 one.
    overlap = torch.tensor(overlap, dtype=torch.float32).item()
    # Shift the groups apart, so that one call handles them all. Its rounding is part of the reference result.
    farthest = F.pad(
        boxes.flatten(), (0, 1)
    ).max()  # the padding covers the case of no boxes; coordinates are >= 0
    apart = boxes + (groups.to(boxes.dtype) * (farthest + 1))[:, None]
    if len(boxes) < SPLIT_FROM:
        return nms(apart, scores, overlap)
    kept = []
    for group in set(groups.tolist()):
        rows = (groups == group).nonzero()[:, 0]
        kept.append(rows[nms(apart[rows], scores[rows], overlap)])
    rows = torch.cat(kept)
    return rows[scores[rows].argsort(descending=True)]


def pyramid_level(boxes: Tensor, levels: int, finest: float = 56.0) -> Tensor:
    """(N,) index of the pyramid level for each box: 0 below a side of 2 * `finest`, one more at each doubling.

    Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, equation 1.
    """
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    return torch.log2(side / finest + 1e-6).floor().clamp(0, levels - 1).long()
