"""A training crop as a plan, and two ways to cut it: with OpenCV on the CPU, or a batch at once where the pixels are.

The plan is drawn at random on the CPU, which is cheap; the pixels are the work. On a GPU all pictures lie on the
card as one row of bytes (they differ in size, so they are no batch for `grid_sample`), and every pixel of a batch
of crops is gathered from its four neighbours there in one step.
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

from posetrack_detectors.training.labels import Array
from posetrack_detectors.training.pictures import Pictures

TILES = 4
"""Most pictures a crop is made of."""
LEVELS = 3
"""A picture and its halves: whole, half and quarter size."""
_TOGETHER = 512
"""Pictures brought to the device at a time."""
_SAME_COLOURS = np.tile(np.arange(256, dtype=np.uint8), (3, 1))


@dataclass(frozen=True)
class Tile:
    """A rectangle of the crop that shows one picture."""

    picture: int
    affine: Array
    """(2, 3) from pixel centres of the picture to those of the tile."""
    rectangle: tuple[int, int, int, int]
    """left, top, right, bottom in the crop."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """Colour beside the picture."""
    colours: Array | None = None
    """(3, 256) uint8: what each level of red, green, blue becomes."""
    grey: bool = False
    level: int = 0
    """Cut from the picture halved so often (below `LEVELS`): shrunk by areas, or as of a camera with fewer pixels."""
    jpeg: int = 0
    """Quality of a JPEG that it once was, 0 is none; on the CPU only."""


@dataclass(frozen=True)
class CropPlan:
    """How to make one crop of `size` (width, height): its tiles, and a `patch` left, top, right, bottom to hide."""

    size: tuple[int, int]
    tiles: tuple[Tile, ...]
    patch: tuple[int, int, int, int] = (0, 0, 0, 0)
    patch_colour: tuple[int, int, int] = (0, 0, 0)


def vary_colours(rng: np.random.Generator) -> Array:
    """(3, 256) uint8: brightness, contrast, gamma and white balance changed at random."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = rng.uniform(0.6, 1.4) * rng.uniform(0.85, 1.15, 3)
    levels = np.clip((levels - 0.5) * gain + 0.5 + rng.uniform(-0.15, 0.15), 0, 1) ** rng.uniform(0.7, 1.4)
    return np.ascontiguousarray((levels * 255).astype(np.uint8).T)


def cut_crop(plan: CropPlan, pictures: Pictures) -> NDArray[np.uint8]:
    """(height, width, 3) RGB, by OpenCV."""
    width, height = plan.size
    crop = np.empty((height, width, 3), dtype=np.uint8)
    for tile in plan.tiles:
        left, top, right, bottom = tile.rectangle
        crop[top:bottom, left:right] = _cut_tile(tile, pictures)
    left, top, right, bottom = plan.patch
    crop[top:bottom, left:right] = plan.patch_colour
    return crop


def _cut_tile(tile: Tile, pictures: Pictures) -> NDArray[np.uint8]:
    left, top, right, bottom = tile.rectangle
    image: Array = pictures.image(tile.picture)
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
    """Half the size, sides rounded up: means of two by two pixels."""
    height, width = image.shape[:2]
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    half = cv2.resize(even, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=np.uint8)


def at_level(affine: Array, level: int) -> Array:
    """(2, 3) `affine` from pixel centres of the picture as one from those of the picture halved `level` times."""
    zoom = 2.0**level
    return np.asarray(affine @ [[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2], [0, 0, 1]])


