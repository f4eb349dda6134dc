"""Training crops for a pose network: boxes jittered, rotated, flipped, recoloured and partly hidden."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from posetrack_detectors.decoding.crops import apply_affine, centre_and_scale, crop_affine
from posetrack_detectors.training.crop_plans import (
    LEVELS,
    CropPlan,
    Tile,
    cut_crop,
    full_rectangle,
    plan_tensors,
    vary_colours,
)
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import (
    HEAD,
    LIMBS,
    LOWER_BODY,
    MIN_KEYPOINTS,
    MIRRORED,
    UPPER_BODY,
    Array,
    LabelledPerson,
)

HALF_BODIES, TRUNCATED, CLOSE_UPS = 0.15, 0.2, 0.12
"""Shares of crops of the upper or lower body, of people cut off by an image edge, and of a head or a limb."""
HEADS, MIN_CLOSE_UP = 0.6, 20.0
"""Share of heads in close-ups, and the smallest longer side of their box in pixels."""
LOW_RESOLUTION, MAX_PIXEL = 0.15, 4.0
"""Share of crops from a halved image, as of people further away, and the largest size of its pixels in the crop."""
TRUNCATED_SIDES = (0.2, 0.1, 0.2, 0.5)
"""How often the image ends on the left, at the top, on the right, at the bottom."""
MIRRORED_SIDES = (2, 1, 0, 3)


@dataclass(frozen=True)
class PosedPerson:
    """A person with keypoints, and the index of the image."""

    image: int
    source: str
    share: float
    label: LabelledPerson

    @property
    def box(self) -> Array:
        """(4,) x1 y1 x2 y2, from which to cut the crop."""
        return self.label.box if self.label.pose_box is None else self.label.pose_box


def people_with_keypoints(images: Images, min_keypoints: int = MIN_KEYPOINTS) -> list[PosedPerson]:
    """All people with at least `min_keypoints` labelled keypoints, without those to ignore."""
    return [
        PosedPerson(index, image.source, image.share, person)
        for index, image in enumerate(images.labels)
        for person in image.people
        if not person.ignore and (person.weights > 0).sum() >= min_keypoints
    ]


class PoseCrops:
    """Item (draw, person) is a random variation of that person, reproducible.

    An item is (crop, keypoints (19, 2) in heatmap cells, weights (19,)); a keypoint outside the crop has weight 0. The
    crop is (H, W, 3) uint8, or with `plans_only` its plan as tensors.
    """

    def __init__(
        self,
        images: Images,
        people: list[PosedPerson],
        size: tuple[int, int],
        seed: int,
        *,
        plans_only: bool = False,
    ) -> None:
        self.images, self.people, self.size, self.seed = images, people, size, seed
        self.plans_only = plans_only

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(
        self, request: tuple[int, int]
    ) -> tuple[torch.Tensor | dict[str, torch.Tensor], Array, Array]:
        draw, index = request
        plan, keypoints, weights = vary_person(
            self.people[index], self.size, np.random.default_rng((self.seed, draw))
        )
        if self.plans_only:
            return plan_tensors(plan, tiles=1), keypoints, weights
        return torch.from_numpy(cut_crop(plan, self.images)), keypoints, weights


def vary_person(
    person: PosedPerson, size: tuple[int, int], rng: np.random.Generator
) -> tuple[CropPlan, Array, Array]:
    """A random crop of `size` (width, height), keypoints (19, 2) in heatmap cells, and weights (19,)."""
    width, height = size
    keypoints, weights = person.label.keypoints, person.label.weights
    box, side, kind = person.box, None, rng.random()
    if kind < HALF_BODIES:
        box = _half_body(person, rng)
    elif kind < HALF_BODIES + TRUNCATED:
        box, side = _truncated(person, rng)
    elif kind < HALF_BODIES + TRUNCATED + CLOSE_UPS:
        box = _close_up(person, rng)
    centre, scale = centre_and_scale(box, width / height)
    # As inaccurate as a detector's boxes.
    centre = centre + (rng.uniform(-0.08, 0.08, 2) * (box[2:] - box[:2])).astype(np.float32)
    scale = scale * np.float32(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
    rotated = rng.random() < 0.5 and side is None
    degrees = float(np.clip(rng.normal(0, 25), -60, 60)) if rotated else 0.0
    affine = crop_affine(centre, scale, degrees, size)
    flipped = rng.random() < 0.5
    if flipped:
        affine[0] = [0, 0, width - 1] - affine[0]
        keypoints, weights = keypoints[list(MIRRORED)], weights[list(MIRRORED)]
    points = apply_affine(keypoints, affine)
    colours = vary_colours(rng) if rng.random() < 0.8 else None
    inside = ((points >= 0) & (points < [width, height])).all(axis=1)
    patch, colour = (0, 0, 0, 0), (0, 0, 0)
    if side is not None:
        side = MIRRORED_SIDES[side] if flipped else side
        patch = _outside(apply_affine(box.reshape(2, 2), affine), side, size)
        inside &= ((points < patch[:2]) | (points >= patch[2:])).any(axis=1)
    elif rng.random() < 0.25:
        patch, colour = _random_patch(size, rng)
    level = 0
    if rng.random() < LOW_RESOLUTION:
        max_level = int(math.log2(max(1.0, MAX_PIXEL / float(np.linalg.norm(affine[:, 0])))))
        level = min(int(rng.integers(1, LEVELS)), max_level)
    tile = Tile(person.image, affine, full_rectangle(size), colours=colours, level=level)
    plan = CropPlan(size, (tile,), patch, colour)
    return plan, (points / 4).astype(np.float32), (weights * inside).astype(np.float32)


def _half_body(person: PosedPerson, rng: np.random.Generator) -> Array:
    """The box around the keypoints of the upper or lower body; the person's box if too few are labelled."""
    part = UPPER_BODY if rng.random() < 0.6 else LOWER_BODY
    box = _box_around(person, part, MIN_KEYPOINTS, margin=0.15)
    return person.box if box is None else box


