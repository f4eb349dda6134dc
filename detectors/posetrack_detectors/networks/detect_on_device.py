"""Faster and Cascade R-CNN after the trunk with outputs of fixed size, for all images of a batch at once.

`FasterRCNN.forward` picks rows with `nonzero` and calls torchvision's NMS once an image: on a GPU each of these waits
until the device has computed how many rows there are, some 25 times an image. Here, missing rows are zeros, and nothing
waits. The detections are the same ones. The CPU keeps `forward`, which computes no missing rows.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from posetrack_detectors.networks.boxes import anchor_grid, cell_anchors, decode
from posetrack_detectors.networks.faster_rcnn import PROPOSAL_STDS, STRIDES, DetectorSize, FasterRCNN

CANDIDATES = 2000
"""Boxes of an image that enter the final NMS, all classes together."""
ROUNDS = 32
"""Longest chain of boxes that suppress the next ones; see `keep_best`."""


def can_detect(network: FasterRCNN) -> bool:
    """Whether `detect` gives the detections of `network`; Mask R-CNN has its own order of steps."""
    return type(network).find is FasterRCNN.find


def detect(network: FasterRCNN, images: Tensor, sizes: Tensor, scales: Tensor) -> Tensor:
    """Detections (N, D, 6) x1 y1 x2 y2 score label, best first, zeros after the last; arguments as `FasterRCNN.forward`.

    NaN in all rows of an image that exceeded CANDIDATES or ROUNDS, which crowds of thousands of boxes can cause: compute
    it with `FasterRCNN.forward`.
    """
    levels = network.pyramid(images)
    proposals, settled = propose(network, levels, sizes)
    count = proposals.shape[1]
    owners = torch.arange(len(images), device=images.device, dtype=proposals.dtype)
    rois = torch.cat([owners.repeat_interleave(count)[:, None], proposals.flatten(0, 1)], dim=1)
    network.fixed_sizes = True
    try:
        probabilities, boxes = network.classify(levels, rois, sizes)
    finally:
        network.fixed_sizes = False
    exists = (proposals[..., 2] > proposals[..., 0]).flatten()
    probabilities = (probabilities * exists[:, None]).reshape(-1, count, probabilities.shape[1])
    boxes = boxes.reshape(-1, count, *boxes.shape[1:]) * torch.cat([scales, scales], dim=1)[:, None, None]
    found, all_settled = choose(network, probabilities, boxes)
    return torch.where((settled & all_settled)[:, None, None], found, float("nan"))


def propose(network: FasterRCNN, levels: list[Tensor], sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Proposals (N, P, 4) in pixels of the batch, best first, zeros after the last; whether NMS is exact (N,)."""
    size, shapes = network.size, tuple((level.shape[2], level.shape[3]) for level in levels)
    grids = _anchors(size, shapes, sizes.device)
    boxes, scores = [], []
    longest = min(size.proposals_per_level, max(len(grid) for grid in grids))
    for level, grid in zip(levels, grids, strict=True):
        logits, offsets = network.rpn_head(level)
        count = min(size.proposals_per_level, logits.shape[1])
        best_scores, best = logits.sigmoid().topk(count, dim=1)
        chosen = offsets.gather(1, best[..., None].expand(-1, -1, 4))
        box = decode(grid[best], chosen, PROPOSAL_STDS, sizes[:, None])
        valid = (box[..., 2] > box[..., 0]) & (box[..., 3] > box[..., 1])
        missing = longest - count
        boxes.append(F.pad(box * valid[..., None], (0, 0, 0, missing)))
        scores.append(F.pad(torch.where(valid, best_scores, -1.0), (0, missing), value=-1.0))
    box, score = torch.stack(boxes, dim=1), torch.stack(scores, dim=1)  # (N, levels, longest, ...)
    # As `suppress`: levels are moved apart, because the rounding is part of the reference result.
    farthest = box.flatten(1).amax(dim=1)
    level_numbers = torch.arange(len(levels), device=box.device, dtype=box.dtype)
    apart = box + (level_numbers * (farthest + 1)[:, None])[:, :, None, None]
    kept, settled = keep_best(apart.flatten(0, 1), score.flatten(0, 1) >= 0, size.proposal_overlap)
    score = torch.where(kept.view_as(score), score, -1.0).flatten(1)
    ordered, order = score.sort(dim=1, descending=True, stable=True)
    best_boxes = box.flatten(1, 2).gather(1, order[:, : size.proposals, None].expand(-1, -1, 4))
    best_boxes = best_boxes * (ordered[:, : size.proposals] >= 0)[..., None]
    return best_boxes, settled.view(-1, len(levels)).all(dim=1)


