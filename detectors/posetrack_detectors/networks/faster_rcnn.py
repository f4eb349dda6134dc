"""Faster R-CNN with HRNetV2p features: images to boxes.

Ren et al., "Faster R-CNN", NeurIPS 2015; Wang et al., "Deep High-Resolution Representation Learning for Visual
Recognition", TPAMI 2020. State-dict keys are those of the published checkpoints (MMDetection).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posetrack_detectors.networks import hrnet
from posetrack_detectors.networks.boxes import anchor_grid, cell_anchors, decode, pyramid_level, suppress
from posetrack_detectors.networks.hrnet import HRNetTrunk, TrunkSize
from posetrack_detectors.networks.vision_ops import roi_align

STRIDES = (4, 8, 16, 32, 64)
ROI_LEVELS = 4
"""Boxes are pooled from the first four levels; the fifth is used for proposals only."""
PROPOSAL_STDS = (1.0, 1.0, 1.0, 1.0)
BOX_STDS = (0.1, 0.1, 0.2, 0.2)


@dataclass(frozen=True)
class DetectorSize:
    """Dimensions of a detector. The defaults are MMDetection's for the 80 classes of COCO (0 is the person)."""

    trunk: TrunkSize
    channels: int = 256
    """Channels of every pyramid level."""
    box_channels: int = 1024
    """Channels of the two hidden layers of the box head."""
    classes: int = 80
    anchor_scale: float = 8.0
    """Side of a square anchor, in strides of its level."""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height / width."""
    proposals_per_level: int = 1000
    """Largest number of proposals of a level before NMS."""
    proposals: int = 1000
    """Largest number of proposals of an image after NMS."""
    proposal_overlap: float = 0.7
    """IoU above which NMS drops a proposal."""
    score_threshold: float = 0.05
    overlap: float = 0.5
    """IoU above which NMS drops a detection."""
    detections: int = 100
    """Largest number of detections of an image, all classes together."""
    short_side: int = 800
    """Images are resized to this short side, or to `long_side` if the long side would exceed it."""
    long_side: int = 1333


W18, W32, W40, W48 = (DetectorSize(trunk) for trunk in (hrnet.W18, hrnet.W32, hrnet.W40, hrnet.W48))
COMPACT = DetectorSize(
    hrnet.COMPACT,
    channels=64,
    box_channels=256,
    classes=1,
    anchor_scale=5.0,
    anchor_ratios=(0.7, 1.4, 2.8),
    proposals_per_level=300,
    proposals=300,
    short_side=320,
    long_side=576,
)
COMPACT_DEEP = replace(COMPACT, trunk=hrnet.COMPACT_DEEP)


class ImageDetections(NamedTuple):
    """Detections in one image, best first: boxes (N, 4), scores (N,), class labels (N,)."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def named_conv(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """A size-preserving convolution, named `conv` as in the published state dict."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
    return nn.Sequential(OrderedDict(conv=conv))


class HRFPN(nn.Module):
    """The trunk's branches to five levels with equal channels at strides 4 to 64."""

    def __init__(self, branches: Sequence[int], channels: int) -> None:
        super().__init__()
        self.branches = list(branches)
        self.reduction_conv = named_conv(sum(branches), channels, 1)
        self.fpn_convs = nn.ModuleList(named_conv(channels, channels, 3) for _ in STRIDES)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        # The paper upsamples, concatenates, then reduces. Reducing each branch first gives the same sum for less work.
        conv = cast(nn.Conv2d, self.reduction_conv.conv)
        weights = torch.split(conv.weight, self.branches, dim=1)
        fused = F.conv2d(branches[0], weights[0], conv.bias)
        for i in range(1, len(branches)):
            reduced = F.conv2d(branches[i], weights[i])
            fused = fused + F.interpolate(reduced, scale_factor=2**i, mode="bilinear", align_corners=False)
        pooled = [fused] + [F.avg_pool2d(fused, 2**i, 2**i) for i in range(1, len(STRIDES))]
        return [conv(x) for conv, x in zip(self.fpn_convs, pooled, strict=True)]


