"""Training crops: OpenCV and batched cutting agree, and labels stay on the people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from posetrack_detectors.training.crop_plans import (
    CropCutter,
    CropPlan,
    Tile,
    cut_crop,
    full_rectangle,
    halved,
    plan_tensors,
    stack,
)
from posetrack_detectors.training.detection_crops import DetectionCrops, collate, visible_boxes
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import HEAD, LabelledImage
from posetrack_detectors.training.pose_crops import PoseCrops, people_with_keypoints, vary_person
from small_sets import write_coco_set

from posetrack_app.models.training.coco_labels import read_coco


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("set")
    # Images of two sizes, which cannot be stacked.
    labels = read_coco(write_coco_set(folder))
    people = tuple(replace(p, box=p.box * 0.75, keypoints=p.keypoints * 0.75) for p in labels[1].people)
    labels[1] = replace(labels[1], size=(90, 120), people=people)
    images = Images(labels, folder / "cache", 512)
    images.decode()
    return images


def difference(images: Images, plans: list[CropPlan], device: str = "cpu") -> np.ndarray:
    """Grey levels between crops cut by OpenCV and crops cut as one batch."""
    cutter = CropCutter(images, torch.device(device))
    batch = cutter(stack([plan_tensors(plan) for plan in plans]), plans[0].size)
    singles = np.stack([cut_crop(plan, images) for plan in plans])
    return np.asarray(np.abs(batch.cpu().numpy().astype(int) - singles.astype(int)))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_opencv_and_batched_cutting_agree_on_pose_crops(images: Images, device: str) -> None:
    people = people_with_keypoints(images)
    plans = [vary_person(people[k % len(people)], (48, 64), np.random.default_rng(k))[0] for k in range(24)]
    assert any(plan.tiles[0].colours is not None for plan in plans)
    assert any(plan.patch[2] for plan in plans)
    assert len({plan.tiles[0].level for plan in plans}) > 1
    off = difference(images, plans, device)
    # Noise is the worst case: OpenCV rounds coordinates to 1/32 pixel, and gamma stretches dark levels.
    assert off.mean() < 1.5
    assert np.percentile(off, 99) <= 8


def test_opencv_and_batched_cutting_agree_on_detector_crops(images: Images) -> None:
    crops = DetectionCrops(images, 96, seed=1)
    plans = [crops.plan(k % len(images), np.random.default_rng(k))[0] for k in range(24)]
    assert {len(plan.tiles) for plan in plans} == {1, 4}
    assert len({tile.level for plan in plans for tile in plan.tiles}) > 1
    plain = [replace(plan, tiles=tuple(replace(t, jpeg=0) for t in plan.tiles)) for plan in plans]
    off = difference(images, plain)
    assert off.mean() < 1.5
    assert np.percentile(off, 99) <= 12


@pytest.mark.parametrize("level", [1, 2])
def test_a_halved_image_is_cut_at_the_same_place(tmp_path: Path, level: int) -> None:
    ramp = np.tile(np.arange(0, 244, 4, dtype=np.uint8)[None, :, None], (47, 1, 3))
    images = Images([LabelledImage("ramp", (47, 61), (), tmp_path / "none", lambda: ramp)], tmp_path, 512)
    images.decode()
    affine = np.array([[0.5, 0, -5], [0, 0.5, -5]])
    plans = [CropPlan((20, 10), (Tile(0, affine, full_rectangle((20, 10)), level=k),)) for k in (0, level)]
    full, reduced = (cut_crop(plan, images).astype(int) for plan in plans)
    assert np.abs(full - reduced).max() <= 1


def test_halving_takes_means_and_repeats_the_last_pixel() -> None:
    row = np.array([0, 100, 7], dtype=np.uint8)
    assert halved(np.tile(row[None, :, None], (1, 1, 3)))[:, :, 1].tolist() == [[50, 7]]


def test_collate_counts_the_boxes_of_each_crop() -> None:
    boxes = np.arange(8, dtype=np.float32).reshape(2, 4)
    none, crop = np.zeros((0, 4), np.float32), torch.zeros(1)
    _, people, ignore = collate([(crop, boxes, none), (crop, none, boxes[:1])])
    assert (people[0].tolist(), people[1]) == (boxes.tolist(), [2, 0])
    assert (ignore[0].tolist(), ignore[1]) == (boxes[:1].tolist(), [0, 1])


def test_keypoints_stay_on_their_discs(images: Images) -> None:
    """Every keypoint is a bright disc on dark noise, so the crop is bright at its label."""
    people = people_with_keypoints(images)
    crops = PoseCrops(images, people, (96, 128), seed=5)
    shares = []
    for draw in range(40):
        plan, points, weights = vary_person(
            people[draw % len(people)], (96, 128), np.random.default_rng(draw)
        )
        plain = replace(plan, patch=(0, 0, 0, 0), tiles=tuple(replace(t, colours=None) for t in plan.tiles))
        crop = cut_crop(plain, images)
        for x, y in (points[weights > 0] * 4).round().astype(int).clip(0, [95, 127]):
            shares.append(crop[y, x].max() > 150)
    assert np.mean(shares) > 0.95
    again, once = crops[7, 1], crops[7, 1]
    assert torch.equal(torch.as_tensor(again[0]), torch.as_tensor(once[0]))


def test_some_people_are_cut_off_by_the_image_edge(images: Images) -> None:
    people, (width, height) = people_with_keypoints(images), (96, 128)
    sides, crops = [], 400
    for draw in range(crops):
        plan, points, weights = vary_person(
            people[draw % len(people)], (width, height), np.random.default_rng(draw)
        )
        left, top, right, bottom = plan.patch
        if not (right - left == width or bottom - top == height):
            continue
        sides.append((left > 0, top > 0, right < width, bottom < height))
        assert plan.patch_colour == (0, 0, 0)
        assert np.allclose(plan.tiles[0].affine[[0, 1], [1, 0]], 0)  # image edges are not rotated
        inside = ((points * 4 >= plan.patch[:2]) & (points * 4 < plan.patch[2:])).all(axis=1)
        assert not weights[inside].any()
        assert weights.any()
    assert len(sides) > 0.1 * crops
    assert np.sum(sides, axis=0).min() > 0


def test_some_crops_are_close_ups_of_a_head_or_a_limb(images: Images) -> None:
    person = people_with_keypoints(images)[0]
    points = np.linspace([10.0, 100.0], [110.0, 119.0], 19)
    points[list(HEAD)] = np.linspace([50.0, 5.0], [65.0, 20.0], len(HEAD))
    label = replace(person.label, box=np.array([5.0, 0, 115, 120]), keypoints=points, weights=np.ones(19))
    person = replace(person, label=label)
    zooms = []
    for draw in range(300):
        plan, points, weights = vary_person(person, (96, 128), np.random.default_rng(draw))
        zooms.append(np.linalg.norm(plan.tiles[0].affine[:, 0]))
        inside = ((points >= 0) & (points < [24, 32])).all(axis=1)
        assert not weights[~inside].any()
    usual = np.median(zooms)
    assert 0.03 < np.mean(np.array(zooms) > 3 * usual) < 0.2


def test_boxes_stay_on_the_people(images: Images) -> None:
    crops = DetectionCrops(images, 96, seed=1)
    inside, outside = [], []
    for k in range(60):
        crop, people, _ = crops[k, k % len(images)]
        bright = torch.as_tensor(crop).numpy().max(axis=2) > 190
        covered = np.zeros_like(bright)
        for x1, y1, x2, y2 in people.round().astype(int):
            covered[y1:y2, x1:x2] = True
        if covered.any() and not covered.all():
            inside.append(bright[covered].mean())
            outside.append(bright[~covered].mean())
    assert np.mean(inside) > 2 * np.mean(outside)


def test_people_mostly_outside_the_crop_are_ignored() -> None:
    people = np.array([[10.0, 10, 40, 60], [-50, 10, 10, 60], [90, 0, 200, 90]])
    kept, ignored = visible_boxes(people, np.array([[-5.0, -5, 20, 20]]), np.array([100, 100]))
    np.testing.assert_array_equal(kept, people[:1])
    np.testing.assert_array_equal(ignored, [[0, 10, 10, 60], [90, 0, 100, 90], [0, 0, 20, 20]])
