"""Crops to train a pose net on: everyone's box jittered, turned, mirrored, recoloured, partly hidden."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from posetrack_detectors.crops import apply_affine, centre_and_scale, crop_affine
from posetrack_detectors.training.crop_plans import (
    LEVELS,
    CropPlan,
    Tile,
    cut_crop,
    plan_tensors,
    vary_colours,
    whole,
)
from posetrack_detectors.training.labels import (
    FEWEST_KEYPOINTS,
    HEAD,
    LIMBS,
    LOWER_BODY,
    MIRRORED,
    UPPER_BODY,
    Array,
    LabelledPerson,
)
from posetrack_detectors.training.pictures import Pictures

HALF_BODIES, CUT_OFF, CLOSE_UPS = 0.15, 0.2, 0.12
"""Shares of crops that show the upper or lower body only, of those where the picture ends inside the person, and of those
that show little more than a head or a limb."""
HEADS, LEAST_CLOSE_UP = 0.6, 20.0
"""Share of heads in close-ups, and the least size in pixels of what is shown."""
FEWER_PIXELS, LARGEST_PIXEL = 0.15, 4.0
"""Share of crops as of people further away, and the largest pixel (of the halved picture) they may have in the crop."""
CUT_SIDES = (0.2, 0.1, 0.2, 0.5)
"""How often it ends left, at the top, right, at the bottom."""
MIRRORED_SIDES = (2, 1, 0, 3)


@dataclass(frozen=True)
class PosedPerson:
    """A person with keypoints, and the picture it is in."""

    picture: int
    source: str
    share: float
    label: LabelledPerson

    @property
    def box(self) -> Array:
        """(4,) to cut the crop from."""
        return self.label.box if self.label.pose_box is None else self.label.pose_box


def people_with_keypoints(pictures: Pictures, fewest: int = FEWEST_KEYPOINTS) -> list[PosedPerson]:
    """Everybody with at least `fewest` labelled keypoints; people to ignore are left out."""
    return [
        PosedPerson(index, picture.source, picture.share, person)
        for index, picture in enumerate(pictures.labels)
        for person in picture.people
        if not person.ignore and (person.weights > 0).sum() >= fewest
    ]


class PoseCrops:
    """Item (draw, person) is a variation of that person, the same whenever it is asked for.

    `(crop, keypoints (19, 2) in heatmap cells, weights (19,))`; a keypoint outside the crop weighs 0. The crop is
    (H, W, 3) uint8, or with `plans_only` its plan as tensors.
    """

    def __init__(
        self,
        pictures: Pictures,
        people: list[PosedPerson],
        size: tuple[int, int],
        seed: int,
        *,
        plans_only: bool = False,
    ) -> None:
        self.pictures, self.people, self.size, self.seed = pictures, people, size, seed
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
        return torch.from_numpy(cut_crop(plan, self.pictures)), keypoints, weights


def vary_person(
    person: PosedPerson, size: tuple[int, int], rng: np.random.Generator
) -> tuple[CropPlan, Array, Array]:
    """A random crop of `size` (width, height), keypoints (19, 2) in its heatmap's cells, and weights (19,)."""
    width, height = size
    keypoints, weights = person.label.keypoints, person.label.weights
    box, side, kind = person.box, None, rng.random()
    if kind < HALF_BODIES:
        box = _half_body(person, rng)
    elif kind < HALF_BODIES + CUT_OFF:
        box, side = _cut_off(person, rng)
    elif kind < HALF_BODIES + CUT_OFF + CLOSE_UPS:
        box = _close_up(person, rng)
    centre, scale = centre_and_scale(box, width / height)
    # As wrong as a detector's boxes are.
    centre = centre + (rng.uniform(-0.08, 0.08, 2) * (box[2:] - box[:2])).astype(np.float32)
    scale = scale * np.float32(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
    turned = rng.random() < 0.5 and side is None
    degrees = float(np.clip(rng.normal(0, 25), -60, 60)) if turned else 0.0
    affine = crop_affine(centre, scale, degrees, size)
    mirrored = rng.random() < 0.5
    if mirrored:
        affine[0] = [0, 0, width - 1] - affine[0]
        keypoints, weights = keypoints[list(MIRRORED)], weights[list(MIRRORED)]
    points = apply_affine(keypoints, affine)
    colours = vary_colours(rng) if rng.random() < 0.8 else None
    inside = ((points >= 0) & (points < [width, height])).all(axis=1)
    patch, colour = (0, 0, 0, 0), (0, 0, 0)
    if side is not None:
        side = MIRRORED_SIDES[side] if mirrored else side
        patch = _beyond(apply_affine(box.reshape(2, 2), affine), side, size)
        inside &= ((points < patch[:2]) | (points >= patch[2:])).any(axis=1)
    elif rng.random() < 0.25:
        patch, colour = _patch(size, rng)
    level = 0
    if rng.random() < FEWER_PIXELS:
        most = int(math.log2(max(1.0, LARGEST_PIXEL / float(np.linalg.norm(affine[:, 0])))))
        level = min(int(rng.integers(1, LEVELS)), most)
    plan = CropPlan(
        size, (Tile(person.picture, affine, whole(size), colours=colours, level=level),), patch, colour
    )
    return plan, (points / 4).astype(np.float32), (weights * inside).astype(np.float32)


def _half_body(person: PosedPerson, rng: np.random.Generator) -> Array:
    """The box around the upper or the lower body's keypoints; the whole one where too few are labelled."""
    part = UPPER_BODY if rng.random() < 0.6 else LOWER_BODY
    box = _box_around(person, part, FEWEST_KEYPOINTS, margin=0.15)
    return person.box if box is None else box


def _close_up(person: PosedPerson, rng: np.random.Generator) -> Array:
    """The box around the head, or a hand's or foot's half of a limb; the whole one where that is not labelled, or tiny."""
    if rng.random() < HEADS:
        part, least, most = HEAD, 0.3, 0.8
    else:
        part, least, most = LIMBS[rng.integers(len(LIMBS))], 0.2, 0.5
    box = _box_around(person, part, 2, margin=rng.uniform(least, most))
    if box is None or max(box[2:] - box[:2]) < LEAST_CLOSE_UP:
        return person.box
    return box


def _box_around(person: PosedPerson, part: tuple[int, ...], fewest: int, margin: float) -> Array | None:
    """The box around the labelled ones of these keypoints, if `fewest` are, and a margin as a share of its longer side."""
    chosen = [k for k in part if person.label.weights[k] > 0]
    if len(chosen) < fewest:
        return None
    low, high = person.label.keypoints[chosen].min(axis=0), person.label.keypoints[chosen].max(axis=0)
    more = margin * max(high - low) + 2
    return np.concatenate([low - more, high + more])


def _cut_off(person: PosedPerson, rng: np.random.Generator) -> tuple[Array, int | None]:
    """What is left of the box where the picture ends inside it, and on which side: of left, top, right, bottom.

    The whole box and None where too few labelled keypoints are left.
    """
    box, side = person.box.copy(), int(rng.choice(4, p=CUT_SIDES))
    kept = rng.uniform(0.35, 0.9) * (box[2:] - box[:2])[side % 2]
    box[side] = box[side - 2] + (kept if side >= 2 else -kept)
    points = person.label.keypoints[person.label.weights > 0]
    if ((points >= box[:2]) & (points < box[2:])).all(axis=1).sum() < FEWEST_KEYPOINTS:
        return person.box, None
    return box, side


def _beyond(corners: Array, side: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a crop that is outside a box's side; `corners` (2, 2) are the box's in the crop."""
    edges = np.rint([corners.min(axis=0), corners.max(axis=0)]).clip(0, size)
    patch = [0, 0, *size]
    patch[side - 2] = int(edges.ravel()[side])  # the part's opposite side
    return patch[0], patch[1], patch[2], patch[3]


def _patch(
    size: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[int, int, int, int], tuple[int, int, int]]:
    width, height = size
    h, w = int(height * rng.uniform(0.08, 0.35)), int(width * rng.uniform(0.1, 0.4))
    y, x = int(rng.integers(height - h)), int(rng.integers(width - w))
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3, dtype=np.uint8))
    return (x, y, x + w, y + h), (red, green, blue)