class ProposalHead(nn.Module):
    """A level (N, C, H, W) to objectness logits (N, H * W * A) and box offsets (N, H * W * A, 4) of its anchors."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.rpn_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(channels, anchors, 1)
        self.rpn_reg = nn.Conv2d(channels, anchors * 4, 1)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.rpn_conv(level), inplace=True)
        logits, offsets = self.rpn_cls(x).permute(0, 2, 3, 1), self.rpn_reg(x).permute(0, 2, 3, 1)
        return logits.reshape(len(x), -1).float(), offsets.reshape(len(x), -1, 4).float()


class BoxHead(nn.Module):
    """RoI features (R, C, 7, 7) to logits (R, classes + 1), background last, and box offsets (R, classes or 1, 4)."""

    def __init__(self, channels: int, hidden: int, classes: int, box_classes: int) -> None:
        super().__init__()
        self.fc_cls = nn.Linear(hidden, classes + 1)
        self.fc_reg = nn.Linear(hidden, box_classes * 4)
        self.shared_fcs = nn.ModuleList([nn.Linear(channels * 49, hidden), nn.Linear(hidden, hidden)])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = features.flatten(1)
        for layer in self.shared_fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_cls(x).float(), self.fc_reg(x).float().unflatten(1, (-1, 4))


class FasterRCNN(nn.Module):
    """(N, 3, H, W) normalised RGB images to the detections in each; H and W multiples of 32."""

    def __init__(self, size: DetectorSize) -> None:
        super().__init__()
        self.size = size
        self.fixed_sizes = False
        """No shape depends on values, so that a GPU need not wait for them; `detect_on_device` sets it."""
        self.backbone = HRNetTrunk(size.trunk)
        self.neck = HRFPN(size.trunk.channels, size.channels)
        self.rpn_head = ProposalHead(size.channels, len(size.anchor_ratios))
        self.roi_head = nn.ModuleDict({"bbox_head": self._box_heads(size)})

    @staticmethod
    def _box_heads(size: DetectorSize) -> nn.Module:
        return BoxHead(size.channels, size.box_channels, size.classes, size.classes)

    def forward(self, images: Tensor, sizes: Tensor, scales: Tensor) -> list[ImageDetections]:
        """Detections in each image, in pixels of the original image.

        `sizes` (N, 2): width and height of each image within the padded batch. `scales` (N, 2): original pixels per
        pixel of the batch, in x and y.
        """
        levels = self.pyramid(images)
        proposals = [boxes for boxes, _ in self.propose(levels, sizes)]
        return self.find(levels, proposals, sizes, scales)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The five levels (N, C, H / stride, W / stride)."""
        return cast(list[Tensor], self.neck(self.backbone(images)))

    def anchors(self, levels: list[Tensor]) -> list[Tensor]:
        """(H * W * A, 4) anchors of each level."""
        size = self.size
        cells = [cell_anchors(stride, size.anchor_scale, size.anchor_ratios) for stride in STRIDES]
        return [
            anchor_grid(cell.to(level.device), level.shape[2], level.shape[3], stride)
            for cell, level, stride in zip(cells, levels, STRIDES, strict=True)
        ]

    def propose(self, levels: list[Tensor], sizes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Proposals (P, 4) in pixels of the batch and scores (P,) for each image, best first."""
        return self.choose_proposals([self.rpn_head(x) for x in levels], self.anchors(levels), sizes)

    @torch.no_grad()
    def choose_proposals(
        self, outputs: list[tuple[Tensor, Tensor]], anchors: list[Tensor], sizes: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """As `propose`, from the proposal head's outputs of each level."""
        boxes, scores, groups = [], [], []
        for i, ((logits, offsets), grid) in enumerate(zip(outputs, anchors, strict=True)):
            count = min(self.size.proposals_per_level, logits.shape[1])
            best_scores, best = logits.sigmoid().topk(count, dim=1)
            chosen = offsets.gather(1, best[..., None].expand(-1, -1, 4))
            boxes.append(decode(grid[best], chosen, PROPOSAL_STDS, sizes[:, None]))
            scores.append(best_scores)
            groups.append(torch.full((count,), i, device=logits.device))
        group = torch.cat(groups)
        result = []
        for box, score in zip(torch.cat(boxes, dim=1), torch.cat(scores, dim=1), strict=True):
            valid = ((box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])).nonzero()[:, 0]
            kept = valid[suppress(box[valid], score[valid], group[valid], self.size.proposal_overlap)]
            kept = kept[: self.size.proposals]
            result.append((box[kept], score[kept]))
        return result

    def roi_features(self, levels: list[Tensor], rois: Tensor, side: int = 7) -> Tensor:
        """(R, C, side, side) features of `rois` (R, 5): index of the image, box in pixels of the batch."""
        chosen_levels = pyramid_level(rois[:, 1:], ROI_LEVELS)
        if self.fixed_sizes:
            return self._roi_features_of_all(levels, rois, chosen_levels, side)
        rows = [(chosen_levels == i).nonzero()[:, 0] for i in range(ROI_LEVELS)]
        aligned = [
            roi_align(level.float(), rois[chosen], side, 1 / stride)
            for level, chosen, stride in zip(levels, rows, STRIDES, strict=False)
        ]
        return torch.cat(aligned)[torch.cat(rows).argsort()]

    def _roi_features_of_all(
        self, levels: list[Tensor], rois: Tensor, chosen_levels: Tensor, side: int
    ) -> Tensor:
        """As `roi_features`, with every box on every level: on others than its own it has no area, and gives zeros."""
        pooled = []
        for i, (level, stride) in enumerate(zip(levels[:ROI_LEVELS], STRIDES, strict=False)):
            own = (chosen_levels == i)[:, None]
            moved = torch.cat([rois[:, :1], rois[:, 1:] * own], dim=1)
            pooled.append(roi_align(level.float(), moved, side, 1 / stride))
        return torch.stack(pooled).sum(dim=0)

    def classify(self, levels: list[Tensor], rois: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (R, classes) and boxes (R, classes or 1, 4), in pixels of the batch, of `rois` (R, 5)."""
        logits, offsets = self.roi_head["bbox_head"](self.roi_features(levels, rois))
        return logits.softmax(dim=1)[:, :-1], move_rois(rois, offsets, BOX_STDS, sizes)

    def find(
        self, levels: list[Tensor], proposals: list[Tensor], sizes: Tensor, scales: Tensor
    ) -> list[ImageDetections]:
        """Detections in each image, in original pixels, from its proposals (P, 4)."""
        rois = stack_rois(proposals)
        probabilities, boxes = self.classify(levels, rois, sizes)
        counts = [len(p) for p in proposals]
        rows = zip(torch.split(probabilities, counts), torch.split(boxes, counts), scales, strict=True)
        return [choose_detections(prob, box * scale.repeat(2), self.size)[0] for prob, box, scale in rows]


def stack_rois(boxes: list[Tensor]) -> Tensor:
    """Boxes (P, 4) of each image as one table (R, 5), the image's index in the first column."""
    return torch.cat([F.pad(b, (1, 0), value=float(i)) for i, b in enumerate(boxes)])


def move_rois(rois: Tensor, offsets: Tensor, stds: Sequence[float], sizes: Tensor) -> Tensor:
    """Apply `offsets` (R, C, 4) to `rois` (R, 5): boxes (R, C, 4), clipped to the image `sizes` (N, 2)."""
    return decode(rois[:, None, 1:], offsets, stds, sizes[rois[:, 0].long()][:, None])


def choose_detections(
    probabilities: Tensor, boxes: Tensor, size: DetectorSize
) -> tuple[ImageDetections, Tensor]:
    """Detections in one image from probabilities (P, classes) and boxes (P, classes or 1, 4).

    Also returns the flat index, proposal * classes + class, of every box that NMS keeps, best first; the detections
    are the first `size.detections` of them.
    """
    above = (probabilities > size.score_threshold).flatten().nonzero()[:, 0]
    classes = probabilities.shape[1]
    scores, labels = probabilities.flatten()[above], above % classes
    chosen = boxes.expand(-1, classes, -1).reshape(-1, 4)[above]
    kept = suppress(chosen, scores, labels, size.overlap)
    best = kept[: size.detections]
    return ImageDetections(chosen[best], scores[best], labels[best]), above[kept]
