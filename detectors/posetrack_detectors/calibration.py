"""Keypoint scores that mean something: from a heatmap's height to the chance that the keypoint is right.

A keypoint is right if its term of OKS is at least 0.5, that is if it lies within 1.18 of its fall-off
`2 * sigma * sqrt(area)` of where a person put it. Of the keypoints with score 0.7 about 70 % are right then.

The map rises with height, by isotonic regression (Barlow et al., "Statistical Inference under Order
Restrictions", 1972) on a few bins, straight lines between them. It is stored in the weight file's metadata.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_detectors.checkpoints import CheckpointError
from posetrack_detectors.tensor_file import read_metadata, write_metadata

Floats = NDArray[np.floating[Any]]

RIGHT = float(np.sqrt(2 * np.log(2)))
"""Largest distance of a right keypoint in fall-offs: there its term of OKS, exp(-d^2 / 2), is 0.5."""
_METADATA = "keypoint_calibration"
_LEAST = 100
"""Keypoints a bin of the fit holds at least; fewer make the map follow chance."""
FEWEST = 2 * _LEAST
"""Labelled keypoints without which no map is worth having: the height of the heatmap says more."""


@dataclass(frozen=True)
class Calibration:
    """One rising line of (height, chance) points for each of K keypoints; (0, 0) comes first."""

    knots: tuple[tuple[tuple[float, float], ...], ...]

    def __call__(self, heights: Floats) -> NDArray[np.float32]:
        """Heights (N, K) to chances (N, K) from 0 to 1."""
        chances = np.empty(heights.shape, dtype=np.float32)
        for k, knots in enumerate(self.knots):
            x, y = zip(*knots, strict=True)
            chances[:, k] = np.interp(heights[:, k], x, y)
        return chances


def fit_calibration(
    heights: Floats, right: NDArray[np.bool_], weights: Floats, mirrored: tuple[int, ...]
) -> Calibration:
    """The map that fits (N, K) heights to which keypoints were `right`; `weights` 0 where nobody knows.

    A keypoint and its mirror image share a map. One with too few labels has the map of all together.
    """
    everything = _rising(heights.ravel(), right.ravel(), weights.ravel())
    maps = []
    for k, other in enumerate(mirrored):
        both = sorted({k, other})
        known = int((weights[:, both] > 0).sum())
        fit = _rising(heights[:, both].ravel(), right[:, both].ravel(), weights[:, both].ravel())
        maps.append(fit if known >= FEWEST else everything)
    return Calibration(tuple(maps))


def _rising(heights: Floats, right: NDArray[np.bool_], weights: Floats) -> tuple[tuple[float, float], ...]:
    """(height, share right) of bins of equal counts, pooled while they fall (pool adjacent violators), after (0, 0)."""
    order = np.argsort(heights)
    order = order[weights[order] > 0]
    bins = np.array_split(order, max(1, min(10, len(order) // _LEAST)))
    blocks: list[tuple[float, float, float]] = []  # weight, mean height, share right
    for rows in bins if len(order) else []:
        total = float(weights[rows].sum())
        blocks.append(
            (
                total,
                float(np.average(heights[rows], weights=weights[rows])),
                float(np.average(right[rows], weights=weights[rows])),
            )
        )
        while len(blocks) > 1 and blocks[-2][2] >= blocks[-1][2]:
            first, second = blocks[-2:]
            total = first[0] + second[0]
            share = first[0] / total
            means = (share * a + (1 - share) * b for a, b in zip(first[1:], second[1:], strict=True))
            blocks[-2:] = [(total, *means)]  # type: ignore[list-item]
    points = [(round(h, 4), round(c, 4)) for _, h, c in blocks if h > 0]
    return ((0.0, 0.0), *points)


def expected_calibration_error(scores: Floats, right: NDArray[np.bool_], weights: Floats) -> float:
    """Mean distance of score and share right over ten bins of equal width (Guo et al., ICML 2017); all are flat."""
    return float(
        sum(weight * abs(score - share) for score, share, weight in reliability(scores, right, weights))
    )


def reliability(
    scores: Floats, right: NDArray[np.bool_], weights: Floats
) -> list[tuple[float, float, float]]:
    """(mean score, share right, share of all) of each bin of a tenth that is not empty."""
    bins = np.clip((scores * 10).astype(int), 0, 9)
    rows = []
    for b in range(10):
        chosen = (bins == b) & (weights > 0)
        if chosen.any():
            w = weights[chosen]
            rows.append(
                (
                    float(np.average(scores[chosen], weights=w)),
                    float(np.average(right[chosen], weights=w)),
                    float(w.sum() / weights.sum()),
                )
            )
    return rows


def read_calibration(path: Path, keypoints: int) -> Calibration | None:
    """The calibration of that many keypoints stored in a .safetensors weight file; None where there is none.

    CheckpointError if it is not one.
    """
    text = read_metadata(path).get(_METADATA)
    if text is None:
        return None
    try:
        lines = json.loads(text)
        knots = tuple(tuple((float(height), float(chance)) for height, chance in line) for line in lines)
        if len(knots) != keypoints or not all(line and list(line) == sorted(line) for line in knots):
            raise ValueError
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its keypoint calibration is not one of {keypoints} keypoints"
        ) from error
    return Calibration(knots)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Store the calibration in the .safetensors weight file, in place of an earlier one; tensors stay as they are."""
    write_metadata(path, {_METADATA: json.dumps(calibration.knots)})
