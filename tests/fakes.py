"""Scripted stand-ins for the networks; they satisfy the pipeline's protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.protocols import PoseArrays
from posetrack_app.core.records import Detections, FloatArray, Frame, TrackedPoses


def numbered_frames(count: int, rate: float = 10.0) -> Iterator[Frame]:
    """Images of 64 x 48 pixels, all with the value of the frame's index."""
    for index in range(count):
        yield Frame.of(index, index / rate, np.full((48, 64, 3), index, dtype=np.uint8))


class ScriptedDetector:
    """Returns the scripted boxes and scores of the frame whose index the image shows; `calls` are the batch sizes."""

    def __init__(self, script: Sequence[tuple[FloatArray, FloatArray]]) -> None:
        self.script = script
        self.calls: list[int] = []

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> list[tuple[FloatArray, FloatArray]]:
        self.calls.append(len(images))
        return [self.script[int(image[0, 0, 0])] for image in images]


class BoxEstimator:
    """Returns keypoints on the diagonal of the box with scores 0.9; `calls` are the batch sizes."""

    def __init__(self, keypoints: int = 17) -> None:
        self.keypoints = keypoints
        self.calls: list[int] = []

    def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        self.calls.append(len(images))
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
        share = np.linspace(0, 1, self.keypoints)[None, :, None]
        keypoints = corners[..., :2] * (1 - share) + corners[..., 2:] * share
        return keypoints, np.full(keypoints.shape[:2], 0.9), np.zeros((len(keypoints), 0))


def people(corners: dict[int, tuple[float, float]], score: float = 1.0, size: float = 60.0) -> TrackedPoses:
    """People `size` pixels tall with these ids and top left corners; the keypoints are spread over each box."""
    count = len(corners)
    corner = np.array(list(corners.values()), float).reshape(count, 2)
    spread = np.random.default_rng(0).uniform(0.1, 0.9, (17, 2)) * (size / 2, size)
    keypoints = corner[:, None] + spread
    boxes = np.concatenate([corner, corner + np.array([size / 2, size])], axis=1)
    found = Detections.detected(boxes, np.full(count, 0.9))
    poses = found.with_keypoints(keypoints, np.full((count, 17), score))
    return poses.with_ids(np.array(list(corners), np.int64))
