"""Stage 1: find people in every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from posetrack_app.core.protocols import Detector
from posetrack_app.core.records import Detections, Frame
from posetrack_app.core.similarity import iou_matrix
from posetrack_app.pipeline.duplicates import nms


def detect_people(
    frames: Iterable[Frame],
    detector: Detector,
    *,
    min_score: float,
    box_overlap: float,
    max_people: int,
    batch: int,
) -> Iterator[tuple[Frame, Detections]]:
    """Every frame with its people, highest scores first; boxes are clipped to the frame.

    Args:
        frames: the frames of one video.
        detector: called with up to `batch` images.
        min_score: drop detections below this score.
        box_overlap: of two boxes with a higher IoU, drop the one with the lower score.
        max_people: keep at most this many people per frame.
        batch: frames per call of the detector.
    """
    stream = iter(frames)
    while group := list(islice(stream, batch)):
        found = detector([frame.image for frame in group])
        for frame, (boxes, scores) in zip(group, found, strict=True):
            boxes, scores = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
            width, height = frame.info.size
            boxes = np.clip(boxes, 0, [width, height, width, height])
            sides = boxes[:, 2:] - boxes[:, :2]
            valid = (scores >= min_score) & (sides.min(axis=1, initial=np.inf) >= 1)
            people = Detections.detected(boxes[valid], scores[valid])
            yield frame, people[nms(iou_matrix(people.boxes), people.scores, box_overlap)[:max_people]]
