"""Similarity of boxes and of poses, pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def box_iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of box i of `first` and box i of `second`, both (P, 4) x1 y1 x2 y2 -> (P,).

    An empty box has an IoU of 0.
    """
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    intersection = np.maximum(high - low, 0.0).prod(axis=1)
    iou: Floats = intersection / (box_area(first) + box_area(second) - intersection)
    return iou


def box_area(boxes: Floats) -> Floats:
    """Area of boxes (N, 4) x1 y1 x2 y2 in square pixels -> (N,); each side counts as at least one pixel."""
    area: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0).prod(axis=1)
    return area


def object_keypoint_similarity(
    first: Floats, second: Floats, area: Floats, sigmas: Floats, weights: Floats | None = None
) -> Floats:
    """OKS of pose i of `first` and pose i of `second` -> (P,) from 0 to 1.

    OKS is the mean over keypoints of exp(-d^2 / (2 s^2 k^2)), with d the distance in pixels, s^2 the
    person's area and k = 2 sigma; see https://cocodataset.org/#keypoints-eval.

    Args:
        first: (P, K, 2) keypoints in pixels.
        second: (P, K, 2) keypoints in pixels.
        area: (P,) square pixels.
        sigmas: (K,) OKS sigmas.
        weights: (P, K) weights of the keypoints in the mean; the OKS of a pair is 0 if all are 0.
    """
    squared_distance = (first[..., 0] - second[..., 0]) ** 2 + (first[..., 1] - second[..., 1]) ** 2
    terms = np.exp(-squared_distance / (2.0 * area[:, None] * (2.0 * sigmas) ** 2))
    if weights is None:
        weights = np.ones_like(terms)
    oks: Floats = (weights * terms).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    return oks
