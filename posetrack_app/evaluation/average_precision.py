"""PoseTrack's average precision: poses are assigned whole, then every keypoint is ranked by its score.

Pishchulin et al., "DeepCut", CVPR 2016 (the measure); Andriluka et al., "PoseTrack", CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_app.evaluation.scene import JOINTS, Candidates, Scene
from posetrack_app.formats.pose_sequence import BoolArray
from posetrack_app.records import FloatArray, IntArray

MATCH_DISTANCE = 0.5
"""PCKh: a keypoint is right within half a head size, the limit included."""


@dataclass(frozen=True, eq=False)
class RankedJoints:
    """Every predicted keypoint, best score first (ties: the later video, frame and person first).

    `joint`, `video` (M,), `score` (M,), `correct` (M,); `truths` (V, 15) counts the annotated keypoints.
    """

    joint: IntArray
    video: IntArray
    score: FloatArray
    correct: BoolArray
    truths: IntArray


@dataclass(frozen=True, eq=False)
class ApScores:
    """One group of keypoints a row: `ap`, `precision`, `recall` in 0..1 (NaN: undefined), and the counts."""

    ap: FloatArray
    precision: FloatArray
    recall: FloatArray
    truths: IntArray
    predictions: IntArray
    hits: IntArray


def rank_joints(scene: Scene, candidates: Candidates) -> RankedJoints:
    """Say of every predicted keypoint whether it is right, by the assignment of whole poses."""
    truth, predicted = scene.truth, scene.predicted
    correct = _correct_joints(scene, candidates[candidates.distance <= MATCH_DISTANCE])
    row, joint = np.nonzero(predicted.present)
    score = predicted.scores[row, joint]
    order = np.argsort(score, kind="stable")[::-1]
    row, joint = row[order], joint[order]
    truth_video = scene.frame_video[truth.frame]
    truths = np.zeros((len(scene.names), JOINTS), np.int64)
    np.add.at(truths, truth_video, truth.present.astype(np.int64))
    return RankedJoints(
        joint, scene.frame_video[predicted.frame[row]], score[order], correct[row, joint], truths
    )


def _correct_joints(scene: Scene, matches: Candidates) -> BoolArray:
    """(N, 15): each prediction keeps the person it covers best, each person the best such prediction.

    "Best" is the share of the person's annotated keypoints that match; the first in file order wins ties. A
    prediction beaten for its best person gets no second choice.
    """
    truth, predicted = scene.truth, scene.predicted
    correct = np.zeros(predicted.present.shape, bool)
    pair_key = matches.predicted * max(1, len(truth.frame)) + matches.truth
    pairs, pair_of, matched = np.unique(pair_key, return_inverse=True, return_counts=True)
    p, g = np.divmod(pairs, max(1, len(truth.frame)))
    share = matched / truth.present.sum(axis=1)[g]
    kept = _first_best(p, share)
    assigned = np.zeros(len(pairs), bool)
    assigned[kept[_first_best(g[kept], share[kept])]] = True
    right = assigned[pair_of.reshape(-1)]
    correct[matches.predicted[right], matches.joint[right]] = True
    return correct


def _first_best(group: IntArray, value: FloatArray) -> IntArray:
    """The row of the largest value in each group; the first of equals."""
    order = np.lexsort((np.arange(len(group)), -value, group))
    first: IntArray = order[np.diff(group[order], prepend=-1) != 0]
    return first


def average_precision(
    group: IntArray, correct: BoolArray, truths: IntArray, without_truth: float | None = None
) -> ApScores:
    """AP of every group; the rows of `group` and `correct` stand best score first, `truths` (G,) per group.

    Area under the interpolated precision-recall curve over all recall steps. A group without predictions
    scores 0. One without annotated keypoints scores `without_truth`; None: NaN if there are predictions,
    else 0 (poseval).
    """
    order = np.argsort(group.astype(np.min_scalar_type(len(truths))), kind="stable")  # 16 bits sort fastest
    group, hit = group[order], correct[order].astype(np.int64)
    predictions = np.bincount(group, minlength=len(truths))
    start = np.concatenate([[0], np.cumsum(predictions)])
    total = np.concatenate([[0], np.cumsum(hit)])
    hits = total[start[1:]] - total[start[:-1]]
    rank = np.arange(1, len(group) + 1) - start[group]
    precision = (total[1:] - total[start[group]]) / rank
    # from the right, the largest precision so far; the offsets keep the groups apart
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
    """All videos pooled: one row a joint (15)."""
    return average_precision(ranked.joint, ranked.correct, ranked.truths.sum(axis=0), without_truth)


def video_scores(ranked: RankedJoints, without_truth: float | None = None) -> ApScores:
    """Each video alone: row 15 * video + joint."""
    group = ranked.video * JOINTS + ranked.joint
    return average_precision(group, ranked.correct, ranked.truths.reshape(-1), without_truth)


def precision_recall_curve(ranked: RankedJoints, joints: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Recall and interpolated precision, 0..1, of some joints ranked together, best score first."""
    mine = np.isin(ranked.joint, joints)
    hits = np.cumsum(ranked.correct[mine])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return hits / max(1, int(ranked.truths[:, list(joints)].sum())), precision
