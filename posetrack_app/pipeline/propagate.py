"""Propagation: people of the previous frame, moved by optical flow, where the detector misses them or does not run.

The joint propagation of Simple Baselines for Human Pose Estimation and Tracking (Xiao et al., arXiv 1804.06208), with
DIS flow (Kroeger et al., arXiv 1603.03590) in place of FlowNet 2.0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.config import PropagationConfig
from posetrack_app.core.protocols import Estimator
from posetrack_app.core.records import DETECTED, PROPAGATED, Detections, FloatArray, Frame, IntArray, Poses
from posetrack_app.core.similarity import iou_matrix
from posetrack_app.pipeline.duplicates import nms

FADE = 0.97
"""Factor per frame on the score of a propagated person."""
_LONG_SIDE = 480
"""Pixels of the image on which the flow is computed."""
_MARGIN = 0.075
"""Added on each side of a propagated box, as a share of its extent."""
_MIN_KEYPOINTS = 3
"""People with fewer keypoints of at least `min_keypoint_score` are not propagated."""
_MIN_SIDE = 8
"""Pixels; smaller boxes are not propagated."""

_Item = TypeVar("_Item")


class DenseFlow:
    """Optical flow from each image of a video to the next, on small grey images."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._previous: NDArray[np.uint8] | None = None
        self._field: NDArray[np.float32] | None = None
        self._scale = 1.0

    def see(self, image: NDArray[np.uint8]) -> None:
        """Compute the flow from the previous image to `image` (H, W, 3)."""
        self._scale = min(1.0, _LONG_SIDE / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        previous, self._previous = self._previous, grey
        self._field = None
        if previous is not None and previous.shape == grey.shape:
            field = np.zeros((*grey.shape, 2), dtype=np.float32)
            self._field = np.asarray(self._flow.calc(previous, grey, field), dtype=np.float32)

    def watch(self, stream: Iterable[tuple[Frame, _Item]]) -> Iterator[tuple[Frame, _Item]]:
        """The same stream; `see` gets each image as it passes."""
        for frame, item in stream:
            self.see(frame.image)
            yield frame, item

    def move(self, points: FloatArray) -> FloatArray:
        """Positions in the newest image of `points` (..., 2) of the previous one; unchanged for the first image."""
        moved = np.array(points, dtype=np.float64)
        if self._field is None or moved.size == 0:
            return moved
        height, width = self._field.shape[:2]
        at = np.floor(moved * self._scale).astype(int)
        column, row = at[..., 0].clip(0, width - 1), at[..., 1].clip(0, height - 1)
        moved += self._field[row, column] / self._scale
        return moved


@dataclass(frozen=True)
class _Previous:
    """The N people of the previous frame, and their state at their last detection."""

    poses: Poses
    strength: FloatArray
    """(N,) mean keypoint score at the last detection."""
    detected_seconds: FloatArray
    detected_place: FloatArray
    """(N,) time and place in the stream of the last detection."""

    def __getitem__(self, rows: NDArray[Any]) -> _Previous:
        return _Previous(
            self.poses[rows], self.strength[rows], self.detected_seconds[rows], self.detected_place[rows]
        )


def propagate_poses(
    people: Iterable[tuple[Frame, Detections]],
    estimator: Estimator,
    settings: PropagationConfig,
    *,
    box_overlap: float,
) -> Iterator[tuple[Frame, Poses]]:
    """Poses of the detected people, and of people of the previous frame whom the detector did not find.

    The flow moves the keypoints of the previous frame. The box around the keypoints of `min_keypoint_score`, enlarged by
    15 %, is another person, unless its IoU with a detection or with a higher-score propagated box is above `box_overlap`.
    Its score is the previous score times `FADE`, times the mean keypoint score relative to that at the last detection.
    So people who left fall below `min_score` and are dropped.

    A person is propagated over the frames that `detect_every` skips, and otherwise until `max_seconds` after the last
    detection; never over a cut. Frames are not batched, because each needs the poses of the previous one.
    """
    flow = DenseFlow()
    previous: _Previous | None = None
    for place, (frame, detections) in enumerate(people):
        flow.see(frame.image)
        if previous is not None and not frame.info.is_cut:
            steps = place - previous.detected_place
            seconds = frame.info.seconds - previous.detected_seconds
            previous = previous[(seconds <= settings.max_seconds + 1e-6) | (steps < settings.detect_every)]
            boxes, rows = _propagated_boxes(
                previous.poses, flow, frame.info.size, settings.min_keypoint_score
            )
            new = _new_boxes(boxes, previous.poses.scores[rows], detections.boxes, box_overlap)
            previous, boxes = previous[rows[new]], boxes[new]
        else:
            previous, boxes = None, np.zeros((0, 4))
        previous = _estimate(frame, place, detections, previous, boxes, estimator, settings.min_score)
        yield frame, previous.poses


def _estimate(
    frame: Frame,
    place: int,
    detections: Detections,
    propagated: _Previous | None,
    boxes: FloatArray,
    estimator: Estimator,
    min_score: float,
) -> _Previous:
    """Poses of the detections, then of the `propagated` people in their new `boxes`, without those below `min_score`."""
    count = len(detections)
    all_boxes = np.concatenate([detections.boxes, boxes])
    keypoints, keypoint_scores, appearance = estimator([frame.image] * len(all_boxes), list(all_boxes))
    keypoint_scores = np.asarray(keypoint_scores, dtype=np.float64).clip(0, 1)
    mean_scores = keypoint_scores.mean(axis=1)
    strength, scores = mean_scores.copy(), detections.scores
    seconds, places = np.full(len(all_boxes), frame.info.seconds), np.full(len(all_boxes), float(place))
    if propagated is not None:
        strength[count:] = propagated.strength
        seconds[count:], places[count:] = propagated.detected_seconds, propagated.detected_place
        relative = np.minimum(mean_scores[count:] / np.maximum(propagated.strength, 1e-6), 1.0)
        scores = np.concatenate([scores, FADE * propagated.poses.scores * relative])
    is_propagated = np.arange(len(all_boxes)) >= count
    found = Detections(boxes=all_boxes, scores=scores, origins=np.where(is_propagated, PROPAGATED, DETECTED))
    poses = found.with_keypoints(
        np.asarray(keypoints, dtype=np.float64), keypoint_scores, np.asarray(appearance, np.float64)
    )
    return _Previous(poses, strength, seconds, places)[~is_propagated | (scores >= min_score)]


def _propagated_boxes(
    poses: Poses, flow: DenseFlow, size: tuple[int, int], min_keypoint_score: float
) -> tuple[FloatArray, IntArray]:
    """Boxes (M, 4) around the moved keypoints, clipped to a frame of `size` (width, height), and their rows in `poses`."""
    visible = poses.keypoint_scores >= min_keypoint_score
    rows = np.nonzero(visible.sum(axis=1) >= _MIN_KEYPOINTS)[0]
    moved, is_hidden = flow.move(poses.keypoints[rows]), ~visible[rows][..., None]
    low = np.where(is_hidden, np.inf, moved).min(axis=1, initial=np.inf)
    high = np.where(is_hidden, -np.inf, moved).max(axis=1, initial=-np.inf)
    margin = _MARGIN * (high - low)
    boxes = np.concatenate([low - margin, high + margin], axis=1)
    boxes = boxes.clip(0, [size[0], size[1], size[0], size[1]])
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= _MIN_SIDE
    return boxes[large], rows[large]


def _new_boxes(boxes: FloatArray, scores: FloatArray, detected: FloatArray, overlap: float) -> IntArray:
    """Rows of `boxes` (M, 4), highest score first, whose IoU with every detection and better row is at most `overlap`."""
    free = np.flatnonzero((iou_matrix(boxes, detected) <= overlap).all(axis=1))
    return free[nms(iou_matrix(boxes[free]), scores[free], overlap)]


def detect_every(
    frames: Iterable[Frame],
    detect: Callable[[Iterable[Frame]], Iterator[tuple[Frame, Detections]]],
    every: int,
) -> Iterator[tuple[Frame, Detections]]:
    """All frames in order; `detect` gets every `every`-th frame, the others have no detections."""
    waiting: deque[Frame] = deque()

    def chosen() -> Iterator[Frame]:
        for place, frame in enumerate(frames):
            waiting.append(frame)
            if place % every == 0:
                yield frame

    no_people = Detections.detected(np.zeros((0, 4)), np.zeros(0))
    for detected, people in detect(chosen()):
        while (frame := waiting.popleft()) is not detected:
            yield frame, no_people
        yield detected, people
    for frame in waiting:
        yield frame, no_people
