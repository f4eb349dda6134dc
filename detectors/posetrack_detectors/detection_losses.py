"""What a Faster R-CNN is trained with: which anchors and proposals stand for which person, and the losses.

Ren et al., "Faster R-CNN", NeurIPS 2015. Boxes to ignore are neither positive nor negative.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from posetrack_detectors.boxes import encode
from posetrack_detectors.faster_rcnn import BOX_STDS, PROPOSAL_STDS, FasterRCNN, stack_rois

ANCHOR_SAMPLES, ANCHOR_POSITIVES = 256, 128
"""Anchors a picture is judged by, at most half of them positive."""
ROI_SAMPLES, ROI_POSITIVES = 96, 32
POSITIVE, NEGATIVE, NEITHER = 1, 0, -1


def detection_losses(
    network: FasterRCNN, pictures: Tensor, boxes: list[Tensor], ignore: list[Tensor]
) -> dict[str, Tensor]:
    """The four losses of a batch, to be summed; all pictures (N, 3, H, W) are filled, without padding.

    `boxes` (P, 4) are the people of each picture, `ignore` (Q, 4) what is neither person nor background.
    """
    levels = network.pyramid(pictures)
    outputs = [network.rpn_head(level) for level in levels]
    grids = network.anchors(levels)
    sizes = pictures.new_tensor([[pictures.shape[3], pictures.shape[2]]]).expand(len(pictures), 2)
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
    matches = [match(anchors, b, i, 0.7, 0.3, keep_best=True) for b, i in zip(boxes, ignore, strict=True)]
    labels = torch.stack([label for label, _ in matches])
    positive, negative = sample(labels, ANCHOR_SAMPLES, ANCHOR_POSITIVES)
    count = (positive[0].numel() + negative[0].numel()) or 1
    chosen = torch.cat([logits[positive], logits[negative]])
    targets = torch.zeros_like(chosen)
    targets[: positive[0].numel()] = 1
    loss = F.binary_cross_entropy_with_logits(chosen, targets, reduction="sum") / count
    picture, anchor = positive
    wanted = wanted_boxes(boxes, [one for _, one in matches], picture, anchor)
    shift = encode(anchors[anchor], wanted, PROPOSAL_STDS)
    return loss, F.l1_loss(offsets[positive], shift, reduction="sum") / count


def box_losses(
    network: FasterRCNN,
    levels: list[Tensor],
    proposals: list[Tensor],
    boxes: list[Tensor],
    ignore: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """Losses of the box head over sampled proposals; the people themselves are proposals too."""
    proposals = [torch.cat([people, found]) for people, found in zip(boxes, proposals, strict=True)]
    matches = [match(p, b, i, 0.5, 0.5) for p, b, i in zip(proposals, boxes, ignore, strict=True)]
    longest = max(map(len, proposals))
    labels = torch.stack([F.pad(one, (0, longest - len(one)), value=NEITHER) for one, _ in matches])
    positive, negative = sample(labels, ROI_SAMPLES, ROI_POSITIVES)
    picture, row = (torch.cat(pair) for pair in zip(positive, negative, strict=True))
    starts = torch.tensor([0, *map(len, proposals)], device=row.device).cumsum(0)
    rois = stack_rois(proposals)[starts[picture] + row]
    logits, offsets = network.roi_head["bbox_head"](network.roi_features(levels, rois))
    people = len(positive[0])
    targets = torch.full((len(rois),), network.size.classes, device=rois.device)
    targets[:people] = 0
    wanted = wanted_boxes(boxes, [one for _, one in matches], *positive)
    shift = encode(rois[:people, 1:], wanted, BOX_STDS)
    count = len(rois) or 1
    loss = F.cross_entropy(logits, targets, reduction="sum") / count
    return loss, F.l1_loss(offsets[:people, 0], shift, reduction="sum") / count


@torch.no_grad()
def match(
    candidates: Tensor, boxes: Tensor, ignore: Tensor, high: float, low: float, *, keep_best: bool = False
) -> tuple[Tensor, Tensor]:
    """Label (A,) of each candidate (A, 4) and the box (A,) it stands for.

    Positive from IoU `high` on, negative below `low`; with `keep_best` also every candidate that none overlaps a box
    better than. A candidate that lies half or more in an ignored box is no negative.
    """
    labels = torch.full((len(candidates),), NEITHER, device=candidates.device)
    if len(boxes) == 0:
        overlap = candidates.new_zeros(len(candidates))
        nearest = torch.zeros_like(labels)
    else:
        overlaps = box_iou(boxes, candidates)
        overlap, nearest = overlaps.max(dim=0)
    labels[overlap < low] = NEGATIVE
    if len(ignore):
        corners = torch.cat(
            [
                torch.maximum(candidates[:, None, :2], ignore[:, :2]),
                torch.minimum(candidates[:, None, 2:], ignore[:, 2:]),
            ],
            dim=2,
        )
        shared = (corners[..., 2:] - corners[..., :2]).clamp(min=0).prod(dim=2).amax(dim=1)
        area = (candidates[:, 2:] - candidates[:, :2]).prod(dim=1)
        labels[shared >= 0.5 * area] = NEITHER
    labels[overlap >= high] = POSITIVE
    if keep_best and len(boxes):
        best = overlaps.amax(dim=1, keepdim=True)
        box, candidate = ((overlaps == best) & (best > 0)).nonzero(as_tuple=True)
        labels[candidate], nearest[candidate] = POSITIVE, box
    return labels, nearest


def sample(
    labels: Tensor, count: int, most_positive: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(picture, candidate) indices of random positives and negatives of labels (N, A), at most `count` a picture."""
    order = torch.rand(labels.shape, device=labels.device)
    first, positive = order.masked_fill(labels != POSITIVE, -1).topk(min(most_positive, labels.shape[1]))
    taken = (first >= 0).sum(dim=1, keepdim=True)
    second, negative = order.masked_fill(labels != NEGATIVE, -1).topk(min(count, labels.shape[1]))
    rank = torch.arange(negative.shape[1], device=labels.device)
    chosen = []
    for indices, valid in ((positive, first >= 0), (negative, (second >= 0) & (rank < count - taken))):
        picture, column = valid.nonzero(as_tuple=True)
        chosen.append((picture, indices[picture, column]))
    return chosen[0], chosen[1]


def wanted_boxes(boxes: list[Tensor], nearest: list[Tensor], picture: Tensor, candidate: Tensor) -> Tensor:
    """(S, 4) the boxes that candidates stand for, in the order of `picture`, `candidate`."""
    starts = torch.tensor([0, *map(len, boxes)], device=picture.device).cumsum(0)
    longest = max(map(len, nearest))
    table = torch.stack([F.pad(one, (0, longest - len(one))) for one in nearest])
    return torch.cat(boxes)[starts[picture] + table[picture, candidate]]


def initialise_heads(network: FasterRCNN) -> None:
    """Start values of everything but the trunk: Xavier in the neck and the hidden layers, small outputs."""
    for conv in network.neck.modules():
        if isinstance(conv, torch.nn.Conv2d):
            torch.nn.init.xavier_uniform_(conv.weight)
            torch.nn.init.zeros_(conv.bias) if conv.bias is not None else None
    for name, value in [*network.rpn_head.named_parameters(), *network.roi_head.named_parameters()]:
        if name.endswith("bias"):
            torch.nn.init.zeros_(value)
        elif "shared_fcs" in name:
            torch.nn.init.xavier_uniform_(value)
        else:
            torch.nn.init.normal_(value, std=0.001 if "fc_reg" in name else 0.01)
