"""The batched tensor code equals the NumPy code, and never waits for the device.

The CPU runs both here; the operators are the same on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from golden.pose_steps import OTHER_OPENCV
from golden.reference.pose_targets import dark_targets, udp_targets
from no_waiting import NoWaiting, without_waiting
from numpy.typing import NDArray
from posetrack_detectors.decoding import dark_udp, heatmaps, on_device
from posetrack_detectors.decoding.crops import centre_and_scale, crop_person, to_frame
from posetrack_detectors.decoding.crops_on_device import crop_people, sample
from posetrack_detectors.networks import detect_on_device
from posetrack_detectors.networks.boxes import pyramid_level
from posetrack_detectors.networks.cascade_rcnn import CascadeRCNN
from posetrack_detectors.networks.detect_on_device import detect, keep_best
from posetrack_detectors.networks.faster_rcnn import FasterRCNN
from posetrack_detectors.networks.mask_rcnn import MaskRCNN
from posetrack_detectors.networks.vision_ops import nms
from posetrack_detectors.person_detector import PersonDetector, prepare
from small_detectors import TINY, random_images, tiny

SIZE, INPUT = (48, 64), (192, 256)
MIRRORED = (0, 2, 1, 4, 3)


def test_the_check_for_waiting_works() -> None:
    x = torch.arange(3)
    waiting: list[Callable[[], Any]] = [
        lambda: x.max().item(), lambda: x.nonzero(), lambda: x[x > 1], lambda: torch.tensor([1.0])
    ]  # fmt: skip
    for one in waiting:
        with pytest.raises(AssertionError, match="waits"), NoWaiting():  # type: ignore[no-untyped-call]
            one()


def blobs(people: int = 4, seed: int = 0) -> NDArray[np.float32]:
    """Heatmaps (N, 5, 64, 48) as a network draws them: bumps with noise; some at the border, one of no height."""
    random = np.random.default_rng(seed)
    maps = []
    for _ in range(people):
        keypoints = random.uniform((-4, -4), (196, 260), (5, 2))
        targets, _ = dark_targets(keypoints, np.ones(5), SIZE, INPUT, 2)
        maps.append(targets * random.uniform(0.2, 1.0, (5, 1, 1)) + random.uniform(0, 0.02, targets.shape))
    maps[0][0] = -0.1
    return np.array(maps, dtype=np.float32)


def offsets(people: int = 4) -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    outputs = np.empty((people, 5, 3, 64, 48), np.float32)
    outputs[:, :, 0] = blobs(people)
    outputs[:, :, 1:] = random.uniform(-1, 1, (people, 5, 2, 64, 48))
    return outputs.reshape(people, 15, 64, 48)


SAME: list[Any] = [
    ("dark", dark_udp.decode_dark, 11),
    ("dark", dark_udp.decode_dark, 17),
    ("dark-smoothed", dark_udp.decode_dark_smoothed, 7),
    ("dark-smoothed", dark_udp.decode_dark_smoothed, 11),
    ("udp", dark_udp.decode_udp, 11),
    ("udp-offsets", dark_udp.decode_udp_offsets, 11),
]


@pytest.mark.parametrize(("name", "decode", "kernel"), SAME)
def test_sub_cell_decoding(name: str, decode: Any, kernel: int) -> None:
    maps = offsets() if name == "udp-offsets" else blobs()
    expected, heights = decode(maps, INPUT, kernel)
    points, found_heights = without_waiting(on_device.DECODERS[name], torch.from_numpy(maps), INPUT, kernel)
    positive = heights > 0  # of a map without a peak, UDP reads cells of another map
    assert positive.sum() > 15
    assert np.abs(points.numpy() - expected)[positive].max() < 1e-4
    assert np.abs(found_heights.numpy() - heights).max() < 1e-6


@pytest.mark.parametrize("name", on_device.DECODERS)
def test_a_map_without_a_peak_decodes_to_finite_numbers(name: str) -> None:
    points, heights = on_device.DECODERS[name](torch.zeros(1, 3, 64, 48), INPUT, 11)
    assert torch.isfinite(points).all()
    assert (heights == 0).all()


def test_quarter_decoding() -> None:
    """In pixels of the frame, where the NumPy decoder gives them."""
    maps, random = blobs(20, seed=5), np.random.default_rng(6)
    centres = random.uniform(0, 1000, (20, 2)).astype(np.float32)
    widths = random.uniform(0.2, 4, 20)
    scales = np.stack([widths, widths * INPUT[1] / INPUT[0]], axis=1).astype(np.float32)
    expected, heights = heatmaps.decode_heatmaps(maps, centres, scales)
    points, found_heights = without_waiting(on_device.DECODERS["quarter"], torch.from_numpy(maps), INPUT, 0)
    found = to_frame(points.numpy(), centres, scales, INPUT)
    # The affine map of the NumPy decoder is solved from float32 points: that is 1e-4 pixels at x = 1000.
    assert np.abs(found - expected).max() < 3e-4
    assert np.array_equal(found_heights.numpy(), heights)


@pytest.mark.parametrize("shift", [0.0, 0.75, 1.0])
def test_flip_back(shift: float) -> None:
    maps = blobs()
    expected = heatmaps.flip_back(maps, MIRRORED, shift=shift)
    found = without_waiting(on_device.flip_back, torch.from_numpy(maps), MIRRORED, shift=shift)
    assert np.abs(found.numpy() - expected).max() < 1e-7


def test_flip_back_offsets() -> None:
    maps = offsets()
    found = without_waiting(on_device.flip_back_offsets, torch.from_numpy(maps), MIRRORED)
    assert np.array_equal(found.numpy(), heatmaps.flip_back_offsets(maps, MIRRORED))


@pytest.mark.parametrize("udp", [False, True])
def test_crops(udp: bool) -> None:
    """Of two frames with different sizes, some beyond the edge; OpenCV 4 before 4.11 differs by a few grey levels."""
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, shape, np.uint8) for shape in ((240, 320, 3), (300, 200, 3))]
    images = [frames[person % 2] for person in range(8)]
    corners, widths = random.uniform(-40, 200, (8, 2)), random.uniform(10, 150, 8)
    places = [
        centre_and_scale(np.array([*corner, *(corner + [width, 2.5 * width])]), 0.75)
        for corner, width in zip(corners, widths, strict=True)
    ]
    centres, scales = (np.array(column) for column in zip(*places, strict=True))
    expected = [
        crop_person(image, *place, SIZE, udp=udp) for image, place in zip(images, places, strict=True)
    ]
    found = crop_people(images, centres, scales, SIZE, torch.device("cpu"), udp=udp)
    assert found.shape == (8, 3, 64, 48)
    assert found.is_contiguous(memory_format=torch.channels_last)
    difference = np.abs(found.permute(0, 2, 3, 1).numpy().astype(int) - expected)
    is_new = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 11)
    assert difference.max() <= (1 if is_new else OTHER_OPENCV)
    assert (difference > 0).mean() < 1e-3 or not is_new


def test_sampling_waits_for_nothing() -> None:
    frames = torch.randint(0, 255, (2, 30, 40, 3), dtype=torch.uint8)
    maps = torch.tensor([[[0.5, 0, 3], [0, 0.5, -2]]]).expand(3, -1, -1)
    assert without_waiting(sample, frames, torch.tensor([0, 1, 1]), maps, SIZE).shape == (3, 3, 64, 48)


def test_udp_targets_are_found() -> None:
    keypoints = np.random.default_rng(1).uniform((30, 30), (160, 220), (17, 2))
    maps, _ = udp_targets(keypoints, np.ones(17), SIZE, INPUT, 2)
    points, _ = on_device.decode_udp(torch.from_numpy(maps[None].astype(np.float32)), INPUT)
    assert np.abs(points[0].numpy() * (np.array(INPUT) - 1) / INPUT - keypoints).max() < 0.7


@pytest.mark.parametrize("kind", [FasterRCNN, CascadeRCNN])
@pytest.mark.parametrize("seed", range(3))
def test_detections(kind: type[FasterRCNN], seed: int) -> None:
    """Boxes, scores and labels of a batch of two sizes, as from `forward`, in the same order."""
    network = tiny(kind, seed, replace(TINY, score_threshold=0.05, detections=30))
    images = [*random_images(2), *random_images(1, 40, 30)]
    with torch.inference_mode():
        inputs = prepare(images, TINY, torch.device("cpu"))
        expected = network(*inputs)
        found = without_waiting(detect, network, *inputs)
    assert found.shape == (3, 30, 6)
    for rows, one in zip(found, expected, strict=True):
        count = len(one.boxes)
        assert count > 5
        np.testing.assert_allclose(rows[:count, :4], one.boxes, atol=1e-4)
        np.testing.assert_allclose(rows[:count, 4], one.scores, atol=1e-6)
        assert rows[:count, 5].tolist() == one.labels.tolist()
        assert (rows[count:] == 0).all()


def test_features_of_boxes_on_all_levels() -> None:
    network, random = tiny(), np.random.default_rng(0)
    levels = [torch.randn(2, 8, 512 // stride, 512 // stride) for stride in (4, 8, 16, 32, 64)]
    corners, sides = random.uniform(0, 60, (40, 2)), random.uniform(4, 900, (40, 2))
    table = np.concatenate([random.integers(0, 2, (40, 1)), corners, corners + sides], axis=1)
    rois = torch.from_numpy(np.concatenate([table, np.zeros((1, 5))]).astype(np.float32))
    expected = network.roi_features(levels, rois)
    network.fixed_sizes = True
    found = without_waiting(network.roi_features, levels, rois)
    assert set(pyramid_level(rois[:, 1:], 4).tolist()) == {0, 1, 2, 3}
    assert torch.equal(found, expected)


def test_keep_best_equals_nms() -> None:
    """With many equal boxes and chains of overlapping ones."""
    random = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 60, (6, 300, 2), generator=random).float()
    boxes = torch.cat([corners, corners + torch.randint(5, 40, (6, 300, 2), generator=random)], dim=2)
    exist = torch.rand(6, 300, generator=random) > 0.2
    for overlap in torch.tensor([0.3, 0.5, 0.7]).tolist():  # the nearest numbers in float32
        kept, settled = without_waiting(keep_best, boxes, exist, overlap)
        assert settled.all()
        for one, own, valid in zip(boxes, kept, exist, strict=True):
            rows = valid.nonzero()[:, 0]
            expected = rows[nms(one[rows], torch.linspace(1, 0.5, len(rows)), overlap)]
            assert own.nonzero()[:, 0].tolist() == expected.tolist()


def test_a_chain_that_is_too_long_is_known() -> None:
    """Each box overlaps the next one only: 0, 2, 4, ... stay, but that takes as many rounds as boxes."""
    left = torch.arange(100.0) * 4
    chain = torch.stack([left, left * 0, left + 10, left * 0 + 10], dim=1)
    boxes = torch.stack([chain, torch.where(torch.arange(100)[:, None] < 20, chain, 0.0)])
    kept, settled = keep_best(boxes, boxes[..., 2] > 0, 0.4)
    assert settled.tolist() == [False, True]
    assert kept[1].nonzero()[:, 0].tolist() == list(range(0, 20, 2))


def test_the_detector_computes_such_images_again(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [*random_images(2), *random_images(1, 40, 30)]
    detector = PersonDetector(tiny())
    expected = detector(images)
    detector.on_device = True
    for rounds in (32, 1):  # with 1 no image is settled
        monkeypatch.setattr(detect_on_device, "ROUNDS", rounds)
        found = detector(images)
        for (boxes, scores), (wanted_boxes, wanted_scores) in zip(found, expected, strict=True):
            assert boxes.dtype == scores.dtype == np.float32
            np.testing.assert_allclose(boxes, wanted_boxes, atol=1e-4)
            np.testing.assert_allclose(scores, wanted_scores, atol=1e-6)


def test_mask_rcnn_keeps_its_own_way() -> None:
    detector = PersonDetector(tiny(MaskRCNN))
    [(expected, _)] = detector(random_images(1))
    detector.on_device = True
    [(found, _)] = detector(random_images(1))
    np.testing.assert_array_equal(found, expected)
