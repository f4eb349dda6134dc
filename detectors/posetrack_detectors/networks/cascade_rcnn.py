"""Cascade R-CNN: three box heads, each refines the boxes of the previous one (Cai and Vasconcelos, CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from posetrack_detectors.networks.faster_rcnn import BoxHead, DetectorSize, FasterRCNN, move_rois

STAGE_STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
"""Units of each stage's box offsets."""


class CascadeRCNN(FasterRCNN):
    """As `FasterRCNN`, but logits are averaged over the stages, and the last stage gives one box for all classes."""

    @staticmethod
    def _box_heads(size: DetectorSize) -> nn.Module:
        return nn.ModuleList(
            BoxHead(size.channels, size.box_channels, size.classes, box_classes=1) for _ in STAGE_STDS
        )

    def classify(self, levels: list[Tensor], rois: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (R, classes) and boxes (R, 1, 4), in pixels of the batch, of `rois` (R, 5)."""
        total, boxes = torch.zeros(()), rois[:, None, 1:]
        for i in range(len(STAGE_STDS)):
            logits, boxes = self.refine(i, levels, rois, sizes)
            total = logits if i == 0 else total + logits
            rois = torch.cat([rois[:, :1], boxes[:, 0]], dim=1)
        return (total / len(STAGE_STDS)).softmax(dim=1)[:, :-1], boxes

    def refine(self, stage: int, levels: list[Tensor], rois: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, classes + 1) and boxes (R, 1, 4) of one stage, 0 to 2."""
        head: nn.ModuleList = self.roi_head["bbox_head"]  # type: ignore[assignment]
        logits, offsets = head[stage](self.roi_features(levels, rois))
        return logits, move_rois(rois, offsets, STAGE_STDS[stage], sizes)
