"""Several pictures at once: the same answers, in order, and PyTorch's threads as they were."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from posetrack_app.assemble import build_person_detector, build_pose_estimator
from posetrack_app.config import DetectorConfig, PoseConfig
from posetrack_app.cores import Cores
from posetrack_app.synthetic import make_film


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
@pytest.mark.parametrize(("people", "shares"), [(0, [0]), (5, [5]), (7, [2, 2, 3]), (30, [10, 10, 10])])
def test_people_shared_out_evenly_few_stay_together(people: int, shares: list[int]) -> None:
    watched = Watched()
    boxes = [np.array([i, 0, 1, 1.0]) for i in range(people)]
    keypoints, scores = Cores().estimator(watched.estimate)(pictures(people), boxes)
    assert sorted(watched.asked) == sorted(shares)
    assert watched.threads == ({3} if len(shares) == 1 else {1})
    assert keypoints[:, 0, 0].tolist() == list(range(people))
    assert keypoints.shape == (people, 2, 2)
    assert scores.shape == (people, 2)


@pytest.mark.usefixtures("three_threads")
def test_no_more_than_may_wait_and_the_rest_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posetrack_app.cores.AT_ONCE", 2)
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


@pytest.mark.usefixtures("three_threads")
def test_two_at_the_same_time_do_not_take_each_others_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            # A new thread begins with PyTorch's default, which Cores changes for a moment.
            counts = [count for _ in range(20) for count in pool.map(lambda _: Cores().count, range(2))]
    finally:
        sys.setswitchinterval(interval)
    assert set(counts) == {3}
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3


@pytest.mark.usefixtures("three_threads")
def test_no_more_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for those who never came, or the process would not end."""
    start, started = threading.Thread.start, []

    def second_fails(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", second_fails)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Cores()
    started[0].join(timeout=30)
    assert torch.get_num_threads() == 3


def test_the_same_answers_on_any_number_of_cores() -> None:
    """Also of the features, which one network keeps for many threads."""
    film = make_film()
    frames = list(range(0, 48, 4))
    images = [film.picture(frame) for frame in frames]
    boxes = [box for frame in frames for box in film.people[frame].boxes]
    crops = [image for image, frame in zip(images, frames, strict=True) for _ in film.people[frame].boxes]
    detector, _ = build_person_detector(DetectorConfig(), "cpu", "auto")
    estimator, _ = build_pose_estimator(PoseConfig(), "cpu", "auto", appearance=True)
    before, answers = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            cores = Cores()
            found = [column for pair in cores.detector(detector)(images) for column in pair]
            answers.append([*found, *cores.estimator(estimator)(crops, boxes)])
    finally:
        torch.set_num_threads(before)
    assert len(answers[0][-1]) == len(boxes) > 20
    for other in answers[1:]:
        for one, same in zip(answers[0], other, strict=True):
            np.testing.assert_allclose(same, one, atol=1e-3)
