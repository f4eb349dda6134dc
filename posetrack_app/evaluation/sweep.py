"""How mAP and MOTA change when weak keypoints are dropped before scoring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.evaluation.average_precision import joint_scores, rank_joints
from posetrack_app.evaluation.clear_mot import count_events
from posetrack_app.evaluation.pairing import paired_by_image_id
from posetrack_app.evaluation.protocols import Protocol
from posetrack_app.evaluation.scene import SequencePair, build_scene, find_candidates
from posetrack_app.evaluation.tables import summed_mot_scores, with_total
from posetrack_app.formats.pose_sequence import NO_SCORE
from posetrack_app.records import FloatArray

_STEPS = 20


@dataclass(frozen=True)
class SweepPoint:
    """Percentages with keypoints below `threshold` dropped."""

    threshold: float
    map: float
    mota: float


def sweep_thresholds(pairs: Sequence[SequencePair], protocol: Protocol) -> list[SweepPoint]:
    """20 thresholds: 0, 0.05, ... 0.95, or even steps from the lowest score on where scores leave 0..1.

    Keypoints without a score are below all of them.
    """
    if protocol.pairs_by_image_id:
        pairs = [paired_by_image_id(pair) for pair in pairs]
    points = []
    for threshold in _thresholds(pairs):
        scene = build_scene(pairs, protocol, threshold)
        candidates = find_candidates(scene, 0.5)
        ap = joint_scores(rank_joints(scene, candidates), protocol.ap_without_truth).ap
        mota = summed_mot_scores(count_events(scene, candidates, protocol)).mota
        points.append(
            SweepPoint(threshold, 100 * float(with_total(ap)[-1]), 100 * float(with_total(mota)[-1]))
        )
    return points


def best_map(points: Sequence[SweepPoint]) -> SweepPoint:
    """The highest mAP; of equals the highest threshold."""
    return max(points, key=lambda point: (np.nan_to_num(point.map, nan=-np.inf), point.threshold))


def best_mota(points: Sequence[SweepPoint]) -> SweepPoint:
    """The highest MOTA; of equals the highest threshold."""
    return max(points, key=lambda point: (np.nan_to_num(point.mota, nan=-np.inf), point.threshold))


def _thresholds(pairs: Sequence[SequencePair]) -> list[float]:
    scores: FloatArray = np.concatenate(
        [np.zeros(0), *(p.predicted.scores[p.predicted.present] for p in pairs)]
    )
    anybody = len(scores) > 0
    scores = scores[scores != NO_SCORE]
    if anybody and not len(scores):
        raise InputError("the predictions have no keypoint scores; there is nothing to sweep")
    if scores.min(initial=0) >= 0 and scores.max(initial=1) <= 1:
        return [step / _STEPS for step in range(_STEPS)]
    steps = np.linspace(scores.min(), scores.max(), _STEPS, endpoint=False)
    return [math.floor(step * 1e6) / 1e6 for step in steps.tolist()]  # down: the first one keeps the lowest
