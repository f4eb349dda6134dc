"""Sub-cell decoding of heatmaps as in mmpose: DARK and UDP.

Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020 (DARK); Huang et al.,
"The Devil Is in the Details: Delving Into Unbiased Data Processing", CVPR 2020 (UDP). All decoders take heatmaps
(N, K, H, W) and return keypoints (N, K, 2) in pixels of the network's input, and scores (N, K).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_detectors.decoding.heatmaps import find_peaks

FloatArray = NDArray[np.floating[Any]]
Decoded = tuple[FloatArray, FloatArray]

OFFSET_REACH = 0.0546875
"""Unit of UDP offsets, as a share of the heatmap's height."""


def decode_dark(heatmaps: FloatArray, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """The peak of a Gaussian fitted to the smoothed heatmap, by one Newton step.

    `kernel` is the size of the smoothing in cells; mmpose takes 11, or 17 for a large sigma. Peaks on the two outer
    rings of cells stay where they are.
    """
    cells, heights = find_positive_peaks(heatmaps)
    return _fit_gaussians(_smooth_all(heatmaps, kernel), cells) * cell_size(heatmaps, size), heights


def decode_dark_smoothed(heatmaps: FloatArray, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """As `decode_dark`, but searches the peak in the smoothed heatmap; mmpose searches the original one.

    An uncertain network draws several low bumps. The widest bump is then a better choice than the highest single cell.
    Used for the networks trained here; numbers are in the model card.
    """
    smoothed = _smooth_all(heatmaps, kernel)
    cells, heights = find_positive_peaks(smoothed)
    return _fit_gaussians(smoothed, cells) * cell_size(heatmaps, size), heights


def _smooth_all(heatmaps: FloatArray, kernel: int) -> NDArray[np.float32]:
    return np.array([smooth(maps, kernel) for maps in heatmaps], dtype=np.float32).reshape(heatmaps.shape)


def _fit_gaussians(smoothed: FloatArray, cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move the cells (N, K, 2) by one Newton step on the logarithms; cells on the two outer rings stay."""
    rows, columns = smoothed.shape[2:]
    x, y = cells[..., 0].astype(np.int64), cells[..., 1].astype(np.int64)
    n, k = np.nonzero((x > 1) & (x < columns - 2) & (y > 1) & (y < rows - 2))
    x, y = x[n, k], y[n, k]

    def at(right: int, down: int) -> FloatArray:
        return np.asarray(np.log(np.maximum(smoothed[n, k, y + down, x + right], 1e-10)))

    centre = at(0, 0)
    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    dxx = 0.25 * (at(2, 0) - 2 * centre + at(-2, 0))
    dyy = 0.25 * (at(0, 2) - 2 * centre + at(0, -2))
    dxy = 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1))
    determinant = dxx * dyy - dxy**2
    curved = determinant != 0
    step = np.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], axis=1)[curved]
    moved = cells.copy()
    moved[n[curved], k[curved]] -= step / determinant[curved, None]
    return moved


def decode_udp(heatmaps: FloatArray, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """As `decode_dark`, on smoothed heatmaps clipped to 0.001..50; the centres of the outer cells span `size` pixels."""
    cells, heights = find_positive_peaks(heatmaps)
    people, keypoints, rows, columns = heatmaps.shape
    width = columns + 2
    joint_start = width * (rows + 2) * np.arange(keypoints)
    for n in range(people):
        logs = np.log(np.clip(smooth(heatmaps[n], kernel), 1e-3, 50.0))
        flat = np.pad(logs, ((0, 0), (1, 1), (1, 1)), mode="edge").ravel()
        at = (cells[n, :, 0] + 1 + (cells[n, :, 1] + 1) * width + joint_start).astype(np.int64)
        centre, right, left = flat[at], flat[at + 1], flat[at - 1]
        below, above = flat[at + width], flat[at - width]
        dx, dy = 0.5 * (right - left), 0.5 * (below - above)
        dxx, dyy = right - 2 * centre + left, below - 2 * centre + above
        diagonals = flat[at + width + 1] + flat[at - width - 1]
        dxy = 0.5 * (diagonals - right - below + 2 * centre - left - above)
        hessian = np.stack([dxx, dxy, dxy, dyy], axis=1).reshape(keypoints, 2, 2)
        inverse = np.linalg.inv(hessian + np.finfo(np.float32).eps * np.eye(2))
        cells[n] -= np.einsum("kij,kj->ki", inverse, np.stack([dx, dy], axis=1))
    return _udp_pixels(cells, heatmaps, size), heights


def decode_udp_offsets(outputs: FloatArray, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """The peak plus the offset there; outputs (N, 3K, H, W) hold a heatmap and x and y offsets for each keypoint."""
    people, _, rows, columns = outputs.shape
    maps = outputs.astype(np.float32).reshape(people, -1, 3, rows, columns)
    heatmaps = np.empty_like(maps[:, :, 0])
    offsets = np.empty_like(maps[:, :, 1:])
    for n, k in np.ndindex(*heatmaps.shape[:2]):
        heatmaps[n, k] = cv2.GaussianBlur(maps[n, k, 0], (2 * kernel + 1, 2 * kernel + 1), 0)
        for axis in (0, 1):
            offsets[n, k, axis] = cv2.GaussianBlur(maps[n, k, axis + 1], (kernel, kernel), 0)
    cells, heights = find_positive_peaks(heatmaps)
    x, y = cells[..., 0].astype(np.int64), cells[..., 1].astype(np.int64)
    person, joint = np.ogrid[: heatmaps.shape[0], : heatmaps.shape[1]]
    cells += offsets[person, joint, :, y, x] * (OFFSET_REACH * rows)
    return _udp_pixels(cells, outputs, size), heights


def smooth(heatmaps: FloatArray, kernel: int) -> NDArray[np.float32]:
    """Blur (K, H, W) by a Gaussian of `kernel` cells, zero outside, and rescale each map to its previous maximum."""
    border = (kernel - 1) // 2
    around = ((border, border), (border, border), (0, 0))
    padded = np.pad(np.asarray(heatmaps, dtype=np.float32).transpose(1, 2, 0), around)
    blurred = np.asarray(cv2.GaussianBlur(padded, (kernel, kernel), 0)).reshape(padded.shape)
    blurred = blurred[border:-border, border:-border].transpose(2, 0, 1)
    highest = blurred.max(axis=(1, 2), keepdims=True)
    scale = heatmaps.max(axis=(1, 2), keepdims=True) / np.where(highest != 0, highest, 1)
    return np.asarray(blurred * np.where(highest != 0, scale, 1), dtype=np.float32)


def find_positive_peaks(heatmaps: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `heatmaps.find_peaks`, but (-1, -1) where the height is not positive."""
    cells, heights = find_peaks(heatmaps)
    cells[heights <= 0] = -1
    return cells, heights


def cell_size(heatmaps: FloatArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """(width, height) of a heatmap cell in pixels of an input of `size` (width, height)."""
    rows, columns = heatmaps.shape[2:]
    return np.array([size[0] / columns, size[1] / rows], dtype=np.float32)


def _udp_pixels(cells: FloatArray, heatmaps: FloatArray, size: tuple[int, int]) -> NDArray[np.float64]:
    rows, columns = heatmaps.shape[2:]
    return np.asarray(cells / np.array([columns - 1, rows - 1]) * np.array(size), dtype=np.float64)
