"""`crops.crop_person` for a whole batch on the network's device: every frame is copied there once, as bytes.

OpenCV rounds the sampling places to 1/32 pixel before version 4.11 and not since; this code does not. The crops differ
from those of OpenCV 5 by one grey level at most, and only where a value is halfway between two levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posetrack_detectors.decoding.crops import FloatArray, crop_affine, udp_affine


def crop_people(
    images: Sequence[NDArray[np.uint8]],
    centres: FloatArray,
    scales: FloatArray,
    size: tuple[int, int],
    device: torch.device,
    *,
    udp: bool = False,
) -> Tensor:
    """Crops (N, 3, height, width) of `size` (width, height), uint8, channels last, black outside the frames.

    Person i is in `images[i]` (H, W, 3) at centre and scale i (N, 2). People of one frame share the same array.
    """
    affine = udp_affine if udp else crop_affine
    maps = [
        cv2.invertAffineTransform(np.asarray(affine(centre, scale, 0.0, size), np.float64))
        for centre, scale in zip(centres, scales, strict=True)
    ]
    frames, owners = _upload(images, device)
    return sample(frames, owners, torch.from_numpy(np.array(maps, np.float32)).to(device), size)


def sample(frames: Tensor, owners: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops (N, 3, height, width), uint8, of frames (F, H, W, 3), uint8, by bilinear interpolation.

    Args:
        frames: black where a frame is smaller than the largest one
        owners: (N,) the frame of each crop
        maps: (N, 2, 3) affine maps from pixels of a crop to pixels of its frame
        size: (width, height) of the crops
    """
    _, height, width, _ = frames.shape
    columns = torch.arange(size[0], device=frames.device, dtype=torch.float32)
    rows = torch.arange(size[1], device=frames.device, dtype=torch.float32)
    # Unrotated: x depends on the column only, y on the row only.
    x = maps[:, 0, 0, None] * columns + maps[:, 0, 2, None]
    y = maps[:, 1, 1, None] * rows + maps[:, 1, 2, None]
    left, top = x.floor(), y.floor()
    right_share, bottom_share = (x - left)[:, None, :, None], (y - top)[:, :, None, None]
    first = owners[:, None, None] * (height * width)
    pixels = frames.reshape(-1, 3)

    def at(right: int, down: int) -> Tensor:
        column, row = left + right, top + down
        inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None]
        column, row = column.clamp(0, width - 1).long(), row.clamp(0, height - 1).long()
        cells = first + row[:, :, None] * width + column[:, None]
        return pixels[cells] * inside[..., None]

    upper = torch.lerp(at(0, 0).float(), at(1, 0).float(), right_share)
    lower = torch.lerp(at(0, 1).float(), at(1, 1).float(), right_share)
    crops = torch.lerp(upper, lower, bottom_share).round().to(torch.uint8)
    return crops.permute(0, 3, 1, 2)


def _upload(images: Sequence[NDArray[np.uint8]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Each different image once, as (F, H, W, 3) uint8, and the index of every image among them (N,)."""
    numbers: dict[int, int] = {}
    owners = [numbers.setdefault(id(image), len(numbers)) for image in images]
    different = {id(image): image for image in images}
    height, width = (max(image.shape[axis] for image in different.values()) for axis in (0, 1))
    frames = torch.zeros(len(numbers), height, width, 3, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for target, key in zip(frames, numbers, strict=True):
        image = different[key]
        target[: image.shape[0], : image.shape[1]] = torch.from_numpy(image)
    return frames.to(device, non_blocking=True), torch.tensor(owners).to(device)
