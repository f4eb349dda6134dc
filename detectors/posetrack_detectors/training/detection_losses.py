"""Losses of Faster R-CNN: assign people to anchors and proposals, sample them, and compare.

Ren et al., "Faster R-CNN", NeurIPS 2015. Boxes to ignore are neither positive nor negative.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision.ops  # noqa: F401  registers the gradients of its operators
from torch import Tensor, nn

from posetrack_detectors.networks.boxes import encode
from posetrack_detectors.networks.faster_rcnn import BOX_STDS, PROPOSAL_STDS, FasterRCNN

ANCHOR_SAMPLES, ANCHOR_POSITIVES = 256, 128
"""Sampled anchors per image, and the largest number of positive ones."""
ROI_SAMPLES, ROI_POSITIVES = 96, 32
"""Sampled proposals per image, and the largest number of positive ones."""
HARD_NEGATIVE_OVERLAP = 0.1
"""Negative proposals with this IoU with a person are hard: the box head learns most from them (see `sample`)."""
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Matches(NamedTuple):
    """The person assigned to each anchor or proposal; all (N, A)."""

    labels: Tensor
    """POSITIVE, NEGATIVE or IGNORED."""
    people: Tensor
    """Row of the person in the boxes of all images, concatenated; meaningful for positives."""
    overlaps: Tensor
    """Largest IoU with a person."""


def detection_losses(
    network: FasterRCNN, images: Tensor, boxes: list[Tensor], ignore: list[Tensor]
) -> dict[str, Tensor]:
    """The four losses of a batch, to be summed; images (N, 3, H, W) have no padding.

    `boxes` are the people (P, 4) in each image, `ignore` the boxes (Q, 4) that are neither person nor background.
    """
    levels = network.pyramid(images)
    outputs = [network.rpn_head(level) for level in levels]
    grids = network.anchors(levels)
    sizes = images.new_tensor([[images.shape[3], images.shape[2]]]).expand(len(images), 2)
    proposals = [found for found, _ in network.choose_proposals(outputs, grids, sizes)]
    logits = torch.cat([one for one, _ in outputs], dim=1)
    offsets = torch.cat([one for _, one in outputs], dim=1)
    anchor_loss, shift_loss = proposal_losses(logits, offsets, torch.cat(grids), boxes, ignore)
    class_loss, box_loss = box_losses(network, levels, proposals, boxes, ignore)
    return {"rpn_cls": anchor_loss, "rpn_reg": shift_loss, "box_cls": class_loss, "box_reg": box_loss}


def proposal_losses(
    logits: Tensor, offsets: Tensor, anchors: Tensor, boxes: list[Tensor], ignore: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Losses of the proposal head's logits (N, A) and offsets (N, A, 4) over sampled anchors (A, 4)."""
    matches = match(anchors.expand(len(boxes), *anchors.shape), boxes, ignore, 0.7, 0.3, keep_best=True)
    positive, negative = sample(matches.labels, ANCHOR_SAMPLES, ANCHOR_POSITIVES)
    count = (positive[0].numel() + negative[0].numel()) or 1
    chosen = torch.cat([logits[positive], logits[negative]])
    targets = torch.zeros_like(chosen)
    targets[: positive[0].numel()] = 1
    loss = F.binary_cross_entropy_with_logits(chosen, targets, reduction="sum") / count
    shift = encode(anchors[positive[1]], torch.cat(boxes)[matches.people[positive]], PROPOSAL_STDS)
    return loss, F.l1_loss(offsets[positive], shift, reduction="sum") / count


