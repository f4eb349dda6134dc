"""A GPU that is too small gets smaller batches: same answers, and a line that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from posetrack_app.errors import InputError
from posetrack_app.smaller_batches import sparing_detector, sparing_estimator


class Small:
    """Memory for `room` pictures; remembers the batches it was asked for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[int] = []

    def take(self, count: int) -> None:
        self.asked.append(count)
        if count > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def detect(self, images: Sequence[Any], /) -> list[Any]:
        self.take(len(images))
        return [(np.full((1, 4), image), np.ones(1)) for image in images]

    def estimate(self, images: Sequence[Any], boxes: Sequence[Any], /) -> tuple[Any, ...]:
        self.take(len(images))
        keypoints = np.array([np.full((17, 2), box[0]) for box in boxes]).reshape(-1, 17, 2)
        return keypoints, np.ones(keypoints.shape[:2]), np.zeros((len(boxes), 8))


def test_batches_are_halved_and_stay_so(capsys: pytest.CaptureFixture[str]) -> None:
    small = Small(2)
    detect = sparing_detector(small.detect)
    for _ in range(2):
        found = detect(list(range(7)))
        assert [pair[0][0, 0] for pair in found] == list(range(7))
    assert small.asked == [7, 3, 1, 1, 1, 1, 1, 1, 1] + [1] * 7
    said = capsys.readouterr().err
    assert "out of GPU memory; the detector network goes on with batches of 3" in said
    assert len(said.splitlines()) == 2


def test_poses_come_in_order() -> None:
    small = Small(3)
    estimate = sparing_estimator(small.estimate)
    boxes = [np.full(4, k) for k in range(5)]
    keypoints, scores, appearance = estimate(list(range(5)), boxes)
    assert keypoints[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert (scores.shape, appearance.shape) == ((5, 17), (5, 8))
    assert small.asked == [5, 2, 2, 1]
    nobody, _, _ = estimate([], [])
    assert nobody.shape == (0, 17, 2)


def test_one_picture_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(InputError, match="too small for the detector network, even one picture"):
        sparing_detector(Small(0).detect)([1, 2])
