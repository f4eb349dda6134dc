"""Greedy OKS tracking with poses moved by optical flow, as published with Simple Baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posetrack_trackers.links import Ids, Links
from posetrack_trackers.matching import Indices, match_greedily
from posetrack_trackers.oks import Floats, box_area, object_keypoint_similarity

_FEW_PAIRS = 300
"""Up to this many pairs of poses, comparing all is faster than filtering by distance."""


@dataclass(frozen=True)
class _PastPoses:
    """P poses of past frames, oldest first, at their positions in the current frame."""

    ids: Ids
    frames: Ids
    keypoints: Floats
    """(P, K, 2)"""
    is_visible: NDArray[np.bool_]
    """(P, K), where the keypoint's score is above 0."""


class FlowTracker:
    """The flow tracker of Simple Baselines for Human Pose Estimation and Tracking (arXiv 1804.06208, section 3).

    Optical flow moves the poses of the last `frames` frames to the current frame. The similarity of a person and a new
    pose is the highest OKS of that pose with a moved pose of the person, over the keypoints with scores above 0 in
    both. Pairs are matched greedily, most similar first; an unmatched pose starts a new id. Ids start at 1, increase,
    and are never reused.

    Args:
        sigmas: (K,) OKS sigmas.
        high_score: poses with a lower box score get no id.
        min_similarity: lowest similarity of a match.
        frames: how many past frames are kept.
        move: maps points (..., 2) of the previous frame to the frame given to `update` next. Without it, points move
            with the camera or stay in place.
    """

    delay = 0

    def __init__(
        self,
        *,
        sigmas: ArrayLike,
        high_score: float = 0.5,
        min_similarity: float = 0.2,
        frames: int = 8,
        move: Callable[[Floats], Floats] | None = None,
    ) -> None:
        self._sigmas = np.asarray(sigmas, dtype=np.float64)
        self._high_score, self._min_similarity, self._frames = high_score, min_similarity, frames
        self._move = move
        self._next_id = 1
        self._frame = -1
        self._past = self._no_poses()

    def update(
        self,
        boxes: Floats,
        scores: Floats,
        keypoints: Floats,
        keypoint_scores: Floats,
        seconds: float,
        *,
        camera_motion: Floats | None = None,
        appearance: Floats | None = None,
        frame_size: tuple[int, int] | None = None,
    ) -> Links:
        """Link the poses of the next frame; arguments as in `OksTracker.update`. Appearance and time are not used."""
        self._frame += 1
        past = self._moved(camera_motion)
        rows = np.nonzero(scores >= self._high_score)[0]
        is_visible = keypoint_scores[rows] > 0
        people, similarity = self._similarity(past, box_area(boxes[rows]), keypoints[rows], is_visible)
        matched, columns = match_greedily(np.where(similarity >= self._min_similarity, similarity, 0.0))
        ids = np.zeros(len(boxes), dtype=np.int64)
        ids[rows[columns]] = people[matched]
        for row in rows[ids[rows] == 0].tolist():
            ids[row] = self._next_id
            self._next_id += 1
        self._past = _PastPoses(
            np.append(past.ids, ids[rows]),
            np.append(past.frames, np.full(len(rows), self._frame)),
            np.concatenate([past.keypoints, keypoints[rows]]),
            np.concatenate([past.is_visible, is_visible]),
        )
        return Links(ids)

    def finish(self) -> Links:
        """End the video or a shot of it. No ids are pending, so the output is empty."""
        self.end_tracks()
        return Links(np.zeros(0, dtype=np.int64))

    def end_tracks(self) -> None:
        """Remove all tracks, as at a cut: everyone in the next frame gets a new id."""
        self._past = self._no_poses()

    def _no_poses(self) -> _PastPoses:
        count = len(self._sigmas)
        none = np.zeros(0, dtype=np.int64)
        return _PastPoses(none, none, np.zeros((0, count, 2)), np.zeros((0, count), dtype=bool))

    def _moved(self, camera_motion: Floats | None) -> _PastPoses:
        """The poses of the last `frames` frames at their positions in this frame."""
        past = self._past
        is_recent = past.frames >= self._frame - self._frames
        keypoints = past.keypoints[is_recent]
        if self._move is not None:
            keypoints = self._move(keypoints)
        elif camera_motion is not None:
            keypoints = keypoints @ camera_motion[:, :2].T + camera_motion[:, 2]
        return _PastPoses(past.ids[is_recent], past.frames[is_recent], keypoints, past.is_visible[is_recent])

    def _similarity(
        self, past: _PastPoses, area: Floats, keypoints: Floats, is_visible: NDArray[np.bool_]
    ) -> tuple[Ids, Floats]:
        """Ids (T,) of the people in `past`, ascending, and their similarity (T, N) with the new poses."""
        people, person = np.unique(past.ids, return_inverse=True)
        similarity = np.zeros((len(people), len(area)))
        old, new = self._near_pairs(past, area, keypoints, is_visible)
        weights = np.asarray(past.is_visible[old] & is_visible[new], dtype=np.float64)
        oks = object_keypoint_similarity(
            past.keypoints[old], keypoints[new], area[new], self._sigmas, weights
        )
        np.maximum.at(similarity, (person[old], new), oks)
        return people, similarity

    def _near_pairs(
        self, past: _PastPoses, area: Floats, keypoints: Floats, is_visible: NDArray[np.bool_]
    ) -> tuple[Indices, Indices]:
        """Old and new poses whose OKS can reach `min_similarity`.

        Two keypoints are at least as far apart as the bounding boxes of the poses' visible keypoints. So the OKS is at
        most the term of the keypoint with the largest sigma at that distance.
        """
        pairs = len(past.ids) * len(area)
        if pairs <= _FEW_PAIRS:
            return np.divmod(np.arange(pairs), max(len(area), 1))
        old_low, old_high = _extents(past.keypoints, past.is_visible)
        low, high = _extents(keypoints, is_visible)
        gap = np.maximum(np.maximum(old_low[:, None] - high, low - old_high[:, None]), 0.0)
        least = max(self._min_similarity, 5e-324)  # a match needs a similarity above 0
        limit = -2.0 * np.log(least) * (2.0 * self._sigmas.max()) ** 2
        limit *= 1.000001  # margin for rounding errors
        old, new = np.nonzero((gap**2).sum(axis=2) <= limit * area)
        return old, new


def _extents(keypoints: Floats, is_visible: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Smallest and largest x and y, each (N, 2), of the visible keypoints (N, K, 2)."""
    is_hidden = ~is_visible[..., None]
    low = np.where(is_hidden, np.inf, keypoints).min(axis=1)
    high = np.where(is_hidden, -np.inf, keypoints).max(axis=1)
    return low, high
