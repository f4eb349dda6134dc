"""Several images in parallel: the same outputs in order, and PyTorch's thread count restored."""

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

from posetrack_app.core.config import DetectorConfig, PoseConfig
from posetrack_app.core.protocols import PoseArrays
from posetrack_app.jobs.synthetic_video import make_synthetic_video
from posetrack_app.models.build import build_person_detector, build_pose_estimator
from posetrack_app.models.parallel import ParallelNetworks


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Recorder:
    """Networks whose output identifies the image; records batch sizes, PyTorch's thread counts and worker threads."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.threads: set[int] = set()
        self.workers: set[int] = set()
        self.together = threading.Barrier(3, timeout=30)

    def record(self, images: Any) -> None:
        self.calls.append(len(images))
        self.threads.add(torch.get_num_threads())
        self.workers.add(threading.get_ident())

    def detect(self, images: Any, /) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        self.record(images)
        self.together.wait()  # passes only if three threads run at the same time
        return [(np.full((1, 4), float(image[0, 0, 0])), np.ones(1)) for image in images]

    def estimate(self, images: Any, boxes: Any, /) -> PoseArrays:
        self.record(images)
        count = len(boxes)
        lefts = np.array([box[0] for box in boxes], dtype=float).reshape(-1, 1, 1)
        return np.broadcast_to(lefts, (count, 2, 2)), np.ones((count, 2)), np.zeros((count, 0))


def numbered_images(count: int) -> list[NDArray[np.uint8]]:
    return [np.full((2, 2, 3), i, np.uint8) for i in range(count)]


@pytest.mark.usefixtures("three_threads")
def test_each_image_goes_to_one_thread() -> None:
    recorder = Recorder()
    parallel = ParallelNetworks()
    assert parallel.count == 3
    found = parallel.detector(recorder.detect)(numbered_images(6))
    assert [boxes[0, 0] for boxes, _ in found] == [0, 1, 2, 3, 4, 5]
    assert recorder.calls == [1] * 6
    assert recorder.threads == {1}
    assert len(recorder.workers) == 3
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("people", "shares"), [(0, [0]), (5, [5]), (7, [2, 2, 3]), (30, [10, 10, 10])])
def test_people_are_shared_evenly_and_few_are_not_split(people: int, shares: list[int]) -> None:
    recorder = Recorder()
    boxes = [np.array([i, 0, 1, 1.0]) for i in range(people)]
    keypoints, scores, appearance = ParallelNetworks().estimator(recorder.estimate)(
        numbered_images(people), boxes
    )
    assert sorted(recorder.calls) == sorted(shares)
    assert recorder.threads == ({3} if len(shares) == 1 else {1})
    assert keypoints[:, 0, 0].tolist() == list(range(people))
    assert keypoints.shape == (people, 2, 2)
    assert (scores.shape, appearance.shape) == ((people, 2), (people, 0))


@pytest.mark.usefixtures("three_threads")
def test_at_most_at_once_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posetrack_app.models.parallel.AT_ONCE", 2)
    torch.set_num_threads(5)
    recorder = Recorder()
    parallel = ParallelNetworks()
    assert parallel.count == 2
    parallel.estimator(recorder.estimate)(numbered_images(8), [np.ones(4)] * 8)
    assert recorder.threads == {2}


def test_errors_are_raised() -> None:
    def broken(images: Any, /) -> Any:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        ParallelNetworks().detector(broken)(numbered_images(2))


@pytest.mark.usefixtures("three_threads")
def test_two_pools_made_at_once_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            # A new thread starts with the process-wide thread count, which ParallelNetworks changes for a moment.
            counts = [
                count for _ in range(20) for count in pool.map(lambda _: ParallelNetworks().count, range(2))
            ]
    finally:
        sys.setswitchinterval(interval)
    assert set(counts) == {3}
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3


@pytest.mark.usefixtures("three_threads")
def test_a_thread_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other threads do not wait for it; otherwise the process would not end."""
    start, started = threading.Thread.start, []

    def second_fails(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", second_fails)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        ParallelNetworks()
    started[0].join(timeout=30)
    assert torch.get_num_threads() == 3


def test_outputs_do_not_depend_on_the_number_of_cores() -> None:
    """Appearance included, for which a network keeps features per thread."""
    video = make_synthetic_video()
    frames = list(range(0, 48, 4))
    images = [video.image(frame) for frame in frames]
    boxes = [box for frame in frames for box in video.people[frame].boxes]
    crops = [image for image, frame in zip(images, frames, strict=True) for _ in video.people[frame].boxes]
    detector, _ = build_person_detector(DetectorConfig(), "cpu", "auto")
    estimator, _ = build_pose_estimator(PoseConfig(), "cpu", "auto", appearance=True)
    before, outputs = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            parallel = ParallelNetworks()
            found = [column for pair in parallel.detector(detector)(images) for column in pair]
            outputs.append([*found, *parallel.estimator(estimator)(crops, boxes)])
    finally:
        torch.set_num_threads(before)
    assert len(outputs[0][-1]) == len(boxes) > 20
    for other in outputs[1:]:
        for one, same in zip(outputs[0], other, strict=True):
            np.testing.assert_allclose(same, one, atol=1e-3)
