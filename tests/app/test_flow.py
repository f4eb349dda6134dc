"""Flow against a picture moved by a known shift; missed people found again; frames without the detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrack_app.flow import DenseFlow, detect_every, propagate_poses
from posetrack_app.records import DETECTED, PROPAGATED, Detections, FloatArray, Frame

SPEED = 4


def _picture(index: int) -> np.ndarray:
    """A textured person 60 x 180 that moves right over a plain ground, 480 x 360."""
    texture = np.random.default_rng(0).uniform(0, 255, (30, 10, 3)).astype(np.float32)
    person = cv2.resize(texture, (60, 180), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    image = np.full((360, 480, 3), 128, dtype=np.uint8)
    left = 50 + SPEED * index
    image[90:270, left : left + 60] = person
    return image


def _box(index: int) -> np.ndarray:
    left = 50.0 + SPEED * index
    return np.array([left, 90.0, left + 60, 270])


class _Estimator:
    """Knows where the person is: the score falls as the box given lies beside it."""

    def __init__(self, visible: int = 10**6) -> None:
        self.frame = -1
        self.visible = visible
        self.asked: list[int] = []

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        self.frame += 1
        self.asked.append(len(boxes))
        places = np.stack([np.linspace(0.1, 0.9, 17), np.linspace(0.05, 0.95, 17)], axis=1)
        keypoints = [_box(self.frame)[:2] + places * [60, 180] for _ in boxes]
        near = [
            0.8 if np.abs(box - _box(self.frame)).max() < 20 and self.frame < self.visible else 0.1
            for box in boxes
        ]
        return np.array(keypoints).reshape(-1, 17, 2), np.repeat(np.array(near)[:, None], 17, axis=1).reshape(
            -1, 17
        )


def _people(seen: list[bool]) -> Iterator[tuple[Frame, Detections]]:
    for index, is_seen in enumerate(seen):
        boxes = _box(index)[None] if is_seen else np.zeros((0, 4))
        yield Frame(index, index / 25, _picture(index)), Detections(boxes, np.full(len(boxes), 0.9))


def test_flow_follows_the_person_and_not_the_ground() -> None:
    flow = DenseFlow()
    points = np.array([[[80.0, 180.0], [70.0, 120.0]], [[400.0, 50.0], [300.0, 300.0]]])
    flow.see(_picture(0))
    np.testing.assert_array_equal(flow.move(points), points)
    flow.see(_picture(1))
    np.testing.assert_allclose(flow.move(points) - points, [[[SPEED, 0]] * 2, [[0, 0]] * 2], atol=0.7)
    assert flow.move(np.zeros((0, 17, 2))).shape == (0, 17, 2)


def test_a_missed_person_is_found_again() -> None:
    seen = [True, True, False, False, True, True]
    poses = [found for _, found in propagate_poses(_people(seen), _Estimator(), box_overlap=0.5)]
    assert [found.origins.tolist() for found in poses] == [
        [DETECTED if is_seen else PROPAGATED] for is_seen in seen
    ]
    np.testing.assert_allclose(poses[3].boxes[0], _box(3), atol=12)
    assert poses[3].scores[0] < poses[2].scores[0] < poses[1].scores[0] == pytest.approx(0.9)


def test_a_detected_person_is_not_doubled() -> None:
    estimator = _Estimator()
    list(propagate_poses(_people([True] * 5), estimator, box_overlap=0.5))
    assert estimator.asked == [1] * 5


def test_who_is_gone_fades() -> None:
    poses = propagate_poses(_people([True] * 3 + [False] * 5), _Estimator(visible=3), box_overlap=0.5)
    assert [len(found) for _, found in poses] == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("max_seconds", "carried"), [(0.0, 0), (0.12, 3), (1.0, 5)])
def test_who_is_not_detected_is_carried_on_for_a_while_only(max_seconds: float, carried: int) -> None:
    people = _people([True] * 2 + [False] * 5)
    poses = propagate_poses(people, _Estimator(), box_overlap=0.5, max_seconds=max_seconds)
    assert [len(found) for _, found in poses] == [1] * (2 + carried) + [0] * (5 - carried)


def test_nobody_is_carried_over_a_cut() -> None:
    frames = [
        (Frame(k, k / 25, _picture(k), is_cut=k == 4), found)
        for k, (_, found) in enumerate(_people([k < 3 for k in range(8)]))
    ]
    found = [len(poses) for _, poses in propagate_poses(frames, _Estimator(), box_overlap=0.5)]
    assert found == [1, 1, 1, 1, 0, 0, 0, 0]


def test_nobody_ever() -> None:
    poses = propagate_poses(_people([False] * 3), _Estimator(), box_overlap=0.5)
    assert [len(found) for _, found in poses] == [0, 0, 0]


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_detector_sees_every_nth_frame_and_all_come_out(every: int) -> None:
    looked: list[int] = []

    def detect(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Detections]]:
        batch = []
        for frame in frames:
            batch.append(frame)
            if len(batch) == 2:
                yield from ((f, Detections(_box(f.index)[None], np.ones(1))) for f in batch)
                looked.extend(f.index for f in batch)
                batch = []
        looked.extend(f.index for f in batch)
        yield from ((f, Detections(_box(f.index)[None], np.ones(1))) for f in batch)

    frames = (frame for frame, _ in _people([True] * 11))
    result = [(frame.index, len(people)) for frame, people in detect_every(frames, detect, every)]
    assert looked == list(range(0, 11, every))
    assert result == [(index, int(index % every == 0)) for index in range(11)]


def test_boxes_are_carried_between_detections() -> None:
    def detect(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Detections]]:
        return ((frame, Detections(_box(frame.index)[None], np.array([0.9]))) for frame in frames)

    frames = (frame for frame, _ in _people([True] * 12))
    people = detect_every(frames, detect, 4)
    poses = propagate_poses(people, _Estimator(), box_overlap=0.5)
    assert [len(found) for _, found in poses] == [1] * 12
