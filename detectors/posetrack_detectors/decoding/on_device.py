"""The decoders of `heatmaps` and `dark_udp` for a whole batch on the network's device, without a copy to the host.

Each function is the counterpart of the NumPy one with the same name and gives the same keypoints to 1e-4 pixels of the
network's input, where the heatmap is curved enough to have a peak. The NumPy ones stay for the CPU, where they are
faster, and hold the reference numbers. All take heatmaps (N, K, H, W) as float32 tensors; nothing here waits for the
device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor

from posetrack_detectors.decoding.dark_udp import OFFSET_REACH

Decoded = tuple[Tensor, Tensor]
Decoder = Callable[[Tensor, tuple[int, int], int], Decoded]
"""Heatmaps, (width, height) of the crops, kernel -> keypoints (N, K, 2) in pixels of the crop, heights (N, K)."""


def find_peaks(heatmaps: Tensor) -> Decoded:
    """Highest cells (N, K, 2) x y and their heights (N, K); (0, 0) where height <= 0."""
    width = heatmaps.shape[3]
    heights, best = heatmaps.flatten(2).max(dim=2)
    cells = torch.stack([best % width, best // width], dim=2).float()
    return cells * (heights > 0)[..., None], heights


def find_positive_peaks(heatmaps: Tensor) -> Decoded:
    """As `find_peaks`, but (-1, -1) where the height is not positive."""
    cells, heights = find_peaks(heatmaps)
    return torch.where((heights > 0)[..., None], cells, -1.0), heights


def decode_quarter(heatmaps: Tensor, size: tuple[int, int], _kernel: int = 0) -> Decoded:
    """The highest cell, moved by a quarter of a cell towards its higher neighbour on each axis."""
    height, width = heatmaps.shape[2:]
    cells, heights = find_peaks(heatmaps)
    x, y = cells[..., 0].long(), cells[..., 1].long()
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    step_x = torch.sign(_at(heatmaps, x + 1, y) - _at(heatmaps, x - 1, y))
    step_y = torch.sign(_at(heatmaps, x, y + 1) - _at(heatmaps, x, y - 1))
    cells = cells + torch.stack([step_x, step_y], dim=2) * (0.25 * inside)[..., None]
    return _cells_to_pixels(cells, heatmaps, size), heights


def decode_dark(heatmaps: Tensor, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """The peak of a Gaussian fitted to the smoothed heatmap, by one Newton step."""
    cells, heights = find_positive_peaks(heatmaps)
    return _cells_to_pixels(_fit_gaussians(smooth(heatmaps, kernel), cells), heatmaps, size), heights


def decode_dark_smoothed(heatmaps: Tensor, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """As `decode_dark`, but searches the peak in the smoothed heatmap."""
    smoothed = smooth(heatmaps, kernel)
    cells, heights = find_positive_peaks(smoothed)
    return _cells_to_pixels(_fit_gaussians(smoothed, cells), heatmaps, size), heights


def _fit_gaussians(smoothed: Tensor, cells: Tensor) -> Tensor:
    """Move the cells (N, K, 2) by one Newton step on the logarithms; cells on the two outer rings stay."""
    rows, columns = smoothed.shape[2:]
    x, y = cells[..., 0].long(), cells[..., 1].long()
    inside = (x > 1) & (x < columns - 2) & (y > 1) & (y < rows - 2)

    def at(right: int, down: int) -> Tensor:
        return torch.log(_at(smoothed, x + right, y + down).clamp(min=1e-10))

    centre = at(0, 0)
    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    dxx = 0.25 * (at(2, 0) - 2 * centre + at(-2, 0))
    dyy = 0.25 * (at(0, 2) - 2 * centre + at(0, -2))
    dxy = 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1))
    determinant = dxx * dyy - dxy**2
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=2)
    moves = inside & (determinant != 0)
    return torch.where(moves[..., None], cells - step / determinant[..., None], cells)


def decode_udp(heatmaps: Tensor, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """As `decode_dark`, on smoothed heatmaps clipped to 0.001..50; the centres of the outer cells span `size` pixels."""
    cells, heights = find_positive_peaks(heatmaps)
    logs = torch.log(smooth(heatmaps, kernel).clamp(1e-3, 50.0))
    x, y = cells[..., 0].long(), cells[..., 1].long()
    centre, right, left = _at(logs, x, y), _at(logs, x + 1, y), _at(logs, x - 1, y)
    below, above = _at(logs, x, y + 1), _at(logs, x, y - 1)
    dx, dy = 0.5 * (right - left), 0.5 * (below - above)
    epsilon = torch.finfo(torch.float32).eps
    dxx, dyy = right - 2 * centre + left + epsilon, below - 2 * centre + above + epsilon
    diagonals = _at(logs, x + 1, y + 1) + _at(logs, x - 1, y - 1)
    dxy = 0.5 * (diagonals - right - below + 2 * centre - left - above)
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=2)
    cells = cells - step / (dxx * dyy - dxy**2)[..., None]
    return _udp_pixels(cells, heatmaps, size), heights


def decode_udp_offsets(outputs: Tensor, size: tuple[int, int], kernel: int = 11) -> Decoded:
    """The peak plus the offset there; outputs (N, 3K, H, W) hold a heatmap and x and y offsets for each keypoint."""
    rows = outputs.shape[2]
    maps = outputs.reshape(len(outputs), -1, 3, *outputs.shape[2:])
    heatmaps = _blur(maps[:, :, 0], 2 * kernel + 1, reflect=True)
    offsets = _blur(maps[:, :, 1:], kernel, reflect=True)
    cells, heights = find_positive_peaks(heatmaps)
    x, y = cells[..., 0].long(), cells[..., 1].long()
    there = torch.stack([_at(offsets[:, :, 0], x, y), _at(offsets[:, :, 1], x, y)], dim=2)
    return _udp_pixels(cells + there * (OFFSET_REACH * rows), outputs, size), heights


def smooth(heatmaps: Tensor, kernel: int) -> Tensor:
    """Blur by a Gaussian of `kernel` cells, zero outside, and rescale each map to its previous maximum."""
    blurred = _blur(heatmaps, kernel, reflect=False)
    highest = blurred.amax(dim=(2, 3), keepdim=True)
    scale = heatmaps.amax(dim=(2, 3), keepdim=True) / torch.where(highest != 0, highest, 1.0)
    return blurred * torch.where(highest != 0, scale, 1.0)


def flip_back(heatmaps: Tensor, mirrored: tuple[int, ...], *, shift: float = 1.0) -> Tensor:
    """Undo the flip in heatmaps of flipped crops, then shift them to the right by `shift` columns, 0 to 1."""
    unflipped = torch.stack([heatmaps[:, keypoint] for keypoint in mirrored], dim=1).flip(3)
    if not shift:
        return unflipped
    moved = torch.cat([unflipped[..., :1], unflipped[..., :-1]], dim=3)
    return moved if shift == 1 else unflipped * (1 - shift) + moved * shift


def flip_back_offsets(outputs: Tensor, mirrored: tuple[int, ...]) -> Tensor:
    """As `flip_back` without shift, for UDP outputs (N, 3K, H, W): x offsets also change sign."""
    triples = tuple(3 * keypoint + part for keypoint in mirrored for part in range(3))
    unflipped = flip_back(outputs, triples, shift=0).reshape(len(outputs), -1, 3, *outputs.shape[2:])
    return torch.cat([unflipped[:, :, :1], -unflipped[:, :, 1:2], unflipped[:, :, 2:]], dim=2).flatten(1, 2)


def pool_features(features: Tensor, points: Tensor, heights: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, D) mean of features (N, D, H, W) at points (N, K, 2) of crops of `size`, weighted by their heights (N, K).

    A point on the border of two cells may take the other cell than NumPy, which computes it in pixels of the frame.
    """
    rows, columns = features.shape[2:]
    x = (points[..., 0] * (columns / size[0])).long().clamp(0, columns - 1)
    y = (points[..., 1] * (rows / size[1])).long().clamp(0, rows - 1)
    index = (y * columns + x)[:, None].expand(-1, features.shape[1], -1)
    weights = heights.clamp(min=1e-3)[:, None]
    return (features.flatten(2).gather(2, index) * weights).sum(dim=2) / weights.sum(dim=2)


