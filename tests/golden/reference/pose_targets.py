"""Target heatmaps, losses and accuracy of the HRNet code and mmpose; training here has its own in `pose_task`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from posetrack_detectors.decoding.heatmaps import find_peaks
from torch import Tensor

FloatArray = NDArray[np.floating[Any]]


def gaussian_targets(
    keypoints: FloatArray,
    visible: FloatArray,
    size: tuple[int, int],
    input_size: tuple[int, int],
    sigma: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gaussians of `sigma` cells, centred on the nearest cell and cut off at 3 sigma.

    Returns heatmaps (K, H, W) of `size` (width, height) and weights (K,). A weight is 0 if the keypoint is not visible or
    its Gaussian is outside, else `visible`.

    Args:
        keypoints: (K, 2) in pixels of the input.
        visible: (K,).
        size: (width, height) of the heatmaps.
        input_size: (width, height) of the input.
        sigma: In cells.
    """
    stride = np.array(input_size) / np.array(size)
    centres = (keypoints / stride + 0.5).astype(np.int64)  # truncates towards 0, as the HRNet code does
    return _draw(centres, centres, visible, size, sigma, cut=True)


def dark_targets(
    keypoints: FloatArray,
    visible: FloatArray,
    size: tuple[int, int],
    input_size: tuple[int, int],
    sigma: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `gaussian_targets`, but centred on the keypoint itself and not cut off (Zhang et al., CVPR 2020)."""
    centres = keypoints / (np.array(input_size) / np.array(size)).astype(np.float32)
    return _draw(centres, centres, visible, size, sigma, cut=False)


def udp_targets(
    keypoints: FloatArray,
    visible: FloatArray,
    size: tuple[int, int],
    input_size: tuple[int, int],
    sigma: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `gaussian_targets`, but centred on the keypoint; cells span `size - 1` (Huang et al., CVPR 2020)."""
    stride = ((np.array(input_size) - 1.0) / (np.array(size) - 1.0)).astype(np.float32)
    centres = keypoints / stride
    return _draw(centres, (centres + 0.5).astype(np.int64), visible, size, sigma, cut=True)


def mse_loss(output: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Half the mean squared error of heatmaps (N, K, H, W); `weights` (N, K, 1) scale both."""
    return _half_squares(output, target, weights).mean()


def hard_keypoint_loss(
    output: Tensor, target: Tensor, weights: Tensor | None = None, hardest: int = 8
) -> Tensor:
    """`mse_loss` over each person's `hardest` keypoints (OHKM, Chen et al., CVPR 2018)."""
    return torch.topk(_half_squares(output, target, weights), hardest, dim=1).values.mean()


def keypoint_accuracy(
    output: FloatArray, target: FloatArray, threshold: float = 0.5
) -> tuple[NDArray[np.float64], float, int]:
    """Share of peaks within `threshold` tenths of the sides: per keypoint (K,), the mean, and the number of keypoints.

    A keypoint without a peak in any target (N, K, H, W) has -1 and is left out of mean and number; a peak in the first
    two rows or columns counts as none.
    """
    rows, columns = output.shape[2:]
    unit = np.array([rows, columns]) / 10  # x by rows, y by columns: the order of the HRNet code
    found, expected = find_peaks(output)[0], find_peaks(target)[0]
    has_peak = (expected > 1).all(axis=2)
    near = np.linalg.norm(found / unit - expected / unit, axis=2) < threshold
    counts = has_peak.sum(axis=0)
    shares = np.where(counts > 0, (near & has_peak).sum(axis=0) / np.maximum(counts, 1), -1.0)
    known = shares[shares >= 0]
    return shares, float(known.mean()) if len(known) else 0.0, len(known)


def flip_keypoints(keypoints: FloatArray, width: int, mirrored: tuple[int, ...]) -> FloatArray:
    """Keypoints (..., K, 2) of an image `width` pixels wide after a horizontal flip."""
    flipped = keypoints[..., list(mirrored), :].copy()
    flipped[..., 0] = width - flipped[..., 0] - 1
    return flipped


def _draw(
    centres: FloatArray | NDArray[np.int64],
    cells: FloatArray | NDArray[np.int64],
    visible: FloatArray,
    size: tuple[int, int],
    sigma: float,
    cut: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    width, height = size
    reach = 3 * sigma
    inside = (cells - reach < [width, height]).all(axis=1) & (cells + reach + 1 >= 0).all(axis=1)
    weights = np.where(inside, visible, 0).astype(np.float32)
    heatmaps = np.zeros((len(centres), height, width), dtype=np.float32)
    rows, columns = np.arange(height), np.arange(width)
    for k in np.flatnonzero(weights > 0.5):
        x, y = centres[k]
        squares = (columns - x) ** 2 + (rows[:, None] - y) ** 2
        heatmaps[k] = np.exp(-squares / (2 * sigma**2))
        if cut:
            near_x, near_y = np.abs(columns - cells[k, 0]) <= reach, np.abs(rows - cells[k, 1]) <= reach
            heatmaps[k] *= near_x & near_y[:, None]
    return heatmaps, weights


def _half_squares(output: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """(N, K) half the mean squared error of each heatmap."""
    if weights is not None:
        output, target = output * weights[..., None], target * weights[..., None]
    return 0.5 * (output - target).square().mean(dim=(2, 3))
