"""Assignment and sampling of boxes, and a tiny detector that overfits two images."""

from __future__ import annotations

from typing import Any

import posetrack_detectors.training.detection_losses as detection_losses_module
import pytest
import torch
from posetrack_detectors.networks.boxes import decode, encode
from posetrack_detectors.networks.faster_rcnn import BOX_STDS, DetectorSize, FasterRCNN
from posetrack_detectors.networks.hrnet import TrunkSize, initialise
from posetrack_detectors.training.detection_losses import (
    IGNORED,
    NEGATIVE,
    POSITIVE,
    box_losses,
    detection_losses,
    initialise_heads,
    match,
    sample,
)
from torchvision.ops import box_iou

TINY = DetectorSize(
    TrunkSize(8, modules=(1, 1, 1), blocks=1, stem_channels=8, stem_planes=8, stem_blocks=1),
    channels=16,
    box_channels=32,
    classes=1,
    proposals_per_level=60,
    proposals=20,
)
PERSON = torch.tensor([[10.0, 10, 50, 90]])
NO_BOXES = torch.zeros(0, 4)


def test_match_by_overlap() -> None:
    anchors = torch.tensor(
        [[10.0, 10, 50, 90], [10, 10, 50, 50], [60, 10, 90, 90], [10, 30, 50, 110]]  # IoU 1, 0.5, 0, 0.6
    )
    labels, people, _ = match(anchors[None], [PERSON], [NO_BOXES], 0.7, 0.3)
    assert labels.tolist() == [[POSITIVE, IGNORED, NEGATIVE, IGNORED]]
    assert people.tolist() == [[0, 0, 0, 0]]


def test_every_image_is_matched_with_its_own_boxes() -> None:
    anchors = torch.tensor([[10.0, 10, 50, 90], [100, 100, 140, 180], [60, 10, 90, 90]])
    boxes = [PERSON + 90, NO_BOXES, torch.cat([PERSON + 90, PERSON])]
    ignore = [NO_BOXES, anchors[2:], anchors[2:]]
    labels, people, overlaps = match(anchors.expand(3, 3, 4), boxes, ignore, 0.5, 0.5)
    assert labels.tolist() == [
        [NEGATIVE, POSITIVE, NEGATIVE],
        [NEGATIVE, NEGATIVE, IGNORED],
        [POSITIVE, POSITIVE, IGNORED],
    ]
    assert [people[0, 1].item(), people[2, 0].item(), people[2, 1].item()] == [0, 2, 1]
    assert overlaps.tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 0]]


def test_match_keeps_the_best_anchor_of_every_person() -> None:
    anchors = torch.tensor([[10.0, 10, 50, 40], [10, 10, 50, 30], [200, 200, 220, 220]])
    boxes = torch.cat([PERSON, torch.tensor([[300.0, 300, 310, 310]])])
    labels, _, _ = match(anchors[None], [boxes], [NO_BOXES], 0.7, 0.3, keep_best=True)
    assert labels.tolist() == [[POSITIVE, NEGATIVE, NEGATIVE]]


