"""Mask R-CNN: Faster R-CNN with a mask for every detection (He et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posetrack_detectors.networks.faster_rcnn import (
    DetectorSize,
    FasterRCNN,
    ImageDetections,
    named_conv,
    stack_rois,
)

MASK_THRESHOLD = 0.5


class MaskHead(nn.Module):
    """RoI features (R, C, 14, 14) to mask logits (R, classes, 28, 28)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(named_conv(channels, channels, 3) for _ in range(4))
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(channels, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        for conv in self.convs:
            features = F.relu(conv(features), inplace=True)
        logits: Tensor = self.conv_logits(F.relu(self.upsample(features), inplace=True))
        return logits.float()


class MaskRCNN(FasterRCNN):
    """As `FasterRCNN`, but NMS runs in pixels of the batch; `find_masks` also returns masks.

    No command uses the masks: they are kept for the golden comparison.
    """

    def __init__(self, size: DetectorSize) -> None:
        super().__init__(size)
        self.roi_head["mask_head"] = MaskHead(size.channels, size.classes)

    def find(
        self, levels: list[Tensor], proposals: list[Tensor], sizes: Tensor, scales: Tensor
    ) -> list[ImageDetections]:
        detected = super().find(levels, proposals, sizes, torch.ones_like(scales))
        return [one._replace(boxes=one.boxes * s.repeat(2)) for one, s in zip(detected, scales, strict=True)]

    def mask_features(self, levels: list[Tensor], rois: Tensor) -> Tensor:
        """(R, C, 14, 14) features of `rois` (R, 5)."""
        return self.roi_features(levels, rois, side=14)

    def find_masks(
        self, images: Tensor, sizes: Tensor, scales: Tensor, shapes: Sequence[tuple[int, int]]
    ) -> list[tuple[ImageDetections, Tensor]]:
        """As `forward`, with masks (N, height, width) bool; `shapes` are the (height, width) of the original images."""
        levels = self.pyramid(images)
        proposals = [boxes for boxes, _ in self.propose(levels, sizes)]
        detected = self.find(levels, proposals, sizes, scales)
        rois = stack_rois([one.boxes / s.repeat(2) for one, s in zip(detected, scales, strict=True)])
        labels = torch.cat([one.labels for one in detected])
        logits = self.roi_head["mask_head"](self.mask_features(levels, rois))
        own = logits[torch.arange(len(labels), device=labels.device), labels].sigmoid()
        per_image = torch.split(own, [len(one.boxes) for one in detected])
        rows = zip(detected, per_image, shapes, strict=True)
        return [(one, paste_masks(masks, one.boxes, *shape)) for one, masks, shape in rows]


def paste_masks(probabilities: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, height, width) bool: mask probabilities (N, S, S) resized to their boxes (N, 4), true from MASK_THRESHOLD."""
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool, device=boxes.device)
    limits = boxes.new_tensor([width, height])
    for mask, square, box in zip(masks, probabilities, boxes, strict=True):
        x1, y1 = (int(v) for v in (box[:2].floor() - 1).clamp(min=0))
        x2, y2 = (int(v) for v in torch.minimum(box[2:].ceil() + 1, limits))
        x = torch.arange(x1, x2, device=box.device, dtype=box.dtype) + 0.5
        y = torch.arange(y1, y2, device=box.device, dtype=box.dtype) + 0.5
        x, y = (x - box[0]) / (box[2] - box[0]) * 2 - 1, (y - box[1]) / (box[3] - box[1]) * 2 - 1
        grid = torch.stack([x.expand(len(y), len(x)), y[:, None].expand(len(y), len(x))], dim=2)
        values = F.grid_sample(square[None, None], grid[None], align_corners=False)[0, 0]
        mask[y1:y2, x1:x2] = values >= MASK_THRESHOLD
    return masks