def choose(network: FasterRCNN, probabilities: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Detections (N, D, 6) and whether they are exact (N,), from probabilities (N, P, C), boxes (N, P, C or 1, 4)."""
    size, classes = network.size, probabilities.shape[2]
    flat = probabilities.flatten(1)
    is_above = flat > size.score_threshold
    scores, order = torch.where(is_above, flat, 0.0).sort(dim=1, descending=True, stable=True)
    scores, order = scores[:, :CANDIDATES], order[:, :CANDIDATES]
    rows = order if boxes.shape[2] > 1 else order // classes
    chosen = boxes.flatten(1, 2).gather(1, rows[..., None].expand(-1, -1, 4)) * (scores > 0)[..., None]
    labels = (order % classes).to(chosen.dtype)
    farthest = chosen.flatten(1).amax(dim=1)
    apart = chosen + (labels * (farthest + 1)[:, None])[..., None]
    kept, settled = keep_best(apart, scores > 0, size.overlap)
    places = torch.where(kept, scores, 0.0).sort(dim=1, descending=True, stable=True)[1][:, : size.detections]
    kept = kept.gather(1, places)
    found = torch.cat([chosen, scores[..., None], labels[..., None]], dim=2)
    found = found.gather(1, places[..., None].expand(-1, -1, 6)) * kept[..., None]
    return found, settled & (is_above.sum(dim=1) <= CANDIDATES)


def keep_best(boxes: Tensor, exist: Tensor, overlap: float) -> tuple[Tensor, Tensor]:
    """Which of the boxes (N, P, 4), best first, NMS keeps (N, P), and whether that is final (N,).

    A box is kept if no kept box before it overlaps it. Starting from all boxes, each round applies this rule to every
    box at once; after r rounds all are right that depend on a chain of fewer than r others, and a round that changes
    nothing shows that all are.
    """
    x1, y1, x2, y2 = boxes.unbind(dim=2)
    area = (x2 - x1) * (y2 - y1)
    width = torch.minimum(x2[:, :, None], x2[:, None]) - torch.maximum(x1[:, :, None], x1[:, None])
    height = torch.minimum(y2[:, :, None], y2[:, None]) - torch.maximum(y1[:, :, None], y1[:, None])
    shared = width.clamp_(min=0).mul_(height.clamp_(min=0))
    # Divided as in torchvision's kernel; a threshold in float32, as in the reference one.
    overlaps = shared / (area[:, :, None] + area[:, None] - shared) > overlap
    overlaps = overlaps.triu_(diagonal=1)  # [n, i, j]: box i is before j
    kept, before = exist, exist
    for _ in range(ROUNDS):
        before = kept
        kept = exist & ~(overlaps & kept[:, :, None]).any(dim=1)
    return kept, (kept == before).all(dim=1)


@lru_cache(maxsize=8)
def _anchors(size: DetectorSize, shapes: tuple[tuple[int, int], ...], device: torch.device) -> list[Tensor]:
    """As `FasterRCNN.anchors` of levels with these (height, width), kept on the device: a copy waits for it."""
    grids = []
    with torch.inference_mode(False):
        for stride, (height, width) in zip(STRIDES, shapes, strict=True):
            cell = cell_anchors(stride, size.anchor_scale, size.anchor_ratios).to(device)
            grids.append(anchor_grid(cell, height, width, stride))
    return grids
