"""A GPU with too little memory gets smaller batches: the same outputs, and a warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import fakes
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from posetrack_app.core.config import Config, TrackerConfig
from posetrack_app.core.errors import InputError
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.models.batching import halving_detector, halving_estimator
from posetrack_app.pipeline.track_people import track_people


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


@pytest.mark.parametrize(
    "message",
    [
        "MPS backend out of memory (MPS allocated: 17 GB)",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
    ],
)
def test_errors_of_the_libraries_halve_too(message: str) -> None:
    def detect(images: Sequence[Any], /) -> list[Any]:
        if len(images) > 1:
            raise RuntimeError(message)
        return [(np.zeros((0, 4)), np.zeros(0))]

    assert len(halving_detector(detect)(images(3))) == 3


def test_other_errors_are_raised() -> None:
    def detect(images: Sequence[Any], /) -> list[Any]:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        halving_detector(detect)(images(3))


def test_identities_do_not_depend_on_the_memory() -> None:
    """Two people who cross, with memory for every batch, for three images and for one."""
    script = [
        (
            np.array([[2 + 1.5 * t, 4, 16 + 1.5 * t, 44], [48 - 1.5 * t, 6, 62 - 1.5 * t, 46]]),
            np.full(2, 0.99),
        )
        for t in range(11)
    ]
    runs = []
    for limit in (100, 3, 1):
        detect, estimate = fakes.ScriptedDetector(script), fakes.BoxEstimator()
        gpu = SmallGpu(limit)

        def small_detect(images: Sequence[Any], /, gpu: SmallGpu = gpu, detect: Any = detect) -> Any:
            gpu.allocate(len(images))
            return detect(images)

        def small_estimate(
            images: Sequence[Any], boxes: Sequence[Any], /, gpu: SmallGpu = gpu, estimate: Any = estimate
        ) -> PoseArrays:
            gpu.allocate(len(images))
            return cast(PoseArrays, estimate(images, boxes))

        networks = Networks(
            halving_detector(small_detect), halving_estimator(small_estimate), POSETRACK, "cpu", "float32", {}
        )
        linked = track_people(
            fakes.numbered_frames(len(script)), networks, Config(tracker=TrackerConfig(confirmations=1))
        )
        runs.append([(people.ids.tolist(), people.keypoints.tolist()) for _, people in linked])
        assert max(gpu.calls) > 1
    assert runs[0] == runs[1] == runs[2]
    assert {number for ids, _ in runs[0] for number in ids} == {1, 2}


def test_an_image_that_does_not_fit_is_an_input_error() -> None:
    with pytest.raises(InputError, match="too small for the detector network, even for one image") as caught:
        halving_detector(SmallGpu(0).detect)(images(2))
    assert caught.value.option == "device"
