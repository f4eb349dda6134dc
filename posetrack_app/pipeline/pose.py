"""Stage 2: find the keypoints of every person."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from posetrack_app.core.batches import even_shares, joined
from posetrack_app.core.protocols import Estimator
from posetrack_app.core.records import Detections, Frame, Poses

_Frame = TypeVar("_Frame")
"""A frame, with or without its pixels."""


def estimate_poses(
    people: Iterable[tuple[Frame, Detections]], estimator: Estimator, *, batch: int, max_frames: int = 8
) -> Iterator[tuple[Frame, Poses]]:
    """Every frame with the poses of its people.

    The people of up to `max_frames` frames are estimated together, in batches of at most `batch` people.
    """
    waiting: list[tuple[Frame, Detections]] = []
    for frame, detections in people:
        waiting.append((frame, detections))
        if sum(len(found) for _, found in waiting) >= batch or len(waiting) >= max_frames:
            yield from _poses_of(waiting, estimator, batch)
            waiting = []
    yield from _poses_of(waiting, estimator, batch)


def _poses_of(
    group: list[tuple[Frame, Detections]], estimator: Estimator, batch: int
) -> Iterator[tuple[Frame, Poses]]:
    images = [frame.image for frame, found in group for _ in range(len(found))]
    boxes = [box for _, found in group for box in found.boxes]
    # Call the estimator even for zero people: only the network knows the number of keypoints.
    parts = [
        estimator(images[rows], boxes[rows])
        for rows in even_shares(len(images), max(1, math.ceil(len(images) / batch)))
    ]
    keypoints, scores, appearance = (column.astype(np.float64) for column in joined(parts))
    start = 0
    for frame, found in group:
        rows = slice(start, start := start + len(found))
        yield frame, found.with_keypoints(keypoints[rows], scores[rows].clip(0, 1), appearance[rows])


def drop_low_score_keypoints(
    stream: Iterable[tuple[_Frame, Poses]], *, min_score: float
) -> Iterator[tuple[_Frame, Poses]]:
    """The same poses; keypoint scores below `min_score` become 0 (not seen)."""
    for frame, poses in stream:
        seen = poses.keypoint_scores >= min_score
        yield frame, replace(poses, keypoint_scores=np.where(seen, poses.keypoint_scores, 0.0))
