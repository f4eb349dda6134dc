"""Crops to train a pose net on: everyone's box jittered, turned, mirrored, recoloured, partly hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from posetrack_detectors.crops import apply_affine, centre_and_scale, crop_affine
from posetrack_detectors.training.crop_plans import (
    CropPlan,
    Tile,
    cut_crop,
    plan_tensors,
    vary_colours,
    whole,
)
from posetrack_detectors.training.labels import (
    FEWEST_KEYPOINTS,
    LOWER_BODY,
    MIRRORED,
    UPPER_BODY,
    Array,
    LabelledPerson,
)
from posetrack_detectors.training.pictures import Pictures


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
            return plan_tensors(plan), keypoints, weights
        return torch.from_numpy(cut_crop(plan, self.pictures)), keypoints, weights


def vary_person(
    person: PosedPerson, size: tuple[int, int], rng: np.random.Generator
) -> tuple[CropPlan, Array, Array]:
    """A random crop of `size` (width, height), keypoints (19, 2) in its heatmap's cells, and weights (19,)."""
    width, height = size
    keypoints, weights = person.label.keypoints, person.label.weights
    box = _half_body(person, rng) if rng.random() < 0.1 else person.box
    centre, scale = centre_and_scale(box, width / height)
    # As wrong as a detector's boxes are.
    centre = centre + (rng.uniform(-0.08, 0.08, 2) * (box[2:] - box[:2])).astype(np.float32)
    scale = scale * np.float32(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
    degrees = float(np.clip(rng.normal(0, 25), -60, 60)) if rng.random() < 0.5 else 0.0
    affine = crop_affine(centre, scale, degrees, size)
    if rng.random() < 0.5:
        affine[0] = [0, 0, width - 1] - affine[0]
        keypoints, weights = keypoints[list(MIRRORED)], weights[list(MIRRORED)]
    points = apply_affine(keypoints, affine)
    colours = vary_colours(rng) if rng.random() < 0.8 else None
    patch, colour = _patch(size, rng) if rng.random() < 0.25 else ((0, 0, 0, 0), (0, 0, 0))
    inside = ((points >= 0) & (points < [width, height])).all(axis=1)
    plan = CropPlan(size, (Tile(person.picture, affine, whole(size), colours=colours),), patch, colour)
    return plan, (points / 4).astype(np.float32), (weights * inside).astype(np.float32)


def _half_body(person: PosedPerson, rng: np.random.Generator) -> Array:
    """The box around the upper or the lower body's keypoints; the whole one where too few are labelled."""
    part = UPPER_BODY if rng.random() < 0.6 else LOWER_BODY
    chosen = [k for k in part if person.label.weights[k] > 0]
    if len(chosen) < FEWEST_KEYPOINTS:
        return person.box
    low, high = person.label.keypoints[chosen].min(axis=0), person.label.keypoints[chosen].max(axis=0)
    margin = 0.15 * max(high - low) + 2
    return np.concatenate([low - margin, high + margin])


def _patch(
    size: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[int, int, int, int], tuple[int, int, int]]:
    width, height = size
    h, w = int(height * rng.uniform(0.08, 0.35)), int(width * rng.uniform(0.1, 0.4))
    y, x = int(rng.integers(height - h)), int(rng.integers(width - w))
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3, dtype=np.uint8))
    return (x, y, x + w, y + h), (red, green, blue)
