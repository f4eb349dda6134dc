"""Several pictures at once: the same answers, in order, and PyTorch's threads as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from posetrack_app.cores import Cores


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Watched:
    """Answers that tell the pictures apart; notes how many it was asked at once and what threads PyTorch would use."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.threads: set[int] = set()
        self.workers: set[int] = set()
        self.together = threading.Barrier(3, timeout=30)

    def note(self, images: Any) -> None:
        self.asked.append(len(images))
        self.threads.add(torch.get_num_threads())
        self.workers.add(threading.get_ident())

    def detect(self, images: Any, /) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        self.note(images)
        self.together.wait()  # all three are really at work at once
        return [(np.full((1, 4), float(image[0, 0, 0])), np.ones(1)) for image in images]

    def estimate(self, images: Any, boxes: Any, /) -> tuple[NDArray[Any], ...]:
        self.note(images)
        places = np.array([box[0] for box in boxes], dtype=float).reshape(-1, 1, 1)
        return np.broadcast_to(places, (len(boxes), 2, 2)), np.ones((len(boxes), 2))


def pictures(count: int) -> list[NDArray[np.uint8]]:
    return [np.full((2, 2, 3), i, np.uint8) for i in range(count)]


@pytest.mark.usefixtures("three_threads")
def test_a_picture_a_core() -> None:
    watched = Watched()
    cores = Cores()
    assert cores.count == 3
    found = cores.detector(watched.detect)(pictures(6))
    assert [boxes[0, 0] for boxes, _ in found] == [0, 1, 2, 3, 4, 5]
    assert watched.asked == [1] * 6
    assert watched.threads == {1}
    assert len(watched.workers) == 3
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("people", "shares"), [(0, [0]), (3, [3]), (9, [4, 4, 1]), (30, [10, 10, 10])])
def test_people_shared_out(people: int, shares: list[int]) -> None:
    watched = Watched()
    boxes = [np.array([i, 0, 1, 1.0]) for i in range(people)]
    keypoints, scores = Cores().estimator(watched.estimate)(pictures(people), boxes)
    assert sorted(watched.asked) == sorted(shares)
    assert keypoints[:, 0, 0].tolist() == list(range(people))
    assert keypoints.shape == (people, 2, 2)
    assert scores.shape == (people, 2)


@pytest.mark.usefixtures("three_threads")
def test_no_more_than_may_wait_and_the_rest_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posetrack_app.cores.MOST", 2)
    torch.set_num_threads(5)
    watched = Watched()
    cores = Cores()
    assert cores.count == 2
    cores.estimator(watched.estimate)(pictures(8), [np.ones(4)] * 8)
    assert watched.threads == {2}


def test_what_goes_wrong_is_not_lost() -> None:
    def broken(images: Any, /) -> Any:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        Cores().detector(broken)(pictures(2))
