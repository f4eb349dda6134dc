"""Heatmaps to keypoints: the highest cell, moved by a quarter of a cell towards its higher neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_detectors.decoding.crops import apply_affine, crop_affine

FloatArray = NDArray[np.floating[Any]]


def find_peaks(heatmaps: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Highest cells (N, K, 2) x y of heatmaps (N, K, H, W), and their heights (N, K); (0, 0) where height <= 0."""
    people, keypoints, height, width = heatmaps.shape
    flat = heatmaps.reshape(people, keypoints, height * width)
    best = flat.argmax(axis=2)
    heights = np.take_along_axis(flat, best[..., None], axis=2)[..., 0].astype(np.float32)
    cells = np.stack([best % width, best // width], axis=2).astype(np.float32)
    return cells * (heights > 0)[..., None], heights


def quarter_offset(heatmaps: FloatArray, cells: FloatArray) -> NDArray[np.float32]:
    """Move cells (N, K, 2) by 0.25 towards the higher neighbour on each axis.

    As `get_final_preds` of the HRNet code: only cells with both 1 < x < W - 1 and 1 < y < H - 1 move.
    """
    people, keypoints, height, width = heatmaps.shape
    x = np.floor(cells[..., 0] + 0.5).astype(np.int64)
    y = np.floor(cells[..., 1] + 0.5).astype(np.int64)
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    x, y = np.where(inside, x, 1), np.where(inside, y, 1)
    person, joint = np.ogrid[:people, :keypoints]
    step_x = np.sign(heatmaps[person, joint, y, x + 1] - heatmaps[person, joint, y, x - 1])
    step_y = np.sign(heatmaps[person, joint, y + 1, x] - heatmaps[person, joint, y - 1, x])
    steps = np.stack([step_x, step_y], axis=2) * inside[..., None]
    return np.asarray(cells + steps * 0.25, dtype=np.float32)


def decode_heatmaps(
    heatmaps: FloatArray, centres: FloatArray, scales: FloatArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints (N, K, 2) in frame pixels and scores (N, K) of heatmaps (N, K, H, W) cut at centres, scales (N, 2)."""
    height, width = heatmaps.shape[2:]
    cells, heights = find_peaks(heatmaps)
    cells = quarter_offset(heatmaps, cells)
    keypoints = np.empty_like(cells)
    for i, (centre, scale) in enumerate(zip(centres, scales, strict=True)):
        affine = crop_affine(centre, scale, 0.0, (width, height), inverse=True)
        keypoints[i] = apply_affine(cells[i], affine)
    return keypoints, heights


def flip_back(heatmaps: FloatArray, mirrored: tuple[int, ...], *, shift: float = 1.0) -> FloatArray:
    """Undo the flip in heatmaps of flipped crops: reverse the columns, swap left and right keypoints.

    Then shift them to the right by `shift` columns, 0 to 1. The HRNet code shifts by one, as flipped features are
    misaligned.
    """
    unflipped = heatmaps[:, list(mirrored), :, ::-1].copy()
    if shift:
        moved = unflipped.copy()
        moved[:, :, :, 1:] = unflipped[:, :, :, :-1]
        unflipped = moved if shift == 1 else (unflipped * (1 - shift) + moved * shift).astype(heatmaps.dtype)
    return unflipped


def flip_back_offsets(outputs: FloatArray, mirrored: tuple[int, ...]) -> FloatArray:
    """As `flip_back` without shift, for UDP outputs (N, 3K, H, W): x offsets also change sign."""
    triples = tuple(3 * keypoint + part for keypoint in mirrored for part in range(3))
    unflipped = flip_back(outputs, triples, shift=0)
    unflipped[:, 1::3] *= -1
    return unflipped
