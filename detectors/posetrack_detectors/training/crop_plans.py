"""Plans of training crops, and two ways to cut them: with OpenCV on the CPU, or a whole batch on the GPU.

Drawing a random plan is cheap and runs on the CPU; cutting the pixels is the work. On a GPU all images are stored as
one flat array of pixels, because they differ in size and `grid_sample` needs a batch. All crops of a batch are sampled
from it in one step.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import Array

TILES = 4
"""Largest number of images in a crop."""
LEVELS = 3
"""Image sizes to cut from: full, half and quarter."""
_UPLOAD_BATCH = 512
"""Images copied to the device at a time."""
_IDENTITY_COLOURS = np.tile(np.arange(256, dtype=np.uint8), (3, 1))


@dataclass(frozen=True)
class Tile:
    """A rectangle of the crop, filled from one image."""

    image: int
    """Its index."""
    affine: Array
    """(2, 3) from pixel centres of the image to those of the tile."""
    rectangle: tuple[int, int, int, int]
    """Left, top, right, bottom in the crop."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """Colour outside the image."""
    colours: Array | None = None
    """(3, 256) uint8 lookup tables for red, green and blue."""
    grey: bool = False
    level: int = 0
    """How often the image is halved before cutting, below `LEVELS`; as if shrunk by areas or taken with fewer pixels."""
    jpeg: int = 0
    """Quality of a JPEG compression after cutting, 0 for none; on the CPU only."""


@dataclass(frozen=True)
class CropPlan:
    """One crop of `size` (width, height): its tiles, and a `patch` (left, top, right, bottom) to paint over."""

    size: tuple[int, int]
    tiles: tuple[Tile, ...]
    patch: tuple[int, int, int, int] = (0, 0, 0, 0)
    patch_colour: tuple[int, int, int] = (0, 0, 0)


def vary_colours(rng: np.random.Generator) -> Array:
    """(3, 256) uint8 lookup tables that change brightness, contrast, gamma and white balance at random."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = rng.uniform(0.6, 1.4) * rng.uniform(0.85, 1.15, 3)
    levels = np.clip((levels - 0.5) * gain + 0.5 + rng.uniform(-0.15, 0.15), 0, 1) ** rng.uniform(0.7, 1.4)
    return np.ascontiguousarray((levels * 255).astype(np.uint8).T)


def cut_crop(plan: CropPlan, images: Images) -> NDArray[np.uint8]:
    """Cut one crop with OpenCV: (height, width, 3) RGB."""
    width, height = plan.size
    crop = np.empty((height, width, 3), dtype=np.uint8)
    for tile in plan.tiles:
        left, top, right, bottom = tile.rectangle
        crop[top:bottom, left:right] = _cut_tile(tile, images)
    left, top, right, bottom = plan.patch
    crop[top:bottom, left:right] = plan.patch_colour
    return crop


def _cut_tile(tile: Tile, images: Images) -> NDArray[np.uint8]:
    left, top, right, bottom = tile.rectangle
    image: Array = images.image(tile.image)
    for _ in range(tile.level):
        image = halved(image)
    affine, size = at_level(tile.affine, tile.level), (right - left, bottom - top)
    out: Array = cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR, borderValue=list(tile.fill))
    if tile.colours is not None:
        out = cv2.LUT(out, np.ascontiguousarray(tile.colours.T)[None])
    if tile.grey:
        out = np.repeat(out.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    if tile.jpeg:
        stored = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, tile.jpeg])[1]
        out = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR))
    return np.asarray(out, dtype=np.uint8)


def halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half the size, sides rounded up: means of 2 x 2 pixels."""
    height, width = image.shape[:2]
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    half = cv2.resize(even, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=np.uint8)


def at_level(affine: Array, level: int) -> Array:
    """Turn an affine map (2, 3) of the full image into one of the image halved `level` times, by pixel centres."""
    zoom = 2.0**level
    return np.asarray(affine @ [[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2], [0, 0, 1]])


def plan_tensors(plan: CropPlan, tiles: int = TILES) -> dict[str, Tensor]:
    """The plan as tensors of fixed shape, to be stacked for `cut_crops`; `tiles` is the largest number of tiles."""
    padded = plan.tiles + plan.tiles[:1] * (tiles - len(plan.tiles))
    inverses = np.empty((tiles, 2, 3))
    for inverse, tile in zip(inverses, padded, strict=True):
        inverse[:] = cv2.invertAffineTransform(at_level(tile.affine, tile.level))
        inverse[:, 2] -= inverse[:, :2] @ tile.rectangle[:2]
    return {
        "images": torch.tensor([tile.image for tile in padded]),
        "levels": torch.tensor([tile.level for tile in padded]),
        "inverses": torch.from_numpy(inverses.astype(np.float32)),
        "split": torch.tensor(plan.tiles[0].rectangle[2:]),
        "fills": torch.tensor([(*tile.fill, 0) for tile in padded], dtype=torch.uint8),
        "colours": torch.from_numpy(
            np.stack([_IDENTITY_COLOURS if tile.colours is None else tile.colours for tile in padded])
        ),
        "grey": torch.tensor([tile.grey for tile in padded]),
        "patch": torch.tensor([*plan.patch, *plan.patch_colour]),
    }


def cut_crops(
    plans: dict[str, Tensor], size: tuple[int, int], pixels: Tensor, starts: Tensor, shapes: Tensor
) -> Tensor:
    """Cut N stacked plans on the device of `pixels`: (N, height, width, 3) uint8.

    Equals `cut_crop` to one or two grey levels (OpenCV rounds coordinates to 1/32 pixel), without JPEG.

    Args:
        plans: Stacked `plan_tensors`.
        size: (width, height) of the crops.
        pixels: (P,) int32, all images at all levels; each number holds the bytes red, green, blue, 0.
        starts: (levels, images) index of each image's first pixel.
        shapes: (levels, images, 2) height and width.
    """
    device = pixels.device
    plans = {name: value.to(device, non_blocking=True) for name, value in plans.items()}
    count, tiles = plans["images"].shape
    y = torch.arange(size[1], device=device).view(1, -1, 1)
    x = torch.arange(size[0], device=device).view(1, 1, -1)
    # For each pixel, its tile's row in the tables of all tiles of the batch.
    tile = torch.arange(count, device=device).view(-1, 1, 1) * tiles
    if tiles > 1:
        split = plans["split"].view(count, 2, 1, 1)
        tile = tile + (y >= split[:, 1]) * 2 + (x >= split[:, 0])
    a = plans["inverses"].flatten(0, 1)[tile]
    source_x = a[..., 0, 0] * x + a[..., 0, 1] * y + a[..., 0, 2]
    source_y = a[..., 1, 0] * x + a[..., 1, 1] * y + a[..., 1, 2]
    source = plans["levels"], plans["images"]
    start, shape = starts[source].flatten()[tile], shapes[source].flatten(0, 1)[tile]
    fill = plans["fills"].view(torch.int32).flatten()[tile]
    crops = _bilinear(pixels, start, shape, source_x, source_y, fill)
    levels = (crops + 0.5).clamp_(0, 255).long()
    levels += tile[..., None] * (3 * 256) + torch.arange(0, 3 * 256, 256, device=device)
    coloured = plans["colours"].flatten()[levels].float()
    grey = plans["grey"].flatten()[tile][..., None]
    coloured = torch.where(grey, coloured.mean(dim=3, keepdim=True).floor(), coloured)
    left, top, right, bottom = plans["patch"][:, :4, None, None].unbind(1)
    hidden = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    colour = plans["patch"][:, None, None, 4:].float()
    return torch.where(hidden[..., None], colour, coloured).to(torch.uint8)


def _bilinear(pixels: Tensor, start: Tensor, shape: Tensor, x: Tensor, y: Tensor, fill: Tensor) -> Tensor:
    """(N, H, W, 3) float: bilinear samples at (x, y), each in its own image."""
    height, width = shape[..., 0], shape[..., 1]
    left, top = x.floor(), y.floor()
    total = torch.zeros(*x.shape, 3, device=pixels.device)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = (left + dx).long(), (top + dy).long()
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            value = torch.where(inside, pixels[torch.where(inside, start + row * width + column, 0)], fill)
            weight = (1 - (x - left - dx).abs()) * (1 - (y - top - dy).abs())
            total += weight[..., None] * value.view(torch.uint8).view(*value.shape, 4)[..., :3]
    return total


class CropCutter:
    """Cuts stacked plans on a device, which holds all images in full, half and quarter size."""

    def __init__(self, images: Images, device: torch.device) -> None:
        shapes = [images.shapes]
        for _ in range(LEVELS - 1):
            shapes.append((shapes[-1] + 1) // 2)
        self._shapes = torch.from_numpy(np.stack(shapes)).to(device)
        lengths = self._shapes.prod(dim=2).flatten()
        self._starts = (lengths.cumsum(0) - lengths).view(self._shapes.shape[:2])
        self._pixels = torch.empty(int(lengths.sum()), dtype=torch.int32, device=device)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for first in range(0, len(images), _UPLOAD_BATCH):
                batch = [images.image(index) for index in range(len(images))[first : first + _UPLOAD_BATCH]]
                for level in range(LEVELS):
                    if level:
                        batch = list(pool.map(halved, batch))
                    packed, start = _packed(batch, device), int(self._starts[level, first])
                    self._pixels[start : start + len(packed)] = packed

    def __call__(self, plans: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """(N, height, width, 3) uint8, see `cut_crops`."""
        return cut_crops(plans, size, self._pixels, self._starts, self._shapes)


def _packed(images: Sequence[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """(P,) int32: all pixels, on the device."""
    colours = torch.from_numpy(np.concatenate([image.reshape(-1, 3) for image in images])).to(device)
    return torch.nn.functional.pad(colours, (0, 1)).view(torch.int32).flatten()


def full_rectangle(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The rectangle of a tile that fills a crop of `size` (width, height)."""
    return 0, 0, size[0], size[1]


def stack(plans: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack the outputs of `plan_tensors` into one batch."""
    return {name: torch.stack([plan[name] for plan in plans]) for name in plans[0]}
