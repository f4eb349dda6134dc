"""True keypoints or true identities in place of the predicted ones: how much a perfect part would gain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from posetrack_app.core.records import FloatArray, HasInfo, IntArray, Poses, TrackedPoses
from posetrack_app.core.similarity import iou_matrix
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS, PoseSequence

COLUMNS = np.array([POSETRACK.keypoints.index(name) for name in SCORED_KEYPOINTS])
"""Where the 15 scored keypoints are among the 17 of PoseTrack18."""
_MIN_IOU = 0.5
_REACH = 0.5
"""Head sizes: a keypoint is correct within this distance, as in the scores."""


def with_true_keypoints(poses: Poses, boxes: FloatArray, truth: PoseSequence, frame: int) -> Poses:
    """The poses of one frame; whose box fits that of an annotated person gets their keypoints, with the score 1.

    Every annotated person is used once, for the largest sum of IoU with at least 0.5 each. Keypoints that are not
    annotated are missing. Other poses stay as they are ("perfect keypoints" of Girdhar et al., CVPR 2018).

    Args:
        poses: (N,) POSETRACK keypoints.
        boxes: (G, 4) x1 y1 x2 y2 around the annotated people of the frame who have a keypoint.
        truth: the annotated video.
        frame: its frame.
    """
    people = _people(truth, frame)
    rows, columns = _pairs(iou_matrix(poses.boxes, boxes), _MIN_IOU)
    keypoints, scores = poses.keypoints.copy(), poses.keypoint_scores.copy()
    keypoints[rows], scores[rows] = 0.0, 0.0
    chosen = people[columns]
    present = truth.present[chosen]
    keypoints[np.ix_(rows, COLUMNS)] = np.where(present[..., None], truth.keypoints[chosen], 0.0)
    scores[np.ix_(rows, COLUMNS)] = present
    return replace(poses, keypoints=keypoints, keypoint_scores=scores)


def with_true_ids(
    stream: Iterable[tuple[HasInfo, TrackedPoses]], truth: PoseSequence
) -> Iterator[tuple[HasInfo, TrackedPoses]]:
    """Linked people; who has correct keypoints of an annotated person gets their id ("perfect association").

    In every frame each annotated person is used once, for the most correct keypoints in total. The others keep a track
    of their own, so that the same poses are scored.
    """
    first_free = int(truth.ids.max(initial=0)) + 1
    for frame, people in stream:
        annotated = _people(truth, frame.info.index)
        rows, columns = _pairs(_correct_keypoints(people, truth, annotated), 1e-9)
        ids: IntArray = people.ids + first_free
        ids[rows] = truth.ids[annotated[columns]]
        yield frame, replace(people, ids=ids)


def _people(truth: PoseSequence, frame: int) -> IntArray:
    """Rows of the annotated people of a frame who have a keypoint."""
    return np.flatnonzero((truth.frame == frame) & truth.present.any(axis=1))


def _correct_keypoints(people: TrackedPoses, truth: PoseSequence, annotated: IntArray) -> FloatArray:
    """(N, G): how many keypoints of each person are correct for each annotated person; those nearer count a bit more."""
    sides = truth.head_boxes[annotated, 2:] - truth.head_boxes[annotated, :2]
    reach = _REACH * 0.6 * np.linalg.norm(sides, axis=1)
    offset = people.keypoints[:, None, COLUMNS] - truth.keypoints[None, annotated]
    distance = np.linalg.norm(offset, axis=3) / np.maximum(reach, 1e-9)[None, :, None]
    both = (people.keypoint_scores[:, None, COLUMNS] > 0) & truth.present[None, annotated]
    correct: FloatArray = np.where(both & (distance <= 1), 1.0 + 1e-3 * (1 - distance), 0.0).sum(axis=2)
    return correct


def _pairs(similarity: FloatArray, lowest: float) -> tuple[IntArray, IntArray]:
    """Rows and columns of the one-to-one pairs with the largest sum, of those with at least `lowest`."""
    allowed = np.where(similarity >= lowest, similarity, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    matched = allowed[rows, columns] > 0
    return rows[matched], columns[matched]
