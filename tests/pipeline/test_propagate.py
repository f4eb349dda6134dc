"""Optical flow of a known motion, people that the detector misses, and frames that the detector skips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrack_app.core.config import PropagationConfig
from posetrack_app.core.protocols import PoseArrays
from posetrack_app.core.records import (
    DETECTED,
    PROPAGATED,
    Detections,
    FloatArray,
    Frame,
    Poses,
)
from posetrack_app.pipeline.propagate import DenseFlow, detect_every, propagate_poses

SPEED = 4
TWO_SECONDS = PropagationConfig(detect_every=1, max_seconds=2.0)


def _image(index: int) -> NDArray[np.uint8]:
    """480 x 360 pixels: a textured person, 60 x 180, moves to the right in front of a plain background."""
    texture = np.random.default_rng(0).uniform(0, 255, (30, 10, 3)).astype(np.float32)
    person = cv2.resize(texture, (60, 180), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    image = np.full((360, 480, 3), 128, dtype=np.uint8)
    left = 50 + SPEED * index
    image[90:270, left : left + 60] = person
    return image


def _box(index: int) -> FloatArray:
    left = 50.0 + SPEED * index
    return np.array([left, 90.0, left + 60, 270])


class _Estimator:
    """Knows where the person is: scores are 0.8 for a box on the person, 0.1 elsewhere and from frame `visible` on."""

    def __init__(self, visible: int = 10**6) -> None:
        self.frame = -1
        self.visible = visible
        self.calls: list[int] = []

    def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        self.frame += 1
        self.calls.append(len(boxes))
        places = np.stack([np.linspace(0.1, 0.9, 17), np.linspace(0.05, 0.95, 17)], axis=1)
        keypoints = np.array([_box(self.frame)[:2] + places * [60, 180] for _ in boxes]).reshape(-1, 17, 2)
        is_visible = self.frame < self.visible
        scores = np.array(
            [0.8 if is_visible and np.abs(box - _box(self.frame)).max() < 20 else 0.1 for box in boxes]
        )
        return keypoints, np.repeat(scores[:, None], 17, axis=1).reshape(-1, 17), np.zeros((len(boxes), 0))


def _people(detected: list[bool]) -> Iterator[tuple[Frame, Detections]]:
    """One frame for each entry, with the person's box where the entry is True."""
    for index, is_detected in enumerate(detected):
        boxes = _box(index)[None] if is_detected else np.zeros((0, 4))
        yield (
            Frame.of(index, index / 25, _image(index)),
            Detections.detected(boxes, np.full(len(boxes), 0.9)),
        )


def _propagate(
    people: Iterable[tuple[Frame, Detections]],
    estimator: _Estimator | None = None,
    settings: PropagationConfig = TWO_SECONDS,
) -> list[Poses]:
    stream = propagate_poses(people, estimator or _Estimator(), settings, box_overlap=0.5)
    return [poses for _, poses in stream]


def test_flow_moves_the_person_and_not_the_background() -> None:
    flow = DenseFlow()
    points = np.array([[[80.0, 180.0], [70.0, 120.0]], [[400.0, 50.0], [300.0, 300.0]]])
    flow.see(_image(0))
    np.testing.assert_array_equal(flow.move(points), points)
    flow.see(_image(1))
    np.testing.assert_allclose(flow.move(points) - points, [[[SPEED, 0]] * 2, [[0, 0]] * 2], atol=0.7)
    assert flow.move(np.zeros((0, 17, 2))).shape == (0, 17, 2)


def test_a_missed_person_is_propagated() -> None:
    detected = [True, True, False, False, True, True]
    poses = _propagate(_people(detected))
    assert [found.origins.tolist() for found in poses] == [
        [DETECTED if is_detected else PROPAGATED] for is_detected in detected
    ]
    np.testing.assert_allclose(poses[3].boxes[0], _box(3), atol=12)
    assert poses[3].scores[0] < poses[2].scores[0] < poses[1].scores[0] == pytest.approx(0.9)