def test_an_anchor_is_assigned_to_the_person_it_fits_best() -> None:
    anchors = torch.tensor([[0.0, 0, 40, 10], [0, 0, 5, 5]])
    boxes = torch.tensor([[0.0, 0, 40, 9], [0, 0, 40, 5]])
    # The first anchor is the best one of both people; it is assigned to the later one.
    labels, people, _ = match(anchors[None], [boxes], [NO_BOXES], 0.7, 0.3, keep_best=True)
    assert labels.tolist() == [[POSITIVE, NEGATIVE]]
    assert people[0, 0] == 1
    _, people, _ = match(anchors[None], [boxes[[0, 0]]], [NO_BOXES], 0.5, 0.5)
    assert people[0, 0] == 0


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The labels and hard negatives of every call of `sample`."""
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def spy(labels: torch.Tensor, count: int, max_positives: int, hard: torch.Tensor) -> Any:
        calls.append((labels.clone(), hard.clone()))
        return sample(labels, count, max_positives, hard)

    monkeypatch.setattr(detection_losses_module, "sample", spy)
    return calls


def test_padding_of_proposals_is_not_background(sampled: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    network = FasterRCNN(TINY).train()
    levels = network.pyramid(torch.randn(2, 3, 64, 64))
    proposals = [
        torch.tensor([[0.0, 0, 9, 9], [9, 9, 20, 30], [30, 30, 50, 60]]),
        torch.tensor([[0.0, 0, 9, 9]]),
    ]
    box_losses(network, levels, proposals, [NO_BOXES, NO_BOXES], [NO_BOXES, NO_BOXES])
    assert sampled[0][0].tolist() == [[NEGATIVE] * 3, [NEGATIVE, IGNORED, IGNORED]]


def test_negative_proposals_that_overlap_a_person_are_hard(
    sampled: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    network = FasterRCNN(TINY).train()
    levels = network.pyramid(torch.randn(1, 3, 96, 96))
    # IoU 0.25 and 0.0625 with the person, and elsewhere.
    proposals = torch.tensor([[10.0, 10, 30, 50], [10, 10, 20, 30], [60, 10, 90, 90]])
    box_losses(network, levels, [proposals], [PERSON], [NO_BOXES])
    labels, hard = sampled[0]
    assert labels.tolist() == [[POSITIVE, NEGATIVE, NEGATIVE, NEGATIVE]]
    assert (hard & (labels == NEGATIVE)).tolist() == [[False, True, False, False]]


def test_hard_negatives_are_preferred_and_others_are_still_sampled() -> None:
    torch.manual_seed(0)
    labels = torch.full((1, 1000), NEGATIVE)
    hard = torch.zeros(1, 1000, dtype=torch.bool)
    hard[0, :100] = True
    _, (_, plain) = sample(labels, 96, 32)
    _, (_, preferred) = sample(labels, 96, 32, hard)
    assert (plain < 100).float().mean() < 0.25
    assert 0.4 < (preferred < 100).float().mean() < 0.8
    assert len(set(preferred.tolist())) == 96


def test_ignored_boxes_are_not_background_but_people_in_them_count() -> None:
    anchors = torch.tensor([[10.0, 10, 50, 90], [60, 10, 80, 30], [75, 10, 115, 30], [200, 0, 220, 20]])
    ignore = torch.tensor([[0.0, 0, 85, 100]])
    labels, _, _ = match(anchors[None], [PERSON], [ignore], 0.5, 0.5)
    assert labels.tolist() == [[POSITIVE, IGNORED, NEGATIVE, NEGATIVE]]


def test_match_without_people() -> None:
    labels, _, _ = match(PERSON[None], [NO_BOXES], [NO_BOXES], 0.7, 0.3, keep_best=True)
    assert labels.tolist() == [[NEGATIVE]]


def test_sample_respects_the_limits_and_never_takes_ignored_anchors() -> None:
    labels = torch.full((2, 50), IGNORED)
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


def test_losses_without_people_have_gradients() -> None:
    network = FasterRCNN(TINY).train()
    losses = detection_losses(network, torch.randn(2, 3, 64, 64), [NO_BOXES, NO_BOXES], [NO_BOXES, PERSON])
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert losses["rpn_reg"].item() == losses["box_reg"].item() == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_tiny_detector_overfits_two_images() -> None:
    torch.manual_seed(0)
    boxes = [torch.tensor([[12.0, 20, 44, 90]]), torch.tensor([[60.0, 10, 88, 70], [8, 40, 36, 92]])]
    images = torch.randn(2, 3, 96, 96) * 0.1
    for image, people in zip(images, boxes, strict=True):
        for x1, y1, x2, y2 in people.int().tolist():
            image[:, y1:y2, x1:x2] += 2
    network = FasterRCNN(TINY).train()
    initialise(network.backbone)
    initialise_heads(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    history = []
    for step in range(80):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / 80)
        losses = detection_losses(network, images, boxes, [NO_BOXES, NO_BOXES])
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append((losses["rpn_cls"] + losses["box_cls"]).item())
    assert history[-1] < 0.4 * history[0]
    with torch.no_grad():  # in training mode: running statistics would need more steps
        found = network(images, torch.full((2, 2), 96.0), torch.ones(2, 2))
    for one, people in zip(found, boxes, strict=True):
        best = one.boxes[: len(people)]
        assert box_iou(people, best).amax(dim=1).min() > 0.5
