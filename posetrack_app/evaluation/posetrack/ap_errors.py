"""What AP is lost to: wrong places, swaps, inversions, duplicates, background, missed keypoints.

The kinds are those of Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV
2017, with distances in head sizes (PCKh) in place of OKS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.evaluation.posetrack.average_precision import (
    MATCH_DISTANCE,
    assigned_people,
    average_precision,
    joints_by_score,
)
from posetrack_app.evaluation.posetrack.protocols import Protocol
from posetrack_app.evaluation.posetrack.scene import JOINTS, Candidates, Scene, find_candidates
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS

KINDS = (
    "correct", "far off", "swap", "inversion", "localisation", "duplicate", "background", "not annotated", "missed"
)  # fmt: skip
CORRECT, FAR_OFF, SWAP, INVERSION, LOCALISATION, DUPLICATE, BACKGROUND, NOT_ANNOTATED, MISSED = range(9)
EXPLANATIONS = {
    "far off": "more than one head size away, and not at another annotated keypoint",
    "swap": "at this keypoint, or its mirror image, of another person",
    "inversion": "at the mirrored keypoint of the same person (left for right)",
    "localisation": "half a head size to one head size away",
    "duplicate": "of a pose whose person has a better pose already",
    "background": "of a pose that covers nobody",
    "not annotated": "the person has no such annotated keypoint",
    "missed": "an annotated keypoint without a prediction",
}
_NEAR = 2 * MATCH_DISTANCE
_WRONG_PLACE = (FAR_OFF, SWAP, INVERSION, LOCALISATION)
_EXTRA = (DUPLICATE, BACKGROUND, NOT_ANNOTATED)


_COLUMNS = [POSETRACK.keypoints.index(name) for name in SCORED_KEYPOINTS]
_MIRROR = np.array([_COLUMNS.index(POSETRACK.mirrored[column]) for column in _COLUMNS])
"""The keypoint that each keypoint becomes when left and right change places."""


@dataclass(frozen=True, eq=False)
class ApErrors:
    """The kinds of errors. `kind` (N, 15) of the predicted keypoints (-1: none) and `missed` (T, 15) of the true ones.

    `counts` (9, V, 15) by kind, video and joint. mAP points (9,): `alone` is the gain from mending only this kind;
    `in_turn` from mending it after those before it, so that the sum is what is missing to 100.
    """

    kind: IntArray
    missed: BoolArray
    counts: IntArray
    alone: FloatArray
    in_turn: FloatArray


def analyse_ap(scene: Scene, candidates: Candidates, protocol: Protocol) -> ApErrors:
    """Sort all wrong and missed keypoints into kinds, and mend one kind after the other."""
    assigned = assigned_people(scene, candidates[candidates.distance <= MATCH_DISTANCE])
    kind = _kinds(scene, assigned)
    missed = scene.truth.present.copy()
    rows = np.flatnonzero(assigned >= 0)
    missed[assigned[rows]] &= ~scene.predicted.present[rows]
    counts = np.zeros((len(KINDS), len(scene.names), JOINTS), np.int64)
    row, joint = np.nonzero(kind >= 0)
    np.add.at(counts, (kind[row, joint], scene.frame_video[scene.predicted.frame[row]], joint), 1)
    row, joint = np.nonzero(missed)
    np.add.at(counts[MISSED], (scene.frame_video[scene.truth.frame[row]], joint), 1)
    alone, in_turn = _gains(scene, kind, missed.sum(axis=0), protocol)
    return ApErrors(kind, missed, counts, alone, in_turn)


def _kinds(scene: Scene, assigned: IntArray) -> IntArray:
    """(N, 15): the kind of every predicted keypoint, -1 where there is none. The last assignment below wins."""
    truth, predicted = scene.truth, scene.predicted
    same = find_candidates(scene, _NEAR)
    mirrored = replace(
        predicted, keypoints=predicted.keypoints[:, _MIRROR], present=predicted.present[:, _MIRROR]
    )
    crossed = find_candidates(replace(scene, predicted=mirrored), MATCH_DISTANCE)
    crossed = replace(
        crossed, joint=_MIRROR[crossed.joint]
    )  # the predicted joint; the true one is its mirror image
    crossed = crossed[crossed.joint != _MIRROR[crossed.joint]]

    kind = np.full(predicted.present.shape, FAR_OFF)
    is_own = same.truth == assigned[same.predicted]
    is_close = same.distance <= MATCH_DISTANCE
    is_own_crossed = crossed.truth == assigned[crossed.predicted]

    def mark(pairs: Candidates, which: int) -> None:
        kind[pairs.predicted, pairs.joint] = which

    mark(same[is_own], LOCALISATION)
    mark(crossed[~is_own_crossed], SWAP)
    mark(same[~is_own & is_close], SWAP)
    mark(crossed[is_own_crossed], INVERSION)
    mark(same[is_own & is_close], CORRECT)
    has_person = assigned >= 0
    annotated = truth.present[assigned] if len(truth.frame) else np.zeros_like(predicted.present)
    kind[has_person[:, None] & ~annotated] = NOT_ANNOTATED
    kind[~has_person] = BACKGROUND
    covers = np.zeros(len(assigned), bool)
    covers[same.predicted[is_close]] = True
    kind[~has_person & covers] = DUPLICATE
    kind[~predicted.present] = -1
    return kind


def _gains(
    scene: Scene, kind: IntArray, missed: IntArray, protocol: Protocol
) -> tuple[FloatArray, FloatArray]:
    """mAP points (9,) from mending each kind alone, and in turn."""
    row, joint, _ = joints_by_score(scene.predicted)
    ranked_kind = kind[row, joint]
    truths = scene.truth.present.sum(axis=0)
    scored = truths > 0  # a joint without annotations has no AP to gain

    def mean_ap(mended: tuple[int, ...]) -> float:
        kept = ~np.isin(ranked_kind, [k for k in mended if k in _EXTRA])
        right = np.isin(ranked_kind, [CORRECT, *(k for k in mended if k in _WRONG_PLACE)])
        left = truths - missed if MISSED in mended else truths
        ap = average_precision(joint[kept], right[kept], left, protocol.ap_without_truth).ap
        # If every annotated keypoint of a joint was missed, nothing is left to find.
        return 100 * float(np.where(left > 0, np.nan_to_num(ap), 1.0)[scored].mean()) if scored.any() else 0.0

    errors = range(1, len(KINDS))
    start = mean_ap(())
    alone = [mean_ap((k,)) - start for k in errors]
    steps = [mean_ap(tuple(range(1, k + 1))) for k in errors]
    return np.array([0.0, *alone]), np.diff([start, start, *steps])
