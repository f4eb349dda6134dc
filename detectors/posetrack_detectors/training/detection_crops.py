"""Square training crops for a detector: scaled, cut, flipped and recoloured images, or mosaics of four."""

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
    full_rectangle,
    plan_tensors,
    stack,
    vary_colours,
)
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import Array

MIN_VISIBLE = 0.3
"""A person with a smaller share of the box inside the crop becomes a box to ignore."""
MIN_WIDTH, MIN_HEIGHT = 5.0, 10.0
"""A person whose visible part is smaller than this, in pixels, becomes a box to ignore."""
MOSAIC = 0.35
"""Share of crops made of four images."""


class DetectionCrops:
    """Crops of `side` x `side` pixels; item (draw, image) is a random variation of that image, reproducible.

    An item is (crop, people (N, 4), boxes to ignore (M, 4)). The crop is (side, side, 3) uint8, or with `plans_only`
    its plan as tensors.
    """

    def __init__(self, images: Images, side: int, seed: int, *, plans_only: bool = False) -> None:
        self.images, self.side, self.seed, self.plans_only = images, side, seed, plans_only

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, request: tuple[int, int]) -> tuple[Tensor | dict[str, Tensor], Array, Array]:
        draw, index = request
        plan, people, ignore = self.plan(index, np.random.default_rng((self.seed, draw)))
        if self.plans_only:
            return plan_tensors(plan), people, ignore
        return torch.from_numpy(cut_crop(plan, self.images)), people, ignore

    def plan(self, index: int, rng: np.random.Generator) -> tuple[CropPlan, Array, Array]:
        """A random crop of the image, or a mosaic of it and three others."""
        side = self.side
        if rng.random() >= MOSAIC:
            # The short side becomes 110 to 540 pixels, log-uniform; the usual one in a run is 320.
            zoom = math.exp(rng.uniform(math.log(110), math.log(540))) / min(self.images.shapes[index])
            tile, people, ignore = self._cut(index, full_rectangle((side, side)), zoom, rng)
            return CropPlan((side, side), (tile,)), people, ignore
        x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * side)
        rectangles = (0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)
        parts = []
        for i, rectangle in enumerate(rectangles):
            other = index if i == 0 else int(rng.integers(len(self.images)))
            height, width = self.images.shapes[other]
            left, top, right, bottom = rectangle
            min_zoom = max((right - left) / width, (bottom - top) / height)
            parts.append(self._cut(other, rectangle, min_zoom * math.exp(rng.uniform(0, math.log(2.0))), rng))
        plan = CropPlan((side, side), tuple(tile for tile, _, _ in parts))
        people, ignore = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
        return plan, people, ignore

    def _cut(
        self, index: int, rectangle: tuple[int, int, int, int], zoom: float, rng: np.random.Generator
    ) -> tuple[Tile, Array, Array]:
        """Scale the image by `zoom` and cut it to the rectangle, around a random person or anywhere; also its boxes."""
        left, top, right, bottom = rectangle
        size = np.array([right - left, bottom - top])
        people, ignore = self.images.boxes(index)
        stretch = math.exp(rng.uniform(-0.12, 0.12))
        scale = np.array([zoom * stretch, zoom / stretch])
        spare = size - self.images.shapes[index][::-1] * scale
        shift = rng.uniform(size=2) * spare
        if len(people) and rng.random() < 0.7:
            box = people[rng.integers(len(people))].astype(np.float64)
            point = box[:2] + rng.uniform(0.2, 0.8, 2) * (box[2:] - box[:2])
            around_person = rng.uniform(0.2, 0.8, 2) * size - point * scale
            shift = np.where(spare < 0, np.clip(around_person, spare, 0), shift)
        # Half of the strongly shrunk images are shrunk by areas; a tenth of the others look as if taken with fewer pixels.
        level = 0
        if rng.random() < (0.5 if zoom < 0.6 else 0.1):
            level = min(LEVELS - 1, max(1, int(-math.log2(zoom))))
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        flipped = rng.random() < 0.5
        # Pixel centres are at half coordinates, as in cv2.resize; boxes are on pixel edges.
        affine = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
        affine[:, 2] += (scale - 1) / 2
        boxes = [table * np.tile(scale, 2) + np.tile(shift, 2) for table in (people, ignore)]
        if flipped:
            affine[0] = [0, 0, size[0] - 1] - affine[0]
            width = np.array([size[0], 0, size[0], 0])
            boxes = [(width - table[:, [2, 1, 0, 3]]) * [1, -1, 1, -1] for table in boxes]
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
        kept, ignored = visible_boxes(boxes[0], boxes[1], size)
        offset = np.array([left, top, left, top])
        return tile, (kept + offset).astype(np.float32), (ignored + offset).astype(np.float32)


def visible_boxes(people: Array, ignore: Array, size: Array) -> tuple[Array, Array]:
    """Clip boxes to a crop of `size` (width, height): people (N, 4) visible enough, and boxes to ignore (M, 4)."""
    limits = np.tile(size, 2)
    clipped = people.clip(0, limits)
    sides = clipped[:, 2:] - clipped[:, :2]
    areas = (people[:, 2:] - people[:, :2]).prod(axis=1)
    kept = (sides.prod(axis=1) >= MIN_VISIBLE * areas) & (sides >= (MIN_WIDTH, MIN_HEIGHT)).all(axis=1)
    ignored = np.concatenate([clipped[~kept], ignore.clip(0, limits)])
    return clipped[kept], ignored[(ignored[:, 2:] - ignored[:, :2] > 1).all(axis=1)]


def collate(
    items: list[tuple[Tensor | dict[str, Tensor], Array, Array]],
) -> tuple[Tensor | dict[str, Tensor], tuple[Tensor, list[int]], tuple[Tensor, list[int]]]:
    """A batch: crops (N, side, side, 3) uint8 or plans, then people (P, 4) with their count in each crop, then ignored.

    Boxes to ignore have the same form as people.
    """
    crops, people, ignore = zip(*items, strict=True)
    batch = stack(crops) if isinstance(crops[0], dict) else torch.stack(crops)
    boxes = [(torch.from_numpy(np.concatenate(rows)), list(map(len, rows))) for rows in (people, ignore)]
    return batch, boxes[0], boxes[1]
