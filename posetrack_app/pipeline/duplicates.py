"""Duplicate boxes or poses of one person in one frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from posetrack_app.core.records import FloatArray, IntArray, Poses
from posetrack_app.core.similarity import oks_matrix

_Frame = TypeVar("_Frame")
"""A frame, with or without its pixels."""

VISIBLE_SCORE = 0.2
"""Keypoints with a higher score count as visible in a pose's score, as in the HRNet code."""


def pose_scores(box_scores: FloatArray, keypoint_scores: FloatArray) -> FloatArray:
    """(N,) box score times the mean score of the visible keypoints (N, K); 0 if none is visible."""
    visible = keypoint_scores > VISIBLE_SCORE
    total = np.where(visible, keypoint_scores, 0.0).sum(axis=1)
    scores: FloatArray = box_scores * (total / np.maximum(visible.sum(axis=1), 1))
    return scores


def nms(similarity: FloatArray, scores: FloatArray, threshold: float) -> IntArray:
    """Rows to keep, highest score first, by non-maximum suppression.

    A row is dropped if its `similarity` (N, N) with a kept row of a higher score is above `threshold`.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[similarity[best, rest] <= threshold]
    return np.asarray(kept, dtype=np.int64)


def drop_duplicates(
    stream: Iterable[tuple[_Frame, Poses]], *, sigmas: FloatArray, max_similarity: float
) -> Iterator[tuple[_Frame, Poses]]:
    """OKS-NMS: of two poses whose OKS is above `max_similarity`, drop the one with the lower pose score."""
    for frame, poses in stream:
        areas = (poses.boxes[:, 2:] - poses.boxes[:, :2]).prod(axis=1)
        similarity = oks_matrix(poses.keypoints, areas, sigmas)
        scores = pose_scores(poses.scores, poses.keypoint_scores)
        yield frame, poses[nms(similarity, scores, max_similarity)]
