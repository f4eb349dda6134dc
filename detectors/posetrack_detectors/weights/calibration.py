"""Score calibration: from the height of a heatmap's peak to the probability that the keypoint is correct.

A keypoint is correct if its OKS term is at least 0.5, that is within 1.18 standard deviations `2 * sigma * sqrt(area)`
of the labelled position. Of the keypoints with score 0.7, about 70 % are then correct.

The mapping is monotonic: isotonic regression (Barlow et al., "Statistical Inference under Order Restrictions", 1972) on
a few bins, linear between them. It is stored in the metadata of the weight file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_detectors.weights.checkpoints import CheckpointError
from posetrack_detectors.weights.tensor_file import read_metadata, write_metadata

Floats = NDArray[np.floating[Any]]

CORRECT_DISTANCE = float(np.sqrt(2 * np.log(2)))
"""Largest distance of a correct keypoint, in OKS standard deviations: its OKS term exp(-d^2 / 2) is 0.5 there."""
_METADATA = "keypoint_calibration"
_MIN_PER_BIN = 100
"""Smallest number of keypoints in a bin of the fit; with fewer the mapping follows noise."""
MIN_CALIBRATION_KEYPOINTS = 2 * _MIN_PER_BIN
"""With fewer labelled keypoints the raw height of the heatmap is the better score."""


@dataclass(frozen=True)
class Calibration:
    """For each of K keypoints a monotonic line through (height, probability) points, starting at (0, 0)."""

    knots: tuple[tuple[tuple[float, float], ...], ...]

    def __call__(self, heights: Floats) -> NDArray[np.float32]:
        """Heights (N, K) to probabilities (N, K)."""
        probabilities = np.empty(heights.shape, dtype=np.float32)
        for k, knots in enumerate(self.knots):
            x, y = zip(*knots, strict=True)
            probabilities[:, k] = np.interp(heights[:, k], x, y)
        return probabilities


def fit_calibration(
    heights: Floats, correct: NDArray[np.bool_], weights: Floats, mirrored: tuple[int, ...]
) -> Calibration:
    """Fit the mapping from heights (N, K) to `correct` (N, K); `weights` (N, K) are 0 for unlabelled keypoints.

    A keypoint and its mirror image share a mapping. A keypoint with too few labels gets the mapping of all together.
    """
    overall = _isotonic(heights.ravel(), correct.ravel(), weights.ravel())
    lines = []
    for k, other in enumerate(mirrored):
        pair = sorted({k, other})
        labelled = int((weights[:, pair] > 0).sum())
        fit = _isotonic(heights[:, pair].ravel(), correct[:, pair].ravel(), weights[:, pair].ravel())
        lines.append(fit if labelled >= MIN_CALIBRATION_KEYPOINTS else overall)
    return Calibration(tuple(lines))


def _isotonic(
    heights: Floats, correct: NDArray[np.bool_], weights: Floats
) -> tuple[tuple[float, float], ...]:
    """(0, 0), then (mean height, share correct) of bins of equal count, made monotonic by pooling adjacent violators."""
    order = np.argsort(heights)
    order = order[weights[order] > 0]
    bins = np.array_split(order, max(1, min(10, len(order) // _MIN_PER_BIN)))
    blocks: list[tuple[float, float, float]] = []  # weight, mean height, share correct
    for rows in bins if len(order) else []:
        total = float(weights[rows].sum())
        blocks.append(
            (
                total,
                float(np.average(heights[rows], weights=weights[rows])),
                float(np.average(correct[rows], weights=weights[rows])),
            )
        )
        while len(blocks) > 1 and blocks[-2][2] >= blocks[-1][2]:
            first, second = blocks[-2:]
            total = first[0] + second[0]
            share = first[0] / total
            means = (share * a + (1 - share) * b for a, b in zip(first[1:], second[1:], strict=True))
            blocks[-2:] = [(total, *means)]  # type: ignore[list-item]
    points = [(round(h, 4), round(p, 4)) for _, h, p in blocks if h > 0]
    return ((0.0, 0.0), *points)


def expected_calibration_error(scores: Floats, correct: NDArray[np.bool_], weights: Floats) -> float:
    """Expected calibration error over ten equal-width bins of flat arrays (Guo et al., ICML 2017)."""
    return float(
        sum(weight * abs(score - share) for score, share, weight in reliability(scores, correct, weights))
    )


def reliability(
    scores: Floats, correct: NDArray[np.bool_], weights: Floats
) -> list[tuple[float, float, float]]:
    """(mean score, share correct, share of the total weight) of each of ten equal-width bins that is not empty."""
    bins = np.clip((scores * 10).astype(int), 0, 9)
    rows = []
    for b in range(10):
        chosen = (bins == b) & (weights > 0)
        if chosen.any():
            w = weights[chosen]
            rows.append(
                (
                    float(np.average(scores[chosen], weights=w)),
                    float(np.average(correct[chosen], weights=w)),
                    float(w.sum() / weights.sum()),
                )
            )
    return rows


def read_calibration(path: Path, keypoints: int) -> Calibration | None:
    """The calibration stored in a .safetensors weight file, None if it has none.

    CheckpointError if it is invalid or not for that many keypoints.
    """
    text = read_metadata(path).get(_METADATA)
    if text is None:
        return None
    try:
        lines = json.loads(text)
        knots = tuple(
            tuple((float(height), float(probability)) for height, probability in line) for line in lines
        )
        if len(knots) != keypoints or not all(line and list(line) == sorted(line) for line in knots):
            raise ValueError
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: invalid keypoint calibration in its metadata (expected {keypoints} keypoints); "
            "use another copy of the file"
        ) from error
    return Calibration(knots)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Store the calibration in a .safetensors weight file, replacing an earlier one; the tensors stay the same."""
    write_metadata(path, {_METADATA: json.dumps(calibration.knots)})
