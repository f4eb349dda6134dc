"""Similarity of boxes (IoU) and of poses (OKS)."""

from __future__ import annotations

import numpy as np

from posetrack_app.core.records import FloatArray


def oks_matrix(keypoints: FloatArray, areas: FloatArray, sigmas: FloatArray) -> FloatArray:
    """(N, N) object keypoint similarity: the mean over keypoints of exp(-d^2 / (2 s^2 k^2)).

    d is the distance of two keypoints, s^2 the mean area of the two poses and k = 2 sigma, as in the COCO evaluation
    (cocodataset.org/#keypoints-eval).

    Args:
        keypoints: (N, K, 2) in pixels.
        areas: (N,) in square pixels.
        sigmas: (K,) fall-off per keypoint.
    """
    squared_distances = np.square(keypoints[:, None] - keypoints[None]).sum(axis=3)
    mean_areas = (areas[:, None] + areas[None]) / 2 + np.spacing(1)
    oks: FloatArray = np.exp(-squared_distances / (2 * sigmas) ** 2 / mean_areas[..., None] / 2).mean(axis=2)
    return oks


def iou_matrix(first: FloatArray, second: FloatArray | None = None) -> FloatArray:
    """(N, M) IoU of boxes (N, 4) and (M, 4), x1 y1 x2 y2; 0 where both boxes are empty.

    Without `second`, `first` is compared with itself.
    """
    second = first if second is None else second
    sides = np.minimum(first[:, None, 2:], second[None, :, 2:]) - np.maximum(
        first[:, None, :2], second[None, :, :2]
    )
    intersections = np.maximum(sides, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    unions = areas[0][:, None] + areas[1][None] - intersections
    iou: FloatArray = np.divide(intersections, unions, out=np.zeros_like(intersections), where=unions > 0)
    return iou
