"""Suppression of duplicate poses as in the HRNet code and mmpose, in the variants that the product does not use."""

from __future__ import annotations

import numpy as np

from posetrack_app.core.records import FloatArray, IntArray

SOFT_NMS_KEEPS = 20
"""Soft NMS keeps at most this many poses."""


def oks_of_visible(
    keypoints: FloatArray,
    areas: FloatArray,
    sigmas: FloatArray,
    keypoint_scores: FloatArray,
    visible_above: float,
    *,
    visible_in_both: bool,
) -> FloatArray:
    """(N, N) OKS over visible keypoints only; the product's `oks_matrix` uses all keypoints.

    Args:
        keypoints: (N, K, 2).
        areas: (N,) in square pixels.
        sigmas: (K,).
        keypoint_scores: (N, K).
        visible_above: Keypoints with a higher score are visible.
        visible_in_both: In both poses (mmpose) instead of in the column's pose (HRNet).
    """
    squares = np.square(keypoints[:, None] - keypoints[None]).sum(axis=3)
    mean_areas = (areas[:, None] + areas[None]) / 2 + np.spacing(1)
    near = np.exp(-squares / (2 * sigmas) ** 2 / mean_areas[..., None] / 2)
    visible = keypoint_scores > visible_above
    counted = np.broadcast_to(visible[None], near.shape)
    if visible_in_both:
        counted = counted & visible[:, None]
    oks: FloatArray = np.where(counted, near, 0.0).sum(axis=2) / np.maximum(counted.sum(axis=2), 1)
    return oks


def pose_scores_above(
    box_scores: FloatArray, keypoint_scores: FloatArray, visible_above: float
) -> FloatArray:
    """As the product's `pose_scores`, for any threshold of visibility."""
    visible = keypoint_scores > visible_above
    total = np.where(visible, keypoint_scores, 0.0).sum(axis=1)
    scores: FloatArray = box_scores * (total / np.maximum(visible.sum(axis=1), 1))
    return scores


def soft_nms(oks: FloatArray, scores: FloatArray, threshold: float) -> IntArray:
    """Rows, best first; each kept pose lowers the scores of similar ones by exp(-OKS^2 / threshold)."""
    order = np.argsort(-scores, kind="stable")
    lowered = scores[order]
    kept: list[int] = []
    while len(order) and len(kept) < SOFT_NMS_KEEPS:
        best, order = order[0], order[1:]
        kept.append(best)
        lowered = lowered[1:] * np.exp(-np.square(oks[best, order]) / threshold)
        by_score = lowered.argsort()[::-1]
        order, lowered = order[by_score], lowered[by_score]
    return np.asarray(kept, dtype=np.int64)
