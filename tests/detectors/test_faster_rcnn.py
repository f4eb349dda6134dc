"""The person detector: against numbers recorded from the reference code, and on images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden import detector_networks, detector_steps
from posetrack_detectors.networks.boxes import pyramid_level, suppress
from posetrack_detectors.networks.cascade_rcnn import CascadeRCNN
from posetrack_detectors.networks.faster_rcnn import (
    HRFPN,
    STRIDES,
    FasterRCNN,
    choose_detections,
)
from posetrack_detectors.networks.mask_rcnn import MaskRCNN, paste_masks
from posetrack_detectors.person_detector import PersonDetector, prepare
from small_detectors import TINY, random_images, tiny

GOLDEN = Path(__file__).resolve().parents[1] / "golden/detector"


def test_single_steps_match_the_recorded_ones() -> None:
    assert detector_steps.check(GOLDEN / "unit") == 0


@pytest.mark.data
def test_w18_matches_the_recorded_network(shared: Path) -> None:
    assert detector_networks.check_model(shared / "goldens/detector", "faster_rcnn_w18", only=["a"]) == 0


def test_neck_equals_upsample_concatenate_reduce() -> None:
    torch.manual_seed(0)
    neck = HRFPN((2, 3, 4, 5), 6)
    branches = [torch.randn(1, c, 32 >> i, 48 >> i) for i, c in enumerate((2, 3, 4, 5))]
    sized = [F.interpolate(b, (32, 48), mode="bilinear", align_corners=False) for b in branches]
    fused = neck.reduction_conv(torch.cat(sized, dim=1))
    levels = neck(branches)
    assert [tuple(level.shape[2:]) for level in levels] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    for i, level in enumerate(levels):
        torch.testing.assert_close(level, neck.fpn_convs[i](F.avg_pool2d(fused, 2**i)), rtol=1e-4, atol=1e-5)


def test_detector_returns_the_people_that_the_network_finds() -> None:
    """With folded BatchNorms, class 0 only, and boxes in pixels of the original image."""
    images = random_images(2)
    inputs = prepare(images, TINY, torch.device("cpu"))
    assert inputs[0].shape == (2, 3, 64, 128)
    with torch.no_grad():
        expected = tiny()(*inputs)
    found = PersonDetector(tiny())(images)
    assert sum(len(boxes) for boxes, _ in found) > 0
    for (boxes, scores), one in zip(found, expected, strict=True):
        people = one.labels == 0
        assert 0 < people.sum() < len(people)
        np.testing.assert_allclose(boxes, one.boxes[people].numpy(), atol=1e-3)
        np.testing.assert_allclose(scores, one.scores[people].numpy(), atol=1e-4)
        assert boxes.dtype == scores.dtype == np.float32
        assert (boxes >= 0).all()
        assert (boxes <= [80.001, 48.001, 80.001, 48.001]).all()


def test_images_in_a_batch_do_not_influence_each_other() -> None:
    detector, images = PersonDetector(tiny()), random_images(3)
    together = detector(images)
    for image, (boxes, scores) in zip(images, together, strict=True):
        [(single_boxes, single_scores)] = detector([image])
        np.testing.assert_allclose(boxes, single_boxes, atol=1e-3)
        np.testing.assert_allclose(scores, single_scores, atol=1e-4)


def test_no_images_and_no_people() -> None:
    detector = PersonDetector(tiny(size=replace(TINY, score_threshold=1.0)))
    assert detector([]) == []
    [(boxes, scores)] = detector(random_images(1, 200, 30))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_bfloat16_finds_nearly_the_same() -> None:
    [(boxes, _)] = PersonDetector(tiny(), dtype="bfloat16")(random_images(1))
    assert boxes.dtype == np.float32
    assert np.isfinite(boxes).all()


def test_prepare_pads_with_zero_after_normalising() -> None:
    images = [np.full((32, 64, 3), 255, np.uint8), np.full((64, 32, 3), 255, np.uint8)]
    batch, sizes, scales = prepare(images, TINY, torch.device("cpu"))
    assert batch.shape == (2, 3, 128, 128)
    assert sizes.tolist() == [[128, 64], [64, 128]]
    assert scales.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert (batch[0, :, :64] > 2).all()
    assert (batch[0, :, 64:] == 0).all()


def test_suppress_handles_groups_separately_and_returns_the_best_first() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [50, 50, 60, 60]])
    scores = torch.tensor([0.5, 0.6, 0.7, 0.9])
    groups = torch.tensor([0, 0, 1, 0])
    assert suppress(boxes, scores, groups, 0.5).tolist() == [3, 2, 1]
    assert suppress(boxes[:0], scores[:0], groups[:0], 0.5).tolist() == []


def test_the_number_of_detections_is_limited_before_people_are_selected() -> None:
    size = replace(TINY, detections=2)
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])[:, None].expand(-1, 3, -1)
    probabilities = torch.tensor([[0.5, 0, 0], [0, 0.9, 0], [0.6, 0, 0.3]])
    found, kept = choose_detections(probabilities, boxes, size)
    assert found.labels.tolist() == [1, 0]
    assert kept.tolist() == [4, 6, 0, 8]


def test_levels_change_when_the_side_doubles() -> None:
    sides = torch.tensor([1.0, 111, 113, 223, 225, 447, 449, 2000])
    boxes = torch.stack([sides * 0, sides * 0, sides, sides], dim=1)
    assert pyramid_level(boxes, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_size_of_the_coarsest_level_is_rounded_down() -> None:
    levels = tiny().pyramid(torch.zeros(1, 3, 96, 160))
    assert [tuple(level.shape[2:]) for level in levels] == [(96 // s, 160 // s) for s in STRIDES]


@pytest.mark.parametrize("kind", [CascadeRCNN, MaskRCNN])
def test_variants_find_people(kind: type[FasterRCNN]) -> None:
    [(boxes, _)] = PersonDetector(tiny(kind))(random_images(1))
    assert len(boxes) > 0


def test_masks_stay_in_their_boxes() -> None:
    network = tiny(MaskRCNN)
    assert isinstance(network, MaskRCNN)
    images = random_images(1)
    with torch.no_grad():
        [(found, masks)] = network.find_masks(*prepare(images, TINY, torch.device("cpu")), [(48, 80)])
    assert masks.shape == (len(found.boxes), 48, 80)
    for mask, (x1, y1, x2, y2) in zip(masks, found.boxes.tolist(), strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        if len(rows):
            assert columns.min() + 1 >= x1 - 1
            assert columns.max() <= x2 + 1
            assert rows.min() + 1 >= y1 - 1
            assert rows.max() <= y2 + 1


def test_a_full_mask_fills_its_box() -> None:
    masks = paste_masks(torch.ones(1, 28, 28), torch.tensor([[2.0, 3, 12, 9]]), 20, 30)
    assert masks.sum() == 60
    assert masks[0, 3:9, 2:12].all()