def test_a_detected_person_is_not_propagated_as_well() -> None:
    estimator = _Estimator()
    _propagate(_people([True] * 5), estimator)
    assert estimator.calls == [1] * 5


def test_of_two_propagated_boxes_on_one_person_the_better_stays() -> None:
    boxes = np.array([_box(0), _box(0) + [0, 0, 10, 0]])
    first = (Frame.of(0, 0.0, _image(0)), Detections.detected(boxes, np.array([0.7, 0.9])))
    second = list(_people([True, False]))[1]
    before, after = _propagate([first, second])
    assert len(before) == 2
    assert after.origins.tolist() == [PROPAGATED]
    assert after.scores[0] == pytest.approx(0.97 * 0.9)


def test_a_person_who_left_fades() -> None:
    poses = _propagate(_people([True] * 3 + [False] * 5), _Estimator(visible=3))
    assert [len(found) for found in poses] == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("max_seconds", "propagated"), [(0.0, 0), (0.12, 3), (1.0, 5)])
def test_a_missed_person_is_propagated_for_max_seconds(max_seconds: float, propagated: int) -> None:
    settings = PropagationConfig(detect_every=1, max_seconds=max_seconds)
    poses = _propagate(_people([True] * 2 + [False] * 5), settings=settings)
    assert [len(found) for found in poses] == [1] * (2 + propagated) + [0] * (5 - propagated)


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_without_max_seconds_only_skipped_frames_are_bridged(every: int) -> None:
    """The detector runs on every `every`-th frame and misses the person from its third run on."""
    runs = [place % every == 0 for place in range(30)]
    detected = [is_run and place < 2 * every for place, is_run in enumerate(runs)]
    poses = _propagate(_people(detected), settings=PropagationConfig(detect_every=every, max_seconds=0.0))
    assert [len(found) for found in poses] == [1] * (2 * every) + [0] * (30 - 2 * every)
    origins = [found.origins[0] for found in poses[: 2 * every]]
    assert origins == [DETECTED if is_run else PROPAGATED for is_run in runs[: 2 * every]]


def test_max_seconds_count_from_the_last_detection() -> None:
    """detect_every 3: detected in frames 0 and 3, missed from frame 6 on; 0.2 s are 5 frames."""
    detected = [place in (0, 3) for place in range(15)]
    poses = _propagate(_people(detected), settings=PropagationConfig(detect_every=3, max_seconds=0.2))
    assert [len(found) for found in poses] == [1] * 9 + [0] * 6


def test_nothing_is_propagated_over_a_cut() -> None:
    frames = [
        (Frame(replace(frame.info, is_cut=frame.info.index == 4), frame.image), found)
        for frame, found in _people([k < 3 for k in range(8)])
    ]
    assert [len(poses) for poses in _propagate(frames)] == [1, 1, 1, 1, 0, 0, 0, 0]


def test_no_people() -> None:
    assert [len(found) for found in _propagate(_people([False] * 3))] == [0, 0, 0]


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_the_detector_gets_every_nth_frame_and_all_frames_come_out(every: int) -> None:
    processed: list[int] = []

    def detect(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Detections]]:
        """In batches of two."""
        batch: list[Frame] = []
        for frame in frames:
            batch.append(frame)
            if len(batch) == 2:
                yield from _detected(batch)
                processed.extend(frame.info.index for frame in batch)
                batch = []
        processed.extend(frame.info.index for frame in batch)
        yield from _detected(batch)

    frames = (frame for frame, _ in _people([True] * 11))
    result = [(frame.info.index, len(people)) for frame, people in detect_every(frames, detect, every)]
    assert processed == list(range(0, 11, every))
    assert result == [(index, int(index % every == 0)) for index in range(11)]


def _detected(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Detections]]:
    for frame in frames:
        yield frame, Detections.detected(_box(frame.info.index)[None], np.array([0.9]))


def test_people_are_propagated_between_detections() -> None:
    frames = (frame for frame, _ in _people([True] * 12))
    people = detect_every(frames, _detected, 4)
    poses = _propagate(people, settings=PropagationConfig(detect_every=4))
    assert [len(found) for found in poses] == [1] * 12
