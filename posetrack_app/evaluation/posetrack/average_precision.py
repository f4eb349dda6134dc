"""Average precision of PoseTrack: complete poses are assigned to people, then keypoints are ranked by score.

Pishchulin et al., "DeepCut", CVPR 2016 (the measure); Andriluka et al., "PoseTrack", CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.evaluation.posetrack.scene import JOINTS, Candidates, People, Scene

MATCH_DISTANCE = 0.5
"""PCKh: a keypoint is correct within half a head size (inclusive)."""


@dataclass(frozen=True, eq=False)
class RankedJoints:
    """Every predicted keypoint, highest score first (ties: the later video, frame and person first).

    `joint`, `video` (M,), `score` (M,), `correct` (M,); `truths` (V, 15) counts the annotated keypoints.
    """

    joint: IntArray
    video: IntArray
    score: FloatArray
    correct: BoolArray
    truths: IntArray


@dataclass(frozen=True, eq=False)
class ApScores:
    """One row per group of keypoints: `ap`, `precision` and `recall` in 0..1 (NaN: undefined), and the counts."""

    ap: FloatArray
    precision: FloatArray
    recall: FloatArray
    truths: IntArray
    predictions: IntArray
    hits: IntArray


def rank_joints(scene: Scene, candidates: Candidates) -> RankedJoints:
    """Rank the predicted keypoints; they are correct by the assignment of complete poses."""
    truth, predicted = scene.truth, scene.predicted
    matches = candidates[candidates.distance <= MATCH_DISTANCE]
    is_assigned = assigned_people(scene, matches)[matches.predicted] == matches.truth
    correct = np.zeros(predicted.present.shape, bool)
    correct[matches.predicted[is_assigned], matches.joint[is_assigned]] = True
    row, joint, score = joints_by_score(predicted)
    truths = np.zeros((len(scene.names), JOINTS), np.int64)
    np.add.at(truths, scene.frame_video[truth.frame], truth.present.astype(np.int64))
    return RankedJoints(joint, scene.frame_video[predicted.frame[row]], score, correct[row, joint], truths)


def joints_by_score(predicted: People) -> tuple[IntArray, IntArray, FloatArray]:
    """Person, joint and score (M,) of the predicted keypoints, highest score first."""
    row, joint = np.nonzero(predicted.present)
    score = predicted.scores[row, joint]
    order = np.argsort(score, kind="stable")[::-1]
    return row[order], joint[order], score[order]


def assigned_people(scene: Scene, matches: Candidates) -> IntArray:
    """(N,): the person that each prediction is assigned to, or -1, from the keypoints that match.

    Each prediction chooses its best person, then each person the best of these predictions. "Best" is the largest share
    of the person's annotated keypoints that match; ties go to the first in file order. A prediction that is not chosen
    by its best person is not assigned to another one.
    """
    truth = scene.truth
    pair_key = matches.predicted * max(1, len(truth.frame)) + matches.truth
    pairs, matched = np.unique(pair_key, return_counts=True)
    p, g = np.divmod(pairs, max(1, len(truth.frame)))
    share = matched / truth.present.sum(axis=1)[g]
    kept = _first_best(p, share)
    chosen = kept[_first_best(g[kept], share[kept])]
    assigned = np.full(len(scene.predicted.frame), -1)
    assigned[p[chosen]] = g[chosen]
    return assigned


def _first_best(group: IntArray, value: FloatArray) -> IntArray:
    """The row of the largest value in each group; the first of equals."""
    order = np.lexsort((np.arange(len(group)), -value, group))
    first: IntArray = order[np.diff(group[order], prepend=-1) != 0]
    return first


def average_precision(
    group: IntArray, correct: BoolArray, truths: IntArray, without_truth: float | None = None
) -> ApScores:
    """AP of every group: the area under the interpolated precision-recall curve over all recall steps.

    `group` and `correct` (M,) are sorted by score, highest first; `truths` (G,) counts the annotated keypoints. A group
    without predictions scores 0. A group without annotated keypoints scores `without_truth`; None: NaN if there are
    predictions, else 0 (poseval).
    """
    order = np.argsort(group.astype(np.min_scalar_type(len(truths))), kind="stable")  # 16 bits sort fastest
    group, hit = group[order], correct[order].astype(np.int64)
    predictions = np.bincount(group, minlength=len(truths))
    start = np.concatenate([[0], np.cumsum(predictions)])
    total = np.concatenate([[0], np.cumsum(hit)])
    hits = total[start[1:]] - total[start[:-1]]
    rank = np.arange(1, len(group) + 1) - start[group]
    precision = (total[1:] - total[start[group]]) / rank
    # running maximum from the right; the offsets separate the groups
    falling = 2.0 * (len(truths) - group)
    envelope = np.maximum.accumulate((precision + falling)[::-1])[::-1] - falling
    area = np.bincount(group, weights=envelope * hit, minlength=len(truths))
    with np.errstate(divide="ignore", invalid="ignore"):
        ap, recall = area / truths, hits / truths
        final_precision = hits / predictions
    for values in (ap, recall, final_precision):
        values[predictions == 0] = 0.0
    if without_truth is not None:
        ap[truths == 0] = recall[truths == 0] = without_truth
    return ApScores(ap, final_precision, recall, truths, predictions, hits)


def joint_scores(ranked: RankedJoints, without_truth: float | None = None) -> ApScores:
    """All videos together: one row per joint (15)."""
    return average_precision(ranked.joint, ranked.correct, ranked.truths.sum(axis=0), without_truth)


def video_scores(ranked: RankedJoints, without_truth: float | None = None) -> ApScores:
    """Each video alone: one row per video and joint, at 15 * video + joint."""
    group = ranked.video * JOINTS + ranked.joint
    return average_precision(group, ranked.correct, ranked.truths.reshape(-1), without_truth)


def precision_recall_curve(ranked: RankedJoints, joints: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Recall and interpolated precision in 0..1 of some joints ranked together, highest score first."""
    chosen = np.isin(ranked.joint, joints)
    hits = np.cumsum(ranked.correct[chosen])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return hits / max(1, int(ranked.truths[:, list(joints)].sum())), precision
