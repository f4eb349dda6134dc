"""People found again by optical flow: poses of the last frame moved on, where the detector misses or rests.

The joint propagation of Simple Baselines for Human Pose Estimation and Tracking (arXiv 1804.06208), with DIS flow
(arXiv 1603.03590) in place of FlowNet 2.0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.pipeline import Estimator
from posetrack_app.records import DETECTED, PROPAGATED, Detections, FloatArray, Frame, Poses

_LONG_SIDE = 480
_Item = TypeVar("_Item")


class DenseFlow:
    """Optical flow from each picture of a video to the next, on small grey pictures."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._before: NDArray[np.uint8] | None = None
        self._field: NDArray[np.float32] | None = None
        self._scale = 1.0

    def see(self, image: NDArray[np.uint8]) -> None:
        """Take in the next picture (H, W, 3)."""
        self._scale = min(1.0, _LONG_SIDE / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        before, self._before = self._before, grey
        self._field = None
        if before is not None and before.shape == grey.shape:
            field = np.zeros((*grey.shape, 2), dtype=np.float32)
            self._field = np.asarray(self._flow.calc(before, grey, field), dtype=np.float32)

    def watch(self, stream: Iterable[tuple[Frame, _Item]]) -> Iterator[tuple[Frame, _Item]]:
        """The same stream; each picture is seen as it passes."""
        for frame, item in stream:
            self.see(frame.image)
            yield frame, item

    def move(self, points: FloatArray) -> FloatArray:
        """Where `points` (..., 2) of the picture before are in the last one; the first picture moves nothing."""
        moved = np.array(points, dtype=np.float64)
        if self._field is None or moved.size == 0:
            return moved
        height, width = self._field.shape[:2]
        at = np.floor(moved * self._scale).astype(int)
        column, row = at[..., 0].clip(0, width - 1), at[..., 1].clip(0, height - 1)
        moved += self._field[row, column] / self._scale
        return moved


def propagate_poses(
    people: Iterable[tuple[Frame, Detections]],
    estimator: Estimator,
    *,
    box_overlap: float,
    min_score: float = 0.3,
    min_keypoint_score: float = 0.2,
    max_seconds: float = 2.0,
    fade: float = 0.97,
) -> Iterator[tuple[Frame, Poses]]:
    """Keypoints of everybody detected, and of those of the frame before whom the detector did not find again.

    The keypoints of the frame before move with the flow; the box around the sure ones, 15 % larger, is one more
    person, unless it overlaps a detection or a better such box by more than `box_overlap`. Its score is the one
    before times `fade` times the mean of the sure keypoint scores relative to the frame where he was detected, so
    somebody who left fades below `min_score` and is dropped; so is whoever was not detected for more than
    `max_seconds`, lest what was detected in error stays. Nobody is carried over a cut. Frames cannot be batched: each
    needs the one before.
    """
    flow = DenseFlow()
    before: Poses | None = None
    strength: FloatArray = np.zeros(0)
    detected_at: FloatArray = np.zeros(0)
    for frame, detections in people:
        flow.see(frame.image)
        if frame.is_cut:
            before = None
        boxes, scores = detections.boxes, detections.scores
        reference = np.full(len(boxes), np.nan)
        last = np.full(len(boxes), frame.seconds)
        if before is not None and len(before):
            carried, of = _carried_boxes(before, flow, frame.size, min_keypoint_score)
            recent = frame.seconds - detected_at[of] <= max_seconds + 1e-6
            carried, of = carried[recent], of[recent]
            rows = _new_boxes(boxes, carried, before.scores[of], box_overlap)
            boxes = np.concatenate([boxes, carried[rows]])
            scores = np.concatenate([scores, fade * before.scores[of[rows]]])
            reference = np.concatenate([reference, strength[of[rows]]])
            last = np.concatenate([last, detected_at[of[rows]]])
        keypoints, keypoint_scores, *looks = estimator([frame.image] * len(boxes), list(boxes))
        keypoint_scores = np.asarray(keypoint_scores, dtype=np.float64).clip(0, 1)
        now = keypoint_scores.mean(axis=1)
        strength = np.where(np.isnan(reference), now, reference)
        scores = scores * np.where(
            np.isnan(reference), 1.0, np.minimum(now / np.maximum(strength, 1e-6), 1.0)
        )
        kept = np.isnan(reference) | (scores >= min_score)
        origins = np.where(np.isnan(reference), DETECTED, PROPAGATED)
        columns = boxes, scores, np.asarray(keypoints, dtype=np.float64), keypoint_scores
        appearance = looks[0] if looks else np.zeros((len(boxes), 0))
        poses = Poses(*columns, origins=origins, appearance=np.asarray(appearance, np.float64))[kept]
        strength, detected_at = strength[kept], last[kept]
        before = poses
        yield frame, poses


def _carried_boxes(
    before: Poses, flow: DenseFlow, size: tuple[int, int], min_keypoint_score: float
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Boxes (M, 4) around moved keypoints, 15 % larger and within the picture, and the rows they come from."""
    sure = before.keypoint_scores >= min_keypoint_score
    rows = np.nonzero(sure.sum(axis=1) >= 3)[0]
    moved, hidden = flow.move(before.keypoints[rows]), ~sure[rows][..., None]
    low = np.where(hidden, np.inf, moved).min(axis=1, initial=np.inf)
    high = np.where(hidden, -np.inf, moved).max(axis=1, initial=-np.inf)
    margin = 0.075 * (high - low)
    boxes = np.concatenate([low - margin, high + margin], axis=1)
    boxes = boxes.clip(0, [size[0], size[1], size[0], size[1]])
    inside = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= 8
    return boxes[inside], rows[inside]


def _new_boxes(detected: FloatArray, carried: FloatArray, scores: FloatArray, overlap: float) -> list[int]:
    """Rows of `carried` (M, 4), best score first, that overlap neither a detection nor a better row too much."""
    kept: list[int] = []
    taken = list(detected)
    for row in np.argsort(-scores, kind="stable").tolist():
        if all(_iou(carried[row], box) <= overlap for box in taken):
            kept.append(row)
            taken.append(carried[row])
    return kept


def _iou(first: FloatArray, second: FloatArray) -> float:
    shared = np.maximum(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0.0).prod()
    areas = (first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod()
    return float(shared / max(areas - shared, 1e-9))


def detect_every(
    frames: Iterable[Frame],
    detect: Callable[[Iterable[Frame]], Iterator[tuple[Frame, Detections]]],
    every: int,
) -> Iterator[tuple[Frame, Detections]]:
    """All frames in order; `detect` sees only every so-many-th, the others have no detections."""
    waiting: deque[Frame] = deque()

    def chosen() -> Iterator[Frame]:
        for place, frame in enumerate(frames):
            waiting.append(frame)
            if place % every == 0:
                yield frame

    nobody = Detections(np.zeros((0, 4)), np.zeros(0))
    for detected, people in detect(chosen()):
        while (frame := waiting.popleft()) is not detected:
            yield frame, nobody
        yield detected, people
    for frame in waiting:
        yield frame, nobody
