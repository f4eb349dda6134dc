"""Pictures for training the person detector: cut to a square, scaled, mirrored, recoloured, mixed."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from training_data import PictureStore, vary_colours

Array = NDArray[Any]
VISIBLE = 0.3
"""A person of whom less than this share is left inside the crop becomes a box to ignore."""
LEAST_SIDES = 5.0, 10.0
"""So does one narrower or lower than this."""


class DetectionCrops:
    """Squares of `side` pixels; item (draw, picture) is a repeatable variation of that picture.

    `(image (side, side, 3) uint8, people (N, 4), boxes to ignore (M, 4))`. With `vary` off the picture is only made
    to fit, for tests of learning by heart.
    """

    def __init__(
        self, store: PictureStore, side: int, seed: int, *, mosaic: float = 0.35, vary: bool = True
    ) -> None:
        self.store, self.side, self.seed, self.mosaic, self.vary = store, side, seed, mosaic, vary
        self.ids = [picture["id"] for picture in store.pictures]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, request: tuple[int, int]) -> tuple[Array, Array, Array]:
        draw, index = request
        rng = np.random.default_rng((self.seed, draw))
        side = self.side
        if not self.vary:
            height, width = self.store.image(self.ids[index]).shape[:2]
            return self._cut(self.ids[index], side, side, side / max(width, height), rng)
        if rng.random() >= self.mosaic:
            # Long tail towards small: the short side becomes 110 to 540 pixels where 384 is usual.
            zoom = math.exp(rng.uniform(math.log(110), math.log(540))) / min(self._shape(index))
            return self._cut(self.ids[index], side, side, zoom, rng)
        x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * side)
        image = np.empty((side, side, 3), dtype=np.uint8)
        people, ignore = [], []
        for i, (left, top, right, bottom) in enumerate(
            ((0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side))
        ):
            other = index if i == 0 else int(rng.integers(len(self.ids)))
            height, width = self._shape(other)
            least = max((right - left) / width, (bottom - top) / height)
            zoom = least * math.exp(rng.uniform(0, math.log(2.0)))
            tile, boxes, hidden = self._cut(self.ids[other], right - left, bottom - top, zoom, rng)
            image[top:bottom, left:right] = tile
            offset = np.array([left, top, left, top], dtype=np.float32)
            people.append(boxes + offset)
            ignore.append(hidden + offset)
        return image, np.concatenate(people), np.concatenate(ignore)

    def _shape(self, index: int) -> tuple[int, int]:
        height, width = self.store.image(self.ids[index]).shape[:2]
        return height, width

    def _cut(
        self, picture: int, width: int, height: int, zoom: float, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """The picture scaled by `zoom`, cut to (height, width) around a person or anywhere; boxes moved along."""
        image = self.store.image(picture)
        people, ignore = self.store.boxes(picture)
        stretch = math.exp(rng.uniform(-0.12, 0.12)) if self.vary else 1.0
        scale = np.array([zoom * stretch, zoom / stretch])
        full = np.array(image.shape[1::-1]) * scale
        room = np.array([width, height]) - full
        shift = rng.uniform(size=2) * room if self.vary else np.zeros(2)
        if len(people) and self.vary and rng.random() < 0.7:
            box = people[rng.integers(len(people))].astype(np.float64)
            point = box[:2] + rng.uniform(0.2, 0.8, 2) * (box[2:] - box[:2])
            wanted = rng.uniform(0.2, 0.8, 2) * (width, height) - point * scale
            shift = np.where(room < 0, np.clip(wanted, room, 0), shift)
        affine = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
        # Pixel centres lie at half coordinates, as cv2.resize counts; boxes lie on pixel edges.
        warp = affine.copy()
        warp[:, 2] += (scale - 1) / 2
        source = image
        if zoom < 0.6 and rng.random() < 0.5:
            small = np.maximum(np.rint(full).astype(int), 1)
            source = cv2.resize(image, (int(small[0]), int(small[1])), interpolation=cv2.INTER_AREA)
            warp = np.array([[1.0, 0, shift[0]], [0, 1.0, shift[1]]])
        fill = [int(v) for v in rng.integers(0, 256, 3)]
        crop = cv2.warpAffine(source, warp, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)
        tables = [boxes * np.tile(scale, 2) + np.tile(shift, 2) for boxes in (people, ignore)]
        if self.vary:
            if rng.random() < 0.5:
                crop = np.ascontiguousarray(crop[:, ::-1])
                tables = [
                    (np.array([width, 0, width, 0]) - t[:, [2, 1, 0, 3]]) * [1, -1, 1, -1] for t in tables
                ]
            crop = self._recolour(crop, rng)
        limits = np.array([width, height, width, height])
        clipped = [t.clip(0, limits) for t in tables]
        left = clipped[0][:, 2:] - clipped[0][:, :2]
        whole = (tables[0][:, 2:] - tables[0][:, :2]).prod(axis=1)
        kept = (left.prod(axis=1) >= VISIBLE * whole) & (left >= LEAST_SIDES).all(axis=1)
        hidden = np.concatenate([clipped[0][~kept], clipped[1]])
        hidden = hidden[(hidden[:, 2:] - hidden[:, :2] > 1).all(axis=1)]
        return np.asarray(crop), clipped[0][kept].astype(np.float32), hidden.astype(np.float32)

    @staticmethod
    def _recolour(crop: Array, rng: np.random.Generator) -> Array:
        if rng.random() < 0.8:
            crop = vary_colours(crop, rng)
        if rng.random() < 0.05:
            crop = np.repeat(crop.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
        if rng.random() < 0.1:
            crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.2))
        if rng.random() < 0.15:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
            crop = cv2.imdecode(cv2.imencode(".jpg", crop, quality)[1], cv2.IMREAD_COLOR)
        return crop


def collate(items: list[tuple[Array, Array, Array]]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """A batch: pictures (N, side, side, 3) uint8, people and boxes to ignore of each."""
    images, people, ignore = zip(*items, strict=True)
    pictures = torch.from_numpy(np.stack(images))
    return pictures, [torch.from_numpy(b) for b in people], [torch.from_numpy(b) for b in ignore]
