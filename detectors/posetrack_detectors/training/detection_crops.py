"""Squares to train a detector on: pictures cut, scaled, mirrored, recoloured, four of them put together."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from posetrack_detectors.training.crop_plans import (
    LEVELS,
    CropPlan,
    Tile,
    cut_crop,
    plan_tensors,
    stack,
    vary_colours,
    whole,
)
from posetrack_detectors.training.labels import Array
from posetrack_detectors.training.pictures import Pictures

VISIBLE = 0.3
"""A person of whom less than this share is left inside the crop becomes a box to ignore."""
LEAST_SIDES = 5.0, 10.0
"""So does one narrower or lower than this."""
MOSAIC = 0.35
"""Share of squares made of four pictures."""


class DetectionCrops:
    """Squares of `side` pixels; item (draw, picture) is a variation of that picture, the same whenever asked for.

    `(square, people (N, 4), boxes to ignore (M, 4))`. The square is (side, side, 3) uint8, or with `plans_only` its
    plan as tensors.
    """

    def __init__(self, pictures: Pictures, side: int, seed: int, *, plans_only: bool = False) -> None:
        self.pictures, self.side, self.seed, self.plans_only = pictures, side, seed, plans_only

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, request: tuple[int, int]) -> tuple[Tensor | dict[str, Tensor], Array, Array]:
        draw, index = request
        plan, people, ignore = self.plan(index, np.random.default_rng((self.seed, draw)))
        if self.plans_only:
            return plan_tensors(plan), people, ignore
        return torch.from_numpy(cut_crop(plan, self.pictures)), people, ignore

    def plan(self, index: int, rng: np.random.Generator) -> tuple[CropPlan, Array, Array]:
        """A random square of the picture, or of it and three others."""
        side = self.side
        if rng.random() >= MOSAIC:
            # Long tail towards small: the short side becomes 110 to 540 pixels where 320 is usual.
            zoom = math.exp(rng.uniform(math.log(110), math.log(540))) / min(self.pictures.shapes[index])
            tile, people, ignore = self._cut(index, whole((side, side)), zoom, rng)
            return CropPlan((side, side), (tile,)), people, ignore
        x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * side)
        rectangles = (0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)
        parts = []
        for i, rectangle in enumerate(rectangles):
            other = index if i == 0 else int(rng.integers(len(self.pictures)))
            height, width = self.pictures.shapes[other]
            left, top, right, bottom = rectangle
            least = max((right - left) / width, (bottom - top) / height)
            parts.append(self._cut(other, rectangle, least * math.exp(rng.uniform(0, math.log(2.0))), rng))
        plan = CropPlan((side, side), tuple(tile for tile, _, _ in parts))
        people, ignore = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
        return plan, people, ignore

    def _cut(
        self, index: int, rectangle: tuple[int, int, int, int], zoom: float, rng: np.random.Generator
    ) -> tuple[Tile, Array, Array]:
        """The picture scaled by `zoom` and cut to the rectangle around a person or anywhere; boxes moved along."""
        left, top, right, bottom = rectangle
        room = np.array([right - left, bottom - top])
        people, ignore = self.pictures.boxes(index)
        stretch = math.exp(rng.uniform(-0.12, 0.12))
        scale = np.array([zoom * stretch, zoom / stretch])
        spare = room - self.pictures.shapes[index][::-1] * scale
        shift = rng.uniform(size=2) * spare
        if len(people) and rng.random() < 0.7:
            box = people[rng.integers(len(people))].astype(np.float64)
            point = box[:2] + rng.uniform(0.2, 0.8, 2) * (box[2:] - box[:2])
            wanted = rng.uniform(0.2, 0.8, 2) * room - point * scale
            shift = np.where(spare < 0, np.clip(wanted, spare, 0), shift)
        # Half of what is made much smaller is so by areas; a tenth of the rest is as of a camera with fewer pixels.
        level = 0
        if rng.random() < (0.5 if zoom < 0.6 else 0.1):
            level = min(LEVELS - 1, max(1, int(-math.log2(zoom))))
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        mirrored = rng.random() < 0.5
        # Pixel centres lie at half coordinates, as cv2.resize counts; boxes lie on pixel edges.
        affine = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
        affine[:, 2] += (scale - 1) / 2
        boxes = [table * np.tile(scale, 2) + np.tile(shift, 2) for table in (people, ignore)]
        if mirrored:
            affine[0] = [0, 0, room[0] - 1] - affine[0]
            turn = np.array([room[0], 0, room[0], 0])
            boxes = [(turn - table[:, [2, 1, 0, 3]]) * [1, -1, 1, -1] for table in boxes]
        tile = Tile(
            index,
            affine,
            rectangle,
            (red, green, blue),
            colours=vary_colours(rng) if rng.random() < 0.8 else None,
            grey=bool(rng.random() < 0.05),
            level=level,
            jpeg=int(rng.integers(25, 80)) if rng.random() < 0.15 else 0,
        )
        kept, hidden = visible_boxes(boxes[0], boxes[1], room)
        offset = np.array([left, top, left, top])
        return tile, (kept + offset).astype(np.float32), (hidden + offset).astype(np.float32)


def visible_boxes(people: Array, ignore: Array, room: Array) -> tuple[Array, Array]:
    """Boxes cut to (0, 0, *room): people enough of whom is left, and what is to be ignored."""
    limits = np.tile(room, 2)
    left = people.clip(0, limits)
    sides = left[:, 2:] - left[:, :2]
    complete = (people[:, 2:] - people[:, :2]).prod(axis=1)
    kept = (sides.prod(axis=1) >= VISIBLE * complete) & (sides >= LEAST_SIDES).all(axis=1)
    hidden = np.concatenate([left[~kept], ignore.clip(0, limits)])
    return left[kept], hidden[(hidden[:, 2:] - hidden[:, :2] > 1).all(axis=1)]


def collate(
    items: list[tuple[Tensor | dict[str, Tensor], Array, Array]],
) -> tuple[Tensor | dict[str, Tensor], tuple[Tensor, list[int]], tuple[Tensor, list[int]]]:
    """A batch: squares (N, side, side, 3) uint8 or plans; people (P, 4) and how many of each; boxes to ignore alike."""
    squares, people, ignore = zip(*items, strict=True)
    batch = stack(squares) if isinstance(squares[0], dict) else torch.stack(squares)
    together = [(torch.from_numpy(np.concatenate(rows)), list(map(len, rows))) for rows in (people, ignore)]
    return batch, together[0], together[1]