def _close_up(person: PosedPerson, rng: np.random.Generator) -> Array:
    """The box around the head or a lower arm or leg; the person's box if that is not labelled or tiny."""
    if rng.random() < HEADS:
        part, low, high = HEAD, 0.3, 0.8
    else:
        part, low, high = LIMBS[rng.integers(len(LIMBS))], 0.2, 0.5
    box = _box_around(person, part, 2, margin=rng.uniform(low, high))
    if box is None or max(box[2:] - box[:2]) < MIN_CLOSE_UP:
        return person.box
    return box


def _box_around(
    person: PosedPerson, part: tuple[int, ...], min_keypoints: int, margin: float
) -> Array | None:
    """The box around the labelled keypoints of `part`, or None if fewer than `min_keypoints` are labelled.

    `margin` is a share of the longer side.
    """
    chosen = [k for k in part if person.label.weights[k] > 0]
    if len(chosen) < min_keypoints:
        return None
    low, high = person.label.keypoints[chosen].min(axis=0), person.label.keypoints[chosen].max(axis=0)
    more = margin * max(high - low) + 2
    return np.concatenate([low - more, high + more])


def _truncated(person: PosedPerson, rng: np.random.Generator) -> tuple[Array, int | None]:
    """The box cut off on one side, as by an image edge, and that side: 0 left, 1 top, 2 right, 3 bottom.

    Returns the person's box and None if too few labelled keypoints remain.
    """
    box, side = person.box.copy(), int(rng.choice(4, p=TRUNCATED_SIDES))
    kept = rng.uniform(0.35, 0.9) * (box[2:] - box[:2])[side % 2]
    box[side] = box[side - 2] + (kept if side >= 2 else -kept)
    points = person.label.keypoints[person.label.weights > 0]
    if ((points >= box[:2]) & (points < box[2:])).all(axis=1).sum() < MIN_KEYPOINTS:
        return person.box, None
    return box, side


def _outside(corners: Array, side: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a crop beyond one side of a box; `corners` (2, 2) are the box's in the crop."""
    edges = np.rint([corners.min(axis=0), corners.max(axis=0)]).clip(0, size)
    patch = [0, 0, *size]
    patch[side - 2] = int(edges.ravel()[side])  # side - 2 is the opposite side
    return patch[0], patch[1], patch[2], patch[3]


def _random_patch(
    size: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[int, int, int, int], tuple[int, int, int]]:
    width, height = size
    h, w = int(height * rng.uniform(0.08, 0.35)), int(width * rng.uniform(0.1, 0.4))
    y, x = int(rng.integers(height - h)), int(rng.integers(width - w))
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3, dtype=np.uint8))
    return (x, y, x + w, y + h), (red, green, blue)
