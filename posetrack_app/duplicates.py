"""Two boxes or poses of one person in one frame: which to keep. OKS suppression of the HRNet code.

OKS here takes the mean of both areas (https://cocodataset.org/#keypoints-eval takes the labelled one).
"""

from __future__ import annotations

import numpy as np

from posetrack_app.records import FloatArray, IntArray

SOFT_NMS_KEEPS = 20
"""Soft suppression keeps at most this many poses, as the official code."""


def pose_scores(
    box_scores: FloatArray, keypoint_scores: FloatArray, visible_above: float = 0.2
) -> FloatArray:
    """(N,) box score times the mean of the keypoint scores (N, K) above `visible_above`; 0 where none is."""
    visible = keypoint_scores > visible_above
    total = np.where(visible, keypoint_scores, 0.0).sum(axis=1)
    scores: FloatArray = box_scores * (total / np.maximum(visible.sum(axis=1), 1))
    return scores


def oks_matrix(
    keypoints: FloatArray,
    areas: FloatArray,
    sigmas: FloatArray,
    keypoint_scores: FloatArray | None = None,
    visible_above: float | None = None,
    *,
    visible_in_both: bool = False,
) -> FloatArray:
    """(N, N) OKS of poses (N, K, 2) with areas (N,) in square pixels.

    With `visible_above` only keypoints count whose score exceeds it: in the column's pose, as the official
    code does, or with `visible_in_both` in both poses, as mmpose does.
    """
    squares = np.square(keypoints[:, None] - keypoints[None]).sum(axis=3)
    mean_areas = (areas[:, None] + areas[None]) / 2 + np.spacing(1)
    near = np.exp(-squares / (2 * sigmas) ** 2 / mean_areas[..., None] / 2)
    counted = np.ones_like(near, dtype=bool)
    if visible_above is not None and keypoint_scores is not None:
        visible = keypoint_scores > visible_above
        counted = np.broadcast_to(visible[None], near.shape)
        if visible_in_both:
            counted = counted & visible[:, None]
    oks: FloatArray = np.where(counted, near, 0.0).sum(axis=2) / np.maximum(counted.sum(axis=2), 1)
    return oks


def iou_matrix(boxes: FloatArray, *, whole_pixels: bool = False) -> FloatArray:
    """(N, N) IoU of boxes (N, 4) x1 y1 x2 y2 of positive area.

    With `whole_pixels` a box covers the pixels of both ends, as in the HRNet code.
    """
    more = 1 if whole_pixels else 0
    areas = (boxes[:, 2:] - boxes[:, :2] + more).prod(axis=1)
    sides = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], boxes[None, :, :2]
    )
    common = np.maximum(sides + more, 0).prod(axis=2)
    iou: FloatArray = common / (areas[:, None] + areas[None] - common)
    return iou


def nms(similarity: FloatArray, scores: FloatArray, threshold: float) -> IntArray:
    """Rows to keep, best first: none has a similarity (N, N) above `threshold` with a better one; `scores` (N,)."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[similarity[best, rest] <= threshold]
    return np.asarray(kept, dtype=np.int64)


def soft_nms(oks: FloatArray, scores: FloatArray, threshold: float) -> IntArray:
    """Rows, best first; each kept pose lowers the scores of those like it by exp(-OKS^2 / threshold)."""
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
