"""mAP and MOTA at different keypoint thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FloatArray
from posetrack_app.evaluation.posetrack.average_precision import joint_scores, rank_joints
from posetrack_app.evaluation.posetrack.clear_mot import count_events
from posetrack_app.evaluation.posetrack.pairing import paired_by_image_id
from posetrack_app.evaluation.posetrack.protocols import Protocol
from posetrack_app.evaluation.posetrack.scene import SequencePair, build_scene, find_candidates
from posetrack_app.evaluation.report.tables import summed_mot_scores, with_total
from posetrack_app.formats.posetrack.sequence import NO_SCORE

_STEPS = 20


@dataclass(frozen=True)
class SweepPoint:
    """Percentages without the keypoints below `threshold`."""

    threshold: float
    map: float
    mota: float


def sweep_thresholds(pairs: Sequence[SequencePair], protocol: Protocol) -> list[SweepPoint]:
    """20 thresholds: 0, 0.05, ... 0.95, or even steps from the lowest score up if scores are outside 0..1.

    Keypoints without a score are below all of them. Raises InputError if no keypoint has a score.
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
    """The point with the highest mAP, and among equal ones with the highest threshold."""
    return max(points, key=lambda point: (np.nan_to_num(point.map, nan=-np.inf), point.threshold))


def best_mota(points: Sequence[SweepPoint]) -> SweepPoint:
    """The point with the highest MOTA, and among equal ones with the highest threshold."""
    return max(points, key=lambda point: (np.nan_to_num(point.mota, nan=-np.inf), point.threshold))


def _thresholds(pairs: Sequence[SequencePair]) -> list[float]:
    scores: FloatArray = np.concatenate(
        [np.zeros(0), *(p.predicted.scores[p.predicted.present] for p in pairs)]
    )
    has_keypoints = len(scores) > 0
    scores = scores[scores != NO_SCORE]
    if has_keypoints and not len(scores):
        raise InputError("the predictions have no keypoint scores; there is nothing to sweep")
    if scores.min(initial=0) >= 0 and scores.max(initial=1) <= 1:
        return [step / _STEPS for step in range(_STEPS)]
    steps = np.linspace(scores.min(), scores.max(), _STEPS, endpoint=False)
    return [
        math.floor(step * 1e6) / 1e6 for step in steps.tolist()
    ]  # round down, so that the first threshold keeps the lowest score
