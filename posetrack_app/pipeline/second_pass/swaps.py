"""Second pass: repair exchanged left and right joints."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import FloatArray
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.pipeline.second_pass.tracks import Track

_LIMBS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
_MAX_STEP = 0.13
"""Seconds between frames; over longer steps nothing is exchanged, because a leg may have swung back."""
_STATES = np.array(list(product((0, 1), repeat=3)))
"""(8, 3) which of the three joints of a limb are exchanged."""
_LENGTH_WEIGHT = 0.5
"""Weight of a change of limb length, where one of an acceleration is 1; both are in body heights."""


def repair_swaps(track: Track, skeleton: Skeleton, penalty: float) -> Track:
    """Exchange left and right joints of arms and legs in the frames where that makes motion and limb lengths steadier.

    Each joint decides for itself: a network often exchanges the knees only. Over all frames together this minimises the
    accelerations of the joints and the deviations of the limb lengths from their medians, in body heights and weighted by
    score, plus `penalty` for each exchanged pair of joints (Viterbi over pairs of frames). Frames more than 0.13 s apart
    are not compared.
    """
    keypoints, scores = track.keypoints.copy(), track.keypoint_scores.copy()
    origins = track.keypoint_origins.copy()
    ends = np.nonzero(np.diff(track.seconds) > _MAX_STEP)[0] + 1
    for names in _LIMBS:
        left = [
            skeleton.keypoints.index(f"left_{name}") for name in names if f"left_{name}" in skeleton.keypoints
        ]
        if len(left) < len(names):
            continue
        right = [skeleton.mirrored[joint] for joint in left]
        for stretch in np.split(np.arange(len(track.frames)), ends):
            if len(stretch) < 3:
                continue
            exchanged = _exchanged(track.rows(stretch), left, right, penalty)
            for joint, is_exchanged in enumerate(exchanged.T):
                rows, pair = stretch[is_exchanged][:, None], [left[joint], right[joint]]
                keypoints[rows, pair] = track.keypoints[rows, pair[::-1]]
                scores[rows, pair] = track.keypoint_scores[rows, pair[::-1]]
                origins[rows, pair] = track.keypoint_origins[rows, pair[::-1]]
    return replace(track, keypoints=keypoints, keypoint_scores=scores, keypoint_origins=origins)


def _exchanged(track: Track, left: list[int], right: list[int], penalty: float) -> NDArray[np.bool_]:
    """(F, 3) whether to exchange each of the three joints of a limb in each frame."""
    height = np.maximum((track.boxes[:, 2:] - track.boxes[:, :2]).max(axis=1), 1.0)
    certainty = np.minimum(track.keypoint_scores[:, left], track.keypoint_scores[:, right]).clip(0, 1)
    # points[s] (F, 3, 2, 2): both joints of each pair, unchanged (s = 0) or exchanged (s = 1).
    pairs = np.stack([track.keypoints[:, left], track.keypoints[:, right]], axis=2)
    points = np.stack([pairs, pairs[:, :, ::-1]])
    motion = _acceleration_costs(points, certainty, height)
    still = penalty * _STATES.sum(axis=1) + _length_costs(points, certainty, height)
    frames, states = len(height), len(_STATES)
    best = still[0][:, None] + still[1]
    came_from = np.zeros((frames, states, states), dtype=int)
    a, b, c = (_STATES[index] for index in np.indices((states,) * 3))
    for frame in range(2, frames):
        step = sum(
            motion[frame - 2, joint][a[..., joint], b[..., joint], c[..., joint]] for joint in range(3)
        )
        total = best[:, :, None] + step + still[frame]
        came_from[frame] = total.argmin(axis=0)
        best = total.min(axis=0)
    path = np.zeros(frames, dtype=int)
    path[-2:] = np.unravel_index(best.argmin(), best.shape)
    for frame in range(frames - 1, 1, -1):
        path[frame - 2] = came_from[frame, path[frame - 1], path[frame]]
    return _STATES[path].astype(bool)


def _acceleration_costs(points: FloatArray, certainty: FloatArray, height: FloatArray) -> FloatArray:
    """(F - 2, 3, 2, 2, 2) cost of each joint pair's states in three frames in a row."""
    weights = np.minimum(np.minimum(certainty[2:], certainty[1:-1]), certainty[:-2])
    costs = np.empty((len(height) - 2, 3, 2, 2, 2))
    for a, b, c in np.ndindex(2, 2, 2):
        bend = points[c, 2:] - 2 * points[b, 1:-1] + points[a, :-2]
        costs[..., a, b, c] = weights * np.linalg.norm(bend, axis=3).sum(axis=2) / height[2:, None]
    return costs


def _length_costs(points: FloatArray, certainty: FloatArray, height: FloatArray) -> FloatArray:
    """(F, 8) cost of the limb lengths of each state: joints next to each other on different sides change them."""
    costs = np.zeros((len(height), len(_STATES)))
    for joint in range(2):
        weights = np.minimum(certainty[:, joint], certainty[:, joint + 1])
        same, crossed = (
            np.linalg.norm(points[0, :, joint] - points[s, :, joint + 1], axis=2) / height[:, None]
            for s in (0, 1)
        )
        usual = np.median(same, axis=0)
        deviations = np.stack([np.abs(lengths - usual).sum(axis=1) for lengths in (same, crossed)], axis=1)
        is_crossed = _STATES[:, joint] ^ _STATES[:, joint + 1]
        costs += _LENGTH_WEIGHT * weights[:, None] * deviations[:, is_crossed]
    return costs
