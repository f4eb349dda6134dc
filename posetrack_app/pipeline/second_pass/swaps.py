"""Second pass: repair exchanged left and right limbs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.skeletons import Skeleton
from posetrack_app.pipeline.second_pass.tracks import Track

_LIMBS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
_MAX_STEP = 0.13
"""Seconds between frames; over longer steps nothing is exchanged, because a leg may have swung back."""


def repair_swaps(track: Track, skeleton: Skeleton, penalty: float) -> Track:
    """Exchange left and right arms, or legs, in the frames where that makes the motion smoother.

    Over all frames together this minimises the accelerations of the limbs, in body heights and weighted by score, plus
    `penalty` per exchanged frame (Viterbi over pairs of frames). Frames more than 0.13 s apart are not compared.
    """
    keypoints, scores = track.keypoints.copy(), track.keypoint_scores.copy()
    origins = track.keypoint_origins.copy()
    ends = np.nonzero(np.diff(track.seconds) > _MAX_STEP)[0] + 1
    for names in _LIMBS:
        sides = [f"left_{name}" for name in names]
        left = [i for i, name in enumerate(skeleton.keypoints) if name in sides]
        limb = [*left, *(skeleton.mirrored[i] for i in left)]
        other = [skeleton.mirrored[i] for i in limb]
        for stretch in np.split(np.arange(len(track.frames)), ends):
            if len(stretch) < 3:
                continue
            part = track.rows(stretch)
            exchanged = stretch[_exchanged(part, limb, other, penalty)][:, None]
            keypoints[exchanged, limb] = track.keypoints[exchanged, other]
            scores[exchanged, limb] = track.keypoint_scores[exchanged, other]
            origins[exchanged, limb] = track.keypoint_origins[exchanged, other]
    return replace(track, keypoints=keypoints, keypoint_scores=scores, keypoint_origins=origins)


def _exchanged(track: Track, limb: list[int], other: list[int], penalty: float) -> NDArray[np.bool_]:
    """(F,) whether to exchange `limb` and `other` in each frame."""
    height = np.maximum((track.boxes[:, 2:] - track.boxes[:, :2]).max(axis=1), 1.0)
    # variant[s] (F, limb, 2): the limb unchanged (s = 0) or exchanged (s = 1).
    variant = np.stack([track.keypoints[:, limb], track.keypoints[:, other]])
    certainty = np.minimum(track.keypoint_scores[:, limb], track.keypoint_scores[:, other]).clip(0, 1)
    certainty = np.minimum(np.minimum(certainty[2:], certainty[1:-1]), certainty[:-2])
    frames = len(height)
    best = np.array([[0.0, penalty], [penalty, 2 * penalty]])
    came_from = np.zeros((frames, 2, 2), dtype=int)
    cost = np.empty((2, 2, 2, frames - 2))
    for a, b, c in np.ndindex(2, 2, 2):
        bend = variant[c, 2:] - 2 * variant[b, 1:-1] + variant[a, :-2]
        cost[a, b, c] = (np.linalg.norm(bend, axis=2) * certainty).sum(axis=1) / height[2:]
    for frame in range(2, frames):
        total = best[:, :, None] + cost[..., frame - 2] + penalty * np.arange(2)
        came_from[frame] = total.argmin(axis=0)
        best = total.min(axis=0)
    states = np.zeros(frames, dtype=int)
    states[-2:] = np.unravel_index(best.argmin(), (2, 2))
    for frame in range(frames - 1, 1, -1):
        states[frame - 2] = came_from[frame, states[frame - 1], states[frame]]
    return states.astype(bool)