def box_losses(
    network: FasterRCNN,
    levels: list[Tensor],
    proposals: list[Tensor],
    boxes: list[Tensor],
    ignore: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """Losses of the box head over sampled proposals, to which the labelled boxes are added."""
    proposals = [torch.cat([people, found]) for people, found in zip(boxes, proposals, strict=True)]
    counts = torch.tensor([len(p) for p in proposals], device=levels[0].device)
    table = nn.utils.rnn.pad_sequence(proposals, batch_first=True)
    matches = match(table, boxes, ignore, 0.5, 0.5)
    matches.labels[torch.arange(table.shape[1], device=counts.device) >= counts[:, None]] = IGNORED
    hard = matches.overlaps >= HARD_NEGATIVE_OVERLAP
    positive, negative = sample(matches.labels, ROI_SAMPLES, ROI_POSITIVES, hard)
    image, row = (torch.cat(pair) for pair in zip(positive, negative, strict=True))
    rois = torch.cat([image[:, None].to(table.dtype), table[image, row]], dim=1)
    logits, offsets = network.roi_head["bbox_head"](network.roi_features(levels, rois))
    people = len(positive[0])
    targets = torch.full((len(rois),), network.size.classes, device=rois.device)
    targets[:people] = 0
    shift = encode(rois[:people, 1:], torch.cat(boxes)[matches.people[positive]], BOX_STDS)
    count = len(rois) or 1
    loss = F.cross_entropy(logits, targets, reduction="sum") / count
    return loss, F.l1_loss(offsets[:people, 0], shift, reduction="sum") / count


@torch.no_grad()
def match(
    anchors: Tensor,
    boxes: list[Tensor],
    ignore: list[Tensor],
    high: float,
    low: float,
    *,
    keep_best: bool = False,
) -> Matches:
    """Assign people to anchors or proposals.

    Args:
        anchors: (N, A, 4) anchors or proposals of N images.
        boxes: People (P, 4) in each image.
        ignore: Boxes (Q, 4) in each image; an anchor with at least half of its area in one of them is not negative.
        high: Positive from this IoU on.
        low: Negative below this IoU.
        keep_best: Also make the anchors positive that overlap a person best.
    """
    labels = torch.full(anchors.shape[:2], IGNORED, device=anchors.device)
    image, shared, area = _intersections(anchors, boxes)
    everyone = torch.cat(boxes)
    own = (everyone[:, 2:] - everyone[:, :2]).prod(dim=1, keepdim=True)
    iou = shared / (own + area - shared).clamp_(min=1e-9)
    # Row numbers in float32, because MPS cannot reduce int64.
    row = torch.arange(len(image), dtype=torch.float32, device=anchors.device)[:, None]
    overlaps = _reduce(iou, image, iou.new_zeros(labels.shape), "amax")
    first = torch.where(iou == overlaps[image], row, len(image))
    people = _reduce(first, image, iou.new_full(labels.shape, len(image)), "amin")
    labels[overlaps < low] = NEGATIVE
    ignored, shared, area = _intersections(anchors, ignore)
    shares = shared / area.clamp_(min=1e-9)
    labels[_reduce(shares, ignored, shares.new_zeros(labels.shape), "amax") >= 0.5] = IGNORED
    labels[overlaps >= high] = POSITIVE
    if keep_best:
        best = iou.amax(dim=1, keepdim=True)
        kept = torch.where((iou == best) & (best > 0), row, -1)
        kept = _reduce(kept, image, iou.new_full(labels.shape, -1), "amax")
        labels[kept >= 0] = POSITIVE
        people = torch.where(kept >= 0, kept, people)
    return Matches(labels, people.long(), overlaps)


def _intersections(anchors: Tensor, boxes: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """For all S boxes of all images: the index (S,) of the image, and areas (S, A) of the image's anchors (N, A, 4).

    First the area that each anchor shares with the box, then the anchor's whole area.
    """
    owners = [index for index, rows in enumerate(boxes) for _ in range(len(rows))]
    image = torch.tensor(owners, dtype=torch.int64, device=anchors.device)
    column = torch.cat(boxes)[:, None]

    def side(low: int, high: int) -> Tensor:
        # One coordinate at a time: with many people and images this is the largest table of a step.
        end = torch.minimum(column[..., high], anchors[..., high][image])
        return end.sub_(torch.maximum(column[..., low], anchors[..., low][image])).clamp_(min=0)

    areas = (anchors[..., 2:] - anchors[..., :2]).prod(dim=2)
    return image, side(0, 2).mul_(side(1, 3)), areas[image]


def _reduce(values: Tensor, image: Tensor, start: Tensor, how: str) -> Tensor:
    """Reduce the rows (S, A) of each image to one, beginning with the image's row of `start` (N, A)."""
    return start.scatter_reduce(0, image[:, None].expand_as(values), values, how)


def sample(
    labels: Tensor, count: int, max_positives: int, hard: Tensor | None = None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(image, anchor) indices of random positives, and of negatives, of labels (N, A); at most `count` per image.

    Negatives marked in `hard` (N, A) bool are preferred: their random rank counts twice. Fast R-CNN (Girshick, ICCV
    2015, section 2.3) takes its negatives from those that overlap an object.
    """
    order = torch.rand(labels.shape, device=labels.device)
    first, positive = order.masked_fill(labels != POSITIVE, -1).topk(min(max_positives, labels.shape[1]))
    taken = (first >= 0).sum(dim=1, keepdim=True)
    if hard is not None:
        order = order * (1 + hard)
    second, negative = order.masked_fill(labels != NEGATIVE, -1).topk(min(count, labels.shape[1]))
    rank = torch.arange(negative.shape[1], device=labels.device)
    chosen = []
    for indices, valid in ((positive, first >= 0), (negative, (second >= 0) & (rank < count - taken))):
        image, column = valid.nonzero(as_tuple=True)
        chosen.append((image, indices[image, column]))
    return chosen[0], chosen[1]


def initialise_heads(network: FasterRCNN) -> None:
    """Initialise everything but the trunk: Xavier in the neck and hidden layers, small normal outputs."""
    for conv in network.neck.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias) if conv.bias is not None else None
    for name, value in [*network.rpn_head.named_parameters(), *network.roi_head.named_parameters()]:
        if name.endswith("bias"):
            nn.init.zeros_(value)
        elif "shared_fcs" in name:
            nn.init.xavier_uniform_(value)
        else:
            nn.init.normal_(value, std=0.001 if "fc_reg" in name else 0.01)
