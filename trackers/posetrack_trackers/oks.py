"""How alike two poses and two boxes are, for pairs of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def box_iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of box i of `first` and box i of `second`, both (P, 4) x1 y1 x2 y2 -> (P,).

    Boxes without area give 0.
    """
    overlap = np.minimum(first[:, 2:], second[:, 2:])
    overlap -= np.maximum(first[:, :2], second[:, :2])
    np.maximum(overlap, 0.0, out=overlap)
    inside = overlap[:, 0] * overlap[:, 1]
    both = box_area(first)
    both += box_area(second)
    both -= inside
    iou: Floats = inside / np.maximum(both, 1e-9)
    return iou


def box_area(boxes: Floats) -> Floats:
    """Area of boxes (N, 4) x1 y1 x2 y2 in square pixels -> (N,); never below one pixel."""
    size = boxes[:, 2:] - boxes[:, :2]
    np.maximum(size, 1.0, out=size)
    area: Floats = size[:, 0] * size[:, 1]
    return area


def object_keypoint_similarity(
    first: Floats, second: Floats, area: Floats, sigmas: Floats, weights: Floats | None = None
) -> Floats:
    """OKS of pose i of `first` and pose i of `second`, both (P, K, 2) -> (P,) from 0 to 1.

    OKS is the mean over keypoints of exp(-d^2 / (2 s^2 k^2)), with d the distance in pixels, s^2 the
    person's `area` (P,), k = 2 sigma; see https://cocodataset.org/#keypoints-eval. `weights` (P, K) weigh
    the keypoints in that mean; a pose without any weight gives 0.
    """
    squared = (first[..., 0] - second[..., 0]) ** 2 + (first[..., 1] - second[..., 1]) ** 2
    near = np.exp(-squared / (2.0 * area[:, None] * (2.0 * sigmas) ** 2))
    if weights is None:
        mean: Floats = near.mean(axis=1)
        return mean
    total = np.einsum("pk,pk->p", near, weights)
    weighted: Floats = total / np.maximum(weights @ np.ones(weights.shape[1]), 1e-9)
    return weighted
