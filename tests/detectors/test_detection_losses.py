"""Which boxes stand for which person, and a tiny detector that learns two pictures by heart."""

from __future__ import annotations

from typing import Any

import posetrack_detectors.detection_losses as detection_losses_module
import pytest
import torch
from posetrack_detectors.boxes import decode, encode
from posetrack_detectors.detection_losses import (
    NEGATIVE,
    NEITHER,
    POSITIVE,
    box_losses,
    detection_losses,
    initialise_heads,
    match,
    sample,
)
from posetrack_detectors.faster_rcnn import BOX_STDS, DetectorSize, FasterRCNN
from posetrack_detectors.hrnet import TrunkSize, initialise
from torchvision.ops import box_iou

TINY = DetectorSize(
    TrunkSize(8, modules=(1, 1, 1), blocks=1, stem_channels=8, stem_planes=8, stem_blocks=1),
    channels=16,
    box_channels=32,
    classes=1,
    candidates=60,
    proposals=20,
)
PERSON = torch.tensor([[10.0, 10, 50, 90]])
NOBODY = torch.zeros(0, 4)


def test_match_by_overlap() -> None:
    candidates = torch.tensor(
        [[10.0, 10, 50, 90], [10, 10, 50, 50], [60, 10, 90, 90], [10, 30, 50, 110]]  # IoU 1, 0.5, 0, 0.6
    )
    labels, nearest = match(candidates[None], [PERSON], [NOBODY], 0.7, 0.3)
    assert labels.tolist() == [[POSITIVE, NEITHER, NEGATIVE, NEITHER]]
    assert nearest.tolist() == [[0, 0, 0, 0]]


def test_every_picture_is_matched_with_its_own_boxes() -> None:
    candidates = torch.tensor([[10.0, 10, 50, 90], [100, 100, 140, 180], [60, 10, 90, 90]])
    people = [PERSON + 90, NOBODY, torch.cat([PERSON + 90, PERSON])]
    ignore = [NOBODY, candidates[2:], candidates[2:]]
    labels, nearest = match(candidates.expand(3, 3, 4), people, ignore, 0.5, 0.5)
    assert labels.tolist() == [
        [NEGATIVE, POSITIVE, NEGATIVE],
        [NEGATIVE, NEGATIVE, NEITHER],
        [POSITIVE, POSITIVE, NEITHER],
    ]
    assert (nearest[0, 1], nearest[2, 0], nearest[2, 1]) == (0, 2, 1)


def test_match_keeps_the_best_candidate_of_every_person() -> None:
    candidates = torch.tensor([[10.0, 10, 50, 40], [10, 10, 50, 30], [200, 200, 220, 220]])
    people = torch.cat([PERSON, torch.tensor([[300.0, 300, 310, 310]])])
    labels, _ = match(candidates[None], [people], [NOBODY], 0.7, 0.3, keep_best=True)
    assert labels.tolist() == [[POSITIVE, NEGATIVE, NEGATIVE]]


def test_a_candidate_stands_for_whom_it_fits_best() -> None:
    candidates = torch.tensor([[0.0, 0, 40, 10], [0, 0, 5, 5]])
    people = torch.tensor([[0.0, 0, 40, 9], [0, 0, 40, 5]])
    # Nothing fits the second one better than the first candidate, which then is the second one's.
    labels, nearest = match(candidates[None], [people], [NOBODY], 0.7, 0.3, keep_best=True)
    assert labels.tolist() == [[POSITIVE, NEGATIVE]]
    assert nearest[0, 0] == 1
    _, nearest = match(candidates[None], [people[[0, 0]]], [NOBODY], 0.5, 0.5)
    assert nearest[0, 0] == 0


