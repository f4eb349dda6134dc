"""The published recipe: greedy OKS with the poses of some frames before, moved by optical flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posetrack_trackers.matching import Indices, match_greedily
from posetrack_trackers.oks import Floats, box_area, object_keypoint_similarity
from posetrack_trackers.oks_tracker import Ids, Links

_FEW = 300
"""So many pairs of poses are sooner compared than looked through for those near each other."""


@dataclass(frozen=True)
class _Past:
    """P poses of the last frames: whose, of which frame, where they are now, which keypoints count."""

    ids: Ids
    frames: Ids
    keypoints: Floats
    seen: NDArray[np.bool_]


class FlowTracker:
    """Simple Baselines for Human Pose Estimation and Tracking (arXiv 1804.06208), section 3: S_Multi-Flow.

    The poses of the last `frames` frames are moved on from frame to frame by optical flow: `move` takes points
    (..., 2) of the frame before to the frame that `update` is about to get; without it they stay where they
    are, or go with the camera. The similarity of a person and a pose is the greatest OKS
    of the pose with a moved pose of that person, over the keypoints whose score is above 0 in both. Pairs are
    made greedily, from the most similar down to `min_similarity`; who is left over is somebody new. Poses
    whose box scores below `confident` are nobody. Ids start at 1, rise, and are never used again.

    sigmas: (K,) OKS sigmas.
    """

    delay = 0

    def __init__(
        self,
        *,
        sigmas: ArrayLike,
        confident: float = 0.5,
        min_similarity: float = 0.2,
        frames: int = 8,
        move: Callable[[Floats], Floats] | None = None,
    ) -> None:
        self._sigmas = np.asarray(sigmas, dtype=np.float64)
        self._confident, self._min_similarity, self._frames = confident, min_similarity, frames
        self._move = move
        self._next_id = 1
        self._frame = -1
        self._past = self._nobody()

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
    ) -> Links:
        """Link the next frame's people; see `OksTracker.update`. The recipe knows no `appearance`."""
        self._frame += 1
        past = self._moved(camera_motion)
        rows = np.nonzero(scores >= self._confident)[0]
        ids = np.zeros(len(boxes), dtype=np.int64)
        seen = keypoint_scores[rows] > 0
        people, similarity = self._similarity(past, box_area(boxes[rows]), keypoints[rows], seen)
        known, columns = match_greedily(np.where(similarity >= self._min_similarity, similarity, 0.0))
        ids[rows[columns]] = people[known]
        for row in rows[ids[rows] == 0].tolist():
            ids[row], self._next_id = self._next_id, self._next_id + 1
        self._past = _Past(
            np.append(past.ids, ids[rows]),
            np.append(past.frames, np.full(len(rows), self._frame)),
            np.concatenate([past.keypoints, keypoints[rows]]),
            np.concatenate([past.seen, seen]),
        )
        return Links(ids)

    def finish(self) -> Links:
        """The video, or a shot of it, is over; nobody's id is learnt late."""
        self.end_tracks()
        return Links(np.zeros(0, dtype=np.int64))

    def end_tracks(self) -> None:
        """Forget everybody, as at a cut in the film: whoever comes next is new."""
        self._past = self._nobody()

    def _nobody(self) -> _Past:
        count = len(self._sigmas)
        none = np.zeros(0, dtype=np.int64)
        return _Past(none, none, np.zeros((0, count, 2)), np.zeros((0, count), dtype=bool))

    def _moved(self, camera_motion: Floats | None) -> _Past:
        """The poses that are not too old, where they are in this frame."""
        past = self._past
        recent = slice(int(np.searchsorted(past.frames, self._frame - self._frames)), None)
        keypoints = past.keypoints[recent]
        if self._move is not None:
            keypoints = self._move(keypoints)
        elif camera_motion is not None:
            keypoints = keypoints @ camera_motion[:, :2].T + camera_motion[:, 2]
        return _Past(past.ids[recent], past.frames[recent], keypoints, past.seen[recent])

    def _similarity(
        self, past: _Past, area: Floats, keypoints: Floats, seen: NDArray[np.bool_]
    ) -> tuple[Ids, Floats]:
        """Ids (T,) of known people, rising, and their similarity (T, N) with the new poses."""
        people, of = np.unique(past.ids, return_inverse=True)
        similarity = np.zeros((len(people), len(area)))
        if similarity.size:
            old, new = self._near(past, area, keypoints, seen)
            weights = np.asarray(past.seen.take(old, axis=0) & seen.take(new, axis=0), dtype=np.float64)
            first, second = past.keypoints.take(old, axis=0), keypoints.take(new, axis=0)
            oks = object_keypoint_similarity(first, second, area[new], self._sigmas, weights)
            np.maximum.at(similarity.ravel(), of[old] * len(area) + new, oks)
        return people, similarity

    def _near(
        self, past: _Past, area: Floats, keypoints: Floats, seen: NDArray[np.bool_]
    ) -> tuple[Indices, Indices]:
        """Old and new poses whose OKS can reach `min_similarity`.

        Keypoints that count lie within the extents of both poses, so none is nearer than the extents are, and the
        OKS is at most what the softest keypoint would score at that distance.
        """
        pairs = len(past.ids) * len(area)
        if pairs <= _FEW:
            return np.divmod(np.arange(pairs), len(area))
        low, high = _extents(past.keypoints, past.seen)
        new_low, new_high = _extents(keypoints, seen)
        gap = np.maximum(low[:, :, None] - new_high[:, None], new_low[:, None] - high[:, :, None])
        np.maximum(gap, 0.0, out=gap)
        gap *= gap
        least = max(self._min_similarity, 5e-324)  # nothing is less similar and yet similar
        reach = -2.0 * np.log(least) * (2.0 * self._sigmas.max()) ** 2 * 1.000001  # for the rounding
        old, new = (gap[0] + gap[1] <= reach * area).nonzero()
        return old, new


def _extents(keypoints: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Least and greatest x and y, each (2, N), of the `seen` (N, K) of `keypoints` (N, K, 2)."""
    # The people last: minima over whole rows are several times quicker than over many short ones.
    places, hidden = np.ascontiguousarray(keypoints.transpose(2, 1, 0)), np.ascontiguousarray(~seen.T)
    return np.where(hidden, np.inf, places).min(axis=1), np.where(hidden, -np.inf, places).max(axis=1)
