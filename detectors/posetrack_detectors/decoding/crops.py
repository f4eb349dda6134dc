"""A person's box to the network's input and back: the only place where coordinates change frame.

Conventions of the HRNet code: `centre` (x, y) in pixels; `scale` (w, h) in units of 200 pixels, padded by 1.25 and with
the aspect ratio of the input. Only the width of the scale sets the zoom.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

PIXEL_STD = 200.0
PADDING = 1.25


def centre_and_scale(box: FloatArray, aspect: float) -> tuple[FloatArray, FloatArray]:
    """Box (4,) x1 y1 x2 y2 to centre (2,) and scale (2,), float32; `aspect` is the input's width / height."""
    x1, y1, x2, y2 = (float(v) for v in box)
    width, height = x2 - x1, y2 - y1
    centre = np.array([x1 + width * 0.5, y1 + height * 0.5], dtype=np.float32)
    if width > aspect * height:
        height = width / aspect
    elif width < aspect * height:
        width = height * aspect
    scale = np.array([width / PIXEL_STD, height / PIXEL_STD], dtype=np.float32)
    return centre, scale * np.float32(PADDING)


def crop_affine(
    centre: FloatArray,
    scale: FloatArray,
    degrees: float,
    size: tuple[int, int],
    *,
    inverse: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.float64]:
    """(2, 3) affine map from frame pixels to a crop of `size` (width, height), rotated by `degrees`.

    `inverse` gives the map back to the frame; `shift` moves the crop by shares of its scale. Solved from three float32
    points, as in the HRNet code.
    """
    width, height = size
    scale_pixels = scale * PIXEL_STD
    radians = np.pi * degrees / 180
    sin, cos = np.sin(radians), np.cos(radians)
    up = scale_pixels[0] * -0.5
    source = np.zeros((3, 2), dtype=np.float32)
    target = np.zeros((3, 2), dtype=np.float32)
    moved = scale_pixels * np.asarray(shift, dtype=np.float32)
    source[0] = centre + moved
    source[1] = centre + np.array([-up * sin, up * cos]) + moved
    target[0] = width * 0.5, height * 0.5
    target[1] = np.array([width * 0.5, height * 0.5]) + np.array([0, width * -0.5], dtype=np.float32)
    for points in (source, target):
        across = points[0] - points[1]
        points[2] = points[1] + np.array([-across[1], across[0]], dtype=np.float32)
    first, second = (target, source) if inverse else (source, target)
    return np.asarray(cv2.getAffineTransform(first, second), dtype=np.float64)


def apply_affine(points: FloatArray, affine: FloatArray) -> NDArray[np.float64]:
    """Apply a (2, 3) affine map to points (..., 2)."""
    return np.asarray(points @ affine[:, :2].T + affine[:, 2], dtype=np.float64)


def crop_person(
    image: NDArray[np.uint8],
    centre: FloatArray,
    scale: FloatArray,
    size: tuple[int, int],
    degrees: float = 0.0,
    *,
    udp: bool = False,
) -> NDArray[np.uint8]:
    """A (height, width, 3) crop of `size` (width, height), rotated by `degrees`; black outside the frame.

    `udp` is for networks trained with unbiased data processing, see `udp_affine`.
    """
    affine = (udp_affine if udp else crop_affine)(centre, scale, degrees, size)
    return np.asarray(cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def udp_affine(
    centre: FloatArray, scale: FloatArray, degrees: float, size: tuple[int, int]
) -> NDArray[np.float32]:
    """(2, 3) affine map from frame pixels to a crop of `size`, for networks trained with UDP.

    Unbiased data processing measures distances between pixel centres, so a crop spans `size - 1` units (Huang et al.,
    CVPR 2020).
    """
    width, height = scale * np.float32(PIXEL_STD)
    radians = np.deg2rad(degrees)
    sin, cos = np.sin(radians), np.cos(radians)
    zoom_x, zoom_y = (size[0] - 1) / width, (size[1] - 1) / height
    x, y = centre
    affine = np.zeros((2, 3), dtype=np.float32)
    affine[0] = cos * zoom_x, -sin * zoom_x, zoom_x * (-x * cos + y * sin + 0.5 * width)
    affine[1] = sin * zoom_y, cos * zoom_y, zoom_y * (-x * sin - y * cos + 0.5 * height)
    return affine


def to_frame(
    points: FloatArray, centres: FloatArray, scales: FloatArray, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Points (N, K, 2) in unrotated crops of `size` at centres and scales (N, 2) to pixels of the frame.

    A crop's `size` spans its whole scale. That holds with UDP too: its decoders stretch their output to it.
    """
    shares = points / np.array(size) - 0.5
    return np.asarray(centres[:, None] + shares * (scales * np.float32(PIXEL_STD))[:, None], dtype=np.float64)