def _at(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values (N, K) of maps (N, K, H, W) at cells x, y (N, K); the border repeats outside."""
    height, width = maps.shape[2:]
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    return maps.flatten(2).gather(2, index[..., None])[..., 0]


def _blur(maps: Tensor, kernel: int, *, reflect: bool) -> Tensor:
    """OpenCV's Gaussian blur of (..., H, W), as two matrix products: exact in float32, where a convolution may use TF32."""
    height, width = maps.shape[-2:]
    down, across = (_blur_matrix(side, kernel, reflect, str(maps.device)) for side in (height, width))
    return down @ maps.contiguous() @ across.T


@cache
def _blur_matrix(side: int, kernel: int, reflect: bool, device: str) -> Tensor:
    """(side, side) weights of each cell in each blurred cell; with `reflect`, cells outside mirror those inside."""
    weights = cv2.getGaussianKernel(kernel, 0).ravel()
    border = kernel // 2
    inside = np.pad(np.arange(side), border, mode="reflect") if reflect else np.arange(-border, side + border)
    matrix = np.zeros((side, side))
    for cell in range(side):
        for weight, source in zip(weights, inside[cell : cell + kernel], strict=True):
            if 0 <= source < side:
                matrix[cell, source] += weight
    # Not an inference tensor: the next caller may not be in inference mode.
    with torch.inference_mode(False):
        return torch.from_numpy(matrix.astype(np.float32)).to(device)


def _cells_to_pixels(cells: Tensor, heatmaps: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = heatmaps.shape[2:]
    return _times(cells, size[0] / columns, size[1] / rows)


def _udp_pixels(cells: Tensor, heatmaps: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = heatmaps.shape[2:]
    return _times(cells, size[0] / (columns - 1), size[1] / (rows - 1))


def _times(points: Tensor, right: float, down: float) -> Tensor:
    """x and y of points (N, K, 2) times numbers of the host, without a copy to the device."""
    return torch.stack([points[..., 0] * right, points[..., 1] * down], dim=2)


DECODERS: dict[str, Decoder] = {
    "quarter": decode_quarter,
    "dark": decode_dark,
    "dark-smoothed": decode_dark_smoothed,
    "udp": decode_udp,
    "udp-offsets": decode_udp_offsets,
}