def plan_tensors(plan: CropPlan, tiles: int = TILES) -> dict[str, Tensor]:
    """The plan as tensors of a fixed shape, to be stacked to a batch for `cut_crops`; `tiles` is the most it may have."""
    many = plan.tiles + plan.tiles[:1] * (tiles - len(plan.tiles))
    inverses = np.empty((tiles, 2, 3))
    for inverse, tile in zip(inverses, many, strict=True):
        inverse[:] = cv2.invertAffineTransform(at_level(tile.affine, tile.level))
        inverse[:, 2] -= inverse[:, :2] @ tile.rectangle[:2]
    return {
        "pictures": torch.tensor([tile.picture for tile in many]),
        "levels": torch.tensor([tile.level for tile in many]),
        "inverses": torch.from_numpy(inverses.astype(np.float32)),
        "split": torch.tensor(plan.tiles[0].rectangle[2:]),
        "fills": torch.tensor([(*tile.fill, 0) for tile in many], dtype=torch.uint8),
        "colours": torch.from_numpy(
            np.stack([_SAME_COLOURS if tile.colours is None else tile.colours for tile in many])
        ),
        "grey": torch.tensor([tile.grey for tile in many]),
        "patch": torch.tensor([*plan.patch, *plan.patch_colour]),
    }


def cut_crops(
    plans: dict[str, Tensor], size: tuple[int, int], pixels: Tensor, starts: Tensor, shapes: Tensor
) -> Tensor:
    """(N, height, width, 3) uint8 of N stacked plans, cut where `pixels` are.

    `pixels` (P,) int32 hold all pictures at all levels, a pixel in one number as its bytes red, green, blue, 0; picture i
    at level l lies from `starts[l, i]` on with `shapes[l, i]` = (height, width). Equal to `cut_crop` to a grey level or two
    (OpenCV rounds places to 1/32 pixel), without JPEG.
    """
    device = pixels.device
    plans = {name: value.to(device, non_blocking=True) for name, value in plans.items()}
    count, tiles = plans["pictures"].shape
    y = torch.arange(size[1], device=device).view(1, -1, 1)
    x = torch.arange(size[0], device=device).view(1, 1, -1)
    # Which row of the tables of all tiles of the batch each pixel goes by.
    tile = torch.arange(count, device=device).view(-1, 1, 1) * tiles
    if tiles > 1:
        split = plans["split"].view(count, 2, 1, 1)
        tile = tile + (y >= split[:, 1]) * 2 + (x >= split[:, 0])
    a = plans["inverses"].flatten(0, 1)[tile]
    source_x = a[..., 0, 0] * x + a[..., 0, 1] * y + a[..., 0, 2]
    source_y = a[..., 1, 0] * x + a[..., 1, 1] * y + a[..., 1, 2]
    which = plans["levels"], plans["pictures"]
    start, shape = starts[which].flatten()[tile], shapes[which].flatten(0, 1)[tile]
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
    """(N, H, W, 3) float between the four pixels around (x, y) of each place's own picture."""
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
    """Crops (N, height, width, 3) uint8 on the device of stacked plans; holds all pictures and their halves there."""

    def __init__(self, pictures: Pictures, device: torch.device) -> None:
        shapes = [pictures.shapes]
        for _ in range(LEVELS - 1):
            shapes.append((shapes[-1] + 1) // 2)
        self._shapes = torch.from_numpy(np.stack(shapes)).to(device)
        lengths = self._shapes.prod(dim=2).flatten()
        self._starts = (lengths.cumsum(0) - lengths).view(self._shapes.shape[:2])
        self._pixels = torch.empty(int(lengths.sum()), dtype=torch.int32, device=device)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for first in range(0, len(pictures), _TOGETHER):
                images = [pictures.image(index) for index in range(len(pictures))[first : first + _TOGETHER]]
                for level in range(LEVELS):
                    if level:
                        images = list(pool.map(halved, images))
                    packed, start = _packed(images, device), int(self._starts[level, first])
                    self._pixels[start : start + len(packed)] = packed

    def __call__(self, plans: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """See `cut_crops`."""
        return cut_crops(plans, size, self._pixels, self._starts, self._shapes)


def _packed(images: Sequence[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """(P,) int32 of all pixels, on the device."""
    colours = torch.from_numpy(np.concatenate([image.reshape(-1, 3) for image in images])).to(device)
    return torch.nn.functional.pad(colours, (0, 1)).view(torch.int32).flatten()


def whole(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The rectangle of the only tile."""
    return 0, 0, size[0], size[1]


def stack(plans: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Plans of `plan_tensors` as one batch."""
    return {name: torch.stack([plan[name] for plan in plans]) for name in plans[0]}
