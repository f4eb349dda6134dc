"""A GPU with too little memory gets smaller batches: the same outputs, and a warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.protocols import PoseArrays
from posetrack_app.models.batching import halving_detector, halving_estimator


class SmallGpu:
    """Networks with memory for `limit` images; `calls` are the batch sizes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.calls: list[int] = []

    def allocate(self, count: int) -> None:
        self.calls.append(count)
        if count > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def detect(self, images: Sequence[Any], /) -> list[Any]:
        self.allocate(len(images))
        return [(np.full((1, 4), image[0, 0, 0]), np.ones(1)) for image in images]

    def estimate(self, images: Sequence[Any], boxes: Sequence[Any], /) -> PoseArrays:
        self.allocate(len(images))
        keypoints = np.array([np.full((17, 2), box[0]) for box in boxes]).reshape(-1, 17, 2)
        return keypoints, np.ones(keypoints.shape[:2]), np.zeros((len(boxes), 8))


def images(count: int) -> list[NDArray[np.uint8]]:
    return [np.full((1, 1, 3), index, np.uint8) for index in range(count)]


def test_batches_are_halved_and_stay_small(caplog: pytest.LogCaptureFixture) -> None:
    gpu = SmallGpu(2)
    detect = halving_detector(gpu.detect)
    for _ in range(2):
        found = detect(images(7))
        assert [pair[0][0, 0] for pair in found] == list(range(7))
    assert gpu.calls == [7, 3, 1, 1, 1, 1, 1, 1, 1] + [1] * 7
    first, second = caplog.messages
    assert "out of GPU memory; the detector network continues with batches of 3" in first
    assert "set [detector] batch = 1" in second
    assert {record.name for record in caplog.records} == {"posetrack"}


def test_poses_come_in_order() -> None:
    gpu = SmallGpu(3)
    estimate = halving_estimator(gpu.estimate)
    boxes = [np.full(4, k) for k in range(5)]
    keypoints, scores, appearance = estimate(images(5), boxes)
    assert keypoints[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert (scores.shape, appearance.shape) == ((5, 17), (5, 8))
    assert gpu.calls == [5, 2, 2, 1]
    no_people, _, _ = estimate([], [])
    assert no_people.shape == (0, 17, 2)


def test_an_image_that_does_not_fit_is_an_input_error() -> None:
    with pytest.raises(InputError, match="too small for the detector network, even for one image") as caught:
        halving_detector(SmallGpu(0).detect)(images(2))
    assert caught.value.option == "device"
