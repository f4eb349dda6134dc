"""What a Faster R-CNN is trained with: which anchors and proposals stand for which person, and the losses.

Ren et al., "Faster R-CNN", NeurIPS 2015. Boxes to ignore are neither positive nor negative.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posetrack_detectors.boxes import encode
from posetrack_detectors.faster_rcnn import BOX_STDS, PROPOSAL_STDS, FasterRCNN

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
    candidates = anchors.expand(len(boxes), *anchors.shape)
    labels, nearest = match(candidates, boxes, ignore, 0.7, 0.3, keep_best=True)
    positive, negative = sample(labels, ANCHOR_SAMPLES, ANCHOR_POSITIVES)
    count = (positive[0].numel() + negative[0].numel()) or 1
    chosen = torch.cat([logits[positive], logits[negative]])
    targets = torch.zeros_like(chosen)
    targets[: positive[0].numel()] = 1
    loss = F.binary_cross_entropy_with_logits(chosen, targets, reduction="sum") / count
    shift = encode(anchors[positive[1]], torch.cat(boxes)[nearest[positive]], PROPOSAL_STDS)
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
    counts = torch.tensor([len(p) for p in proposals], device=levels[0].device)
    table = nn.utils.rnn.pad_sequence(proposals, batch_first=True)
    labels, nearest = match(table, boxes, ignore, 0.5, 0.5)
    labels[torch.arange(table.shape[1], device=counts.device) >= counts[:, None]] = NEITHER
    positive, negative = sample(labels, ROI_SAMPLES, ROI_POSITIVES)
    picture, row = (torch.cat(pair) for pair in zip(positive, negative, strict=True))
    rois = torch.cat([picture[:, None].to(table.dtype), table[picture, row]], dim=1)
    logits, offsets = network.roi_head["bbox_head"](network.roi_features(levels, rois))
    people = len(positive[0])
    targets = torch.full((len(rois),), network.size.classes, device=rois.device)
    targets[:people] = 0
    shift = encode(rois[:people, 1:], torch.cat(boxes)[nearest[positive]], BOX_STDS)
    count = len(rois) or 1
    loss = F.cross_entropy(logits, targets, reduction="sum") / count
    return loss, F.l1_loss(offsets[:people, 0], shift, reduction="sum") / count


@torch.no_grad()
def match(
    candidates: Tensor,
    boxes: list[Tensor],
    ignore: list[Tensor],
    high: float,
    low: float,
    *,
    keep_best: bool = False,
) -> tuple[Tensor, Tensor]:
    """Label (N, A) of each picture's candidates (N, A, 4), and the row (N, A) of `torch.cat(boxes)` each stands for.

    Positive from IoU `high` on, negative below `low`; with `keep_best` also every candidate that none overlaps a box
    better than. A candidate that lies half or more in an ignored box is no negative.
    """
    labels = torch.full(candidates.shape[:2], NEITHER, device=candidates.device)
    picture, shared, area = _shared(candidates, boxes)
    people = torch.cat(boxes)
    own = (people[:, 2:] - people[:, :2]).prod(dim=1, keepdim=True)
    overlaps = shared / (own + area - shared).clamp_(min=1e-9)
    # In float32, as MPS reduces no int64.
    row = torch.arange(len(picture), dtype=torch.float32, device=candidates.device)[:, None]
    overlap = _reduce(overlaps, picture, overlaps.new_zeros(labels.shape), "amax")
    first = torch.where(overlaps == overlap[picture], row, len(picture))
    nearest = _reduce(first, picture, overlaps.new_full(labels.shape, len(picture)), "amin")
    labels[overlap < low] = NEGATIVE
    ignored, shared, area = _shared(candidates, ignore)
    shares = shared / area.clamp_(min=1e-9)
    labels[_reduce(shares, ignored, shares.new_zeros(labels.shape), "amax") >= 0.5] = NEITHER
    labels[overlap >= high] = POSITIVE
    if keep_best:
        best = overlaps.amax(dim=1, keepdim=True)
        kept = torch.where((overlaps == best) & (best > 0), row, -1)
        kept = _reduce(kept, picture, overlaps.new_full(labels.shape, -1), "amax")
        labels[kept >= 0] = POSITIVE
        nearest = torch.where(kept >= 0, kept, nearest)
    return labels, nearest.long()


def _shared(candidates: Tensor, boxes: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Of all boxes, one picture after the other: its picture (S,), and of that picture's candidates (N, A, 4) the areas.

    First what they share with the box (S, A), then all of them (S, A).
    """
    owners = [index for index, rows in enumerate(boxes) for _ in range(len(rows))]
    picture = torch.tensor(owners, dtype=torch.int64, device=candidates.device)
    mine = torch.cat(boxes)[:, None]

    def side(low: int, high: int) -> Tensor:
        # One coordinate at a time: of many people in many pictures this table is the largest of a step.
        end = torch.minimum(mine[..., high], candidates[..., high][picture])
        return end.sub_(torch.maximum(mine[..., low], candidates[..., low][picture])).clamp_(min=0)

    areas = (candidates[..., 2:] - candidates[..., :2]).prod(dim=2)
    return picture, side(0, 2).mul_(side(1, 3)), areas[picture]


def _reduce(values: Tensor, picture: Tensor, start: Tensor, how: str) -> Tensor:
    """The largest or smallest of the rows (S, A) of every picture, and of its row of `start` (N, A)."""
    return start.scatter_reduce(0, picture[:, None].expand_as(values), values, how)


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


def initialise_heads(network: FasterRCNN) -> None:
    """Start values of everything but the trunk: Xavier in the neck and the hidden layers, small outputs."""
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