def test_a_picture_with_fewer_proposals_has_none_for_background(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def spy(labels: torch.Tensor, *counts: int) -> Any:
        seen.append(labels.clone())
        return sample(labels, *counts)

    monkeypatch.setattr(detection_losses_module, "sample", spy)
    network = FasterRCNN(TINY).train()
    levels = network.pyramid(torch.randn(2, 3, 64, 64))
    proposals = [
        torch.tensor([[0.0, 0, 9, 9], [9, 9, 20, 30], [30, 30, 50, 60]]),
        torch.tensor([[0.0, 0, 9, 9]]),
    ]
    box_losses(network, levels, proposals, [NOBODY, NOBODY], [NOBODY, NOBODY])
    assert seen[0].tolist() == [[NEGATIVE] * 3, [NEGATIVE, NEITHER, NEITHER]]


def test_ignored_boxes_are_no_background_but_people_in_them_count() -> None:
    candidates = torch.tensor([[10.0, 10, 50, 90], [60, 10, 80, 30], [75, 10, 115, 30], [200, 0, 220, 20]])
    ignore = torch.tensor([[0.0, 0, 85, 100]])
    labels, _ = match(candidates[None], [PERSON], [ignore], 0.5, 0.5)
    assert labels.tolist() == [[POSITIVE, NEITHER, NEGATIVE, NEGATIVE]]


def test_match_without_people() -> None:
    labels, _ = match(PERSON[None], [NOBODY], [NOBODY], 0.7, 0.3, keep_best=True)
    assert labels.tolist() == [[NEGATIVE]]


def test_sample_takes_no_more_than_asked_and_never_the_undecided() -> None:
    labels = torch.full((2, 50), NEITHER)
    labels[0, :30], labels[0, 30:45] = POSITIVE, NEGATIVE
    labels[1, :2], labels[1, 10:] = POSITIVE, NEGATIVE
    positive, negative = sample(labels, 20, 8)
    assert torch.bincount(positive[0]).tolist() == [8, 2]
    assert torch.bincount(negative[0]).tolist() == [12, 18]
    assert (labels[positive] == POSITIVE).all()
    assert (labels[negative] == NEGATIVE).all()


def test_encode_is_the_inverse_of_decode() -> None:
    starts = torch.tensor([[20.0, 30, 60, 100], [5, 5, 12, 30]])
    targets = torch.tensor([[25.0, 20, 55, 110], [1, 2, 20, 40]])
    sizes = torch.tensor([[200.0, 200]]).expand(2, 2)
    torch.testing.assert_close(decode(starts, encode(starts, targets, BOX_STDS), BOX_STDS, sizes), targets)


def test_losses_without_people_can_be_learnt_from() -> None:
    network = FasterRCNN(TINY).train()
    losses = detection_losses(network, torch.randn(2, 3, 64, 64), [NOBODY, NOBODY], [NOBODY, PERSON])
    torch.stack(list(losses.values())).sum().backward()
    assert losses["rpn_reg"].item() == losses["box_reg"].item() == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_learns_two_pictures_by_heart() -> None:
    torch.manual_seed(0)
    boxes = [torch.tensor([[12.0, 20, 44, 90]]), torch.tensor([[60.0, 10, 88, 70], [8, 40, 36, 92]])]
    pictures = torch.randn(2, 3, 96, 96) * 0.1
    for picture, people in zip(pictures, boxes, strict=True):
        for x1, y1, x2, y2 in people.int().tolist():
            picture[:, y1:y2, x1:x2] += 2
    network = FasterRCNN(TINY).train()
    initialise(network.backbone)
    initialise_heads(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    history = []
    for step in range(80):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / 80)
        losses = detection_losses(network, pictures, boxes, [NOBODY, NOBODY])
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append((losses["rpn_cls"] + losses["box_cls"]).item())
    assert history[-1] < 0.4 * history[0]
    with torch.no_grad():  # batch statistics: running ones need more steps than a test has
        found = network(pictures, torch.full((2, 2), 96.0), torch.ones(2, 2))
    for one, people in zip(found, boxes, strict=True):
        best = one.boxes[: len(people)]
        assert box_iou(people, best).amax(dim=1).min() > 0.5
