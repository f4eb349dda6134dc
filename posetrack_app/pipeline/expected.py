"""People where the tracker expects them: those whom the detector missed, and those covered by one box over two people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from posetrack_app.core.config import PropagationConfig
from posetrack_app.core.protocols import Estimator, Expected, ExpectingTracker
from posetrack_app.core.records import (
    PROPAGATED,
    BoolArray,
    Detections,
    FloatArray,
    Frame,
    IntArray,
    Poses,
    joined_rows,
)
from posetrack_app.core.similarity import iou_matrix

FOUND_IOU = 0.3
"""An expected person is found if a box overlaps the expected one this much."""
INSIDE = 0.75
"""Share of an expected box that lies in a box which covers it."""
TOO_LARGE = 1.3
"""A box whose height or area is this many times that of every person expected in it is too large."""
MIN_VISIBLE = 0.5
"""Share of an expected box that must lie in the image."""


def find_expected(
    stream: Iterable[tuple[Frame, Poses]],
    tracker: ExpectingTracker,
    estimator: Estimator,
    settings: PropagationConfig,
) -> Iterator[tuple[Frame, Poses]]:
    """The same poses, and poses estimated where the `tracker` expects people.

    A person without a pose gets one at the expected box. Where a box is much larger than those of the people expected
    inside it, poses at the expected boxes replace its pose, if each of them has higher keypoint scores.

    Such a person has the last score of the track, times the mean keypoint score relative to that of the track. Where the
    detector ran and missed the person, the score also fades, by exp(-elapsed / `max_seconds`), and below `min_score` the
    person is dropped. So people who left disappear. The detector runs on every `detect_every`-th frame.

    Each frame must be linked by the `tracker` before the next one is asked for.
    """
    before = 0.0
    for place, (frame, poses) in enumerate(stream):
        elapsed, before = frame.info.seconds - before, frame.info.seconds
        if place == 0 or frame.info.is_cut:
            yield frame, poses
            continue
        expected = tracker.expect(frame.info.seconds, camera_motion=frame.info.camera_motion)
        iou = iou_matrix(expected.boxes, poses.boxes)
        covering = _covering(iou, expected.boxes, poses.boxes)
        missed = iou.max(axis=1, initial=0.0) < FOUND_IOU
        is_seen = expected.seconds_lost <= 1.5 * elapsed
        wanted = np.flatnonzero(is_seen & _is_visible(expected.boxes, frame) & (missed | (covering >= 0)))
        if not len(wanted):
            yield frame, poses
            continue
        runs = place % settings.detect_every == 0
        fade = np.exp(-elapsed / max(settings.max_seconds, 1e-9)) if runs else 1.0
        found = _estimated(frame, expected, wanted, estimator)
        yield frame, _merged(poses, found, covering[wanted], fade, settings.min_score)


def _is_visible(boxes: FloatArray, frame: Frame) -> BoolArray:
    """(T,) whether enough of each box lies in the image."""
    clipped = boxes.clip(0, np.tile(frame.info.size, 2))
    shares = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    visible: BoolArray = shares >= MIN_VISIBLE
    return visible


def _covering(iou: FloatArray, expected: FloatArray, boxes: FloatArray) -> IntArray:
    """(T,) row of the box that covers each of the `expected` boxes (T, 4) and is too large for it; -1 if there is none.

    `iou` (T, N) is that of the `expected` boxes and the `boxes` (N, 4).
    """
    covering = np.full(len(expected), -1)
    if not len(expected) or not len(boxes):
        return covering
    sides, expected_sides = boxes[:, 2:] - boxes[:, :2], expected[:, 2:] - expected[:, :2]
    areas, expected_areas = sides.prod(axis=1), expected_sides.prod(axis=1)
    shared = iou * (areas + expected_areas[:, None]) / (1.0 + iou)
    best = iou.argmax(axis=1)
    inside = shared[np.arange(len(expected)), best] >= INSIDE * expected_areas
    for row in np.unique(best[inside]):
        members = np.flatnonzero(inside & (best == row))
        growth = sides[row, 1] / expected_sides[members, 1].max(), areas[row] / expected_areas[members].max()
        if max(growth) >= TOO_LARGE:
            covering[members] = row
    return covering


def _estimated(frame: Frame, expected: Expected, wanted: IntArray, estimator: Estimator) -> Poses:
    """The poses at the `wanted` expected boxes, with the scores that they have where the detector did not run."""
    boxes = expected.boxes[wanted]
    keypoints, keypoint_scores, appearance = (
        np.asarray(column, dtype=np.float64) for column in estimator([frame.image] * len(boxes), list(boxes))
    )
    keypoint_scores = keypoint_scores.clip(0, 1)
    # The box moves with the keypoints, and keeps its size.
    weights = keypoint_scores * expected.keypoint_scores[wanted]
    offsets = (weights[..., None] * (keypoints - expected.keypoints[wanted])).sum(axis=1)
    offsets /= np.maximum(weights.sum(axis=1), 1e-9)[:, None]
    boxes = (boxes + np.tile(offsets, 2)).clip(0, np.tile(frame.info.size, 2))
    usual = expected.keypoint_scores[wanted].mean(axis=1)
    scores = expected.scores[wanted] * np.minimum(keypoint_scores.mean(axis=1) / np.maximum(usual, 1e-9), 1.0)
    found = Detections(boxes=boxes, scores=scores, origins=np.full(len(boxes), PROPAGATED, dtype=np.int8))
    return found.with_keypoints(keypoints, keypoint_scores, appearance)


def _merged(poses: Poses, found: Poses, covering: IntArray, fade: float, min_score: float) -> Poses:
    """`poses`, without those replaced, and the `found` ones that count; `covering` (M,) is the row to replace, or -1."""
    kept, taken = np.ones(len(poses), dtype=bool), np.zeros(len(found), dtype=bool)
    means = found.keypoint_scores.mean(axis=1)
    for row in np.unique(covering[covering >= 0]):
        members = covering == row
        if means[members].min() > poses.keypoint_scores[row].mean():
            kept[row], taken[members] = False, True
    scores = np.where(covering >= 0, found.scores, fade * found.scores)
    taken |= (covering < 0) & (scores >= min_score)
    return joined_rows([poses[kept], replace(found, scores=scores)[taken]])
