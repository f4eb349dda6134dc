"""IDF1, IDP and IDR of keypoints: how long the tracks keep the right identity.

Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCVW 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posetrack_app.core.records import FloatArray, IntArray
from posetrack_app.evaluation.posetrack.matching import best_matching
from posetrack_app.evaluation.posetrack.scene import JOINTS, Candidates, Scene


@dataclass(frozen=True, eq=False)
class IdentityScores:
    """Scores in 0..1, NaN if undefined, in the shape of the counts."""

    idf1: FloatArray
    precision: FloatArray
    recall: FloatArray


def identity_matches(scene: Scene, matches: Candidates) -> IntArray:
    """(V, 15): the keypoints that keep their identity (IDTP), from all pairs within the matching distance.

    Each true track gets at most one predicted track per video and joint, so that most keypoints match.
    """
    truth = scene.truth.track[matches.truth] * JOINTS + matches.joint
    predicted = scene.predicted.track[matches.predicted] * JOINTS + matches.joint
    tracks = 1 + int(predicted.max(initial=0))
    pairs, frames = np.unique(truth * tracks + predicted, return_counts=True)
    chosen = best_matching(pairs // tracks, pairs % tracks, frames.astype(np.float64))
    true_track, joint = np.divmod((pairs // tracks)[chosen], JOINTS)
    total = np.zeros((len(scene.names), JOINTS), np.int64)
    np.add.at(total, (_track_video(scene)[true_track], joint), frames[chosen])
    return total


def _track_video(scene: Scene) -> IntArray:
    """(T,): the video of every true track."""
    video = np.zeros(len(scene.truth.track_ids), np.int64)
    video[scene.truth.track] = scene.frame_video[scene.truth.frame]
    return video


def identity_scores(
    objects: IntArray | FloatArray, hypotheses: IntArray | FloatArray, matches: IntArray | FloatArray
) -> IdentityScores:
    """IDF1, IDP and IDR from annotated keypoints, predicted keypoints and identity matches of the same shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(objects > 0, 2 * matches / (objects + hypotheses), np.nan)
        return IdentityScores(f1, matches / hypotheses, matches / objects)
