"""People where the tracker expects them: missed by the detector, between detections, or behind one box over two people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from posetrack_trackers import OksTracker

from posetrack_app.core.config import PropagationConfig
from posetrack_app.core.protocols import PoseArrays
from posetrack_app.core.records import DETECTED, PROPAGATED, Detections, FloatArray, Frame, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.expected import find_expected
from posetrack_app.pipeline.link import link_poses

WIDTH, HEIGHT = 30.0, 80.0
KEYPOINTS = np.stack([np.linspace(0.1, 0.9, 17), np.linspace(0.05, 0.95, 17)], axis=1)
RATE = 10.0


class _Scene:
    """People of 30 x 80 pixels; `corners` (N, 2) of a frame are their top left corners.

    As an estimator it returns the pose of the person whom a box fits best, with the score 0.9; 0.5 for a box that is
    much larger, 0.1 where nobody is. The image shows the number of the frame.
    """

    def __init__(self, corners: Sequence[FloatArray]) -> None:
        self.corners = corners
        self.estimated = 0

    def box(self, frame: int, person: int) -> FloatArray:
        corner = self.corners[frame][person]
        return np.concatenate([corner, corner + (WIDTH, HEIGHT)])

    def pose(self, frame: int, box: FloatArray) -> tuple[FloatArray, float]:
        people = self.corners[frame]
        centre = 0.5 * (box[:2] + box[2:])
        near = (
            np.abs(people + (WIDTH / 2, HEIGHT / 2) - centre).max(axis=1) if len(people) else np.array([1e9])
        )
        if near.min() > 40:
            return box[:2] + KEYPOINTS * (box[2:] - box[:2]), 0.1
        score = 0.5 if box[3] - box[1] > 1.25 * HEIGHT else 0.9
        return people[near.argmin()] + KEYPOINTS * (WIDTH, HEIGHT), score

    def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        self.estimated += len(boxes)
        found = [self.pose(int(image[0, 0, 0]), box) for image, box in zip(images, boxes, strict=True)]
        keypoints = np.array([points for points, _ in found]).reshape(-1, 17, 2)
        scores = np.repeat(np.array([score for _, score in found])[:, None], 17, axis=1)
        return keypoints, scores.reshape(-1, 17), np.zeros((len(found), 0))

    def tracks(
        self, boxes: Sequence[Sequence[FloatArray]], settings: PropagationConfig, cut: int = -1
    ) -> list[TrackedPoses]:
        """The tracked people of all frames, with these detected boxes of score 0.95."""

        def poses() -> Iterator[tuple[Frame, object]]:
            for number, found in enumerate(boxes):
                image = np.full((240, 320, 3), number, dtype=np.uint8)
                frame = Frame.of(number, number / RATE, image)
                if number == cut:
                    object.__setattr__(frame.info, "is_cut", True)
                keypoints, scores, appearance = self([image] * len(found), list(found))
                people = Detections.detected(np.array(found).reshape(-1, 4), np.full(len(found), 0.95))
                yield frame, people.with_keypoints(keypoints, scores, appearance)

        tracker = OksTracker(sigmas=POSETRACK.sigmas)
        stream = find_expected(poses(), tracker, self, settings)  # type: ignore[arg-type]
        return [people for _, people in link_poses(stream, tracker)]


def _walk(frames: int, step: float = 4.0) -> list[FloatArray]:
    """One person who walks to the right."""
    return [np.array([[50.0 + step * number, 100.0]]) for number in range(frames)]


def test_a_person_whom_the_detector_misses_is_found_where_expected() -> None:
    scene = _Scene(_walk(12))
    boxes = [[] if number in (6, 7) else [scene.box(number, 0)] for number in range(12)]
    tracked = scene.tracks(boxes, PropagationConfig(detect_every=1, max_seconds=1.0))
    assert [people.ids.tolist() for people in tracked] == [[1]] * 12
    assert [people.origins[0] for people in tracked] == [
        PROPAGATED if number in (6, 7) else DETECTED for number in range(12)
    ]
    for number in (6, 7):
        np.testing.assert_allclose(tracked[number].boxes[0], scene.box(number, 0), atol=2)
    assert tracked[7].scores[0] < tracked[6].scores[0] < tracked[5].scores[0]


@pytest.mark.parametrize("every", [2, 3])
def test_people_are_found_between_detections_with_their_scores(every: int) -> None:
    scene = _Scene(_walk(14))
    boxes = [[scene.box(number, 0)] if number % every == 0 else [] for number in range(14)]
    tracked = scene.tracks(boxes, PropagationConfig(detect_every=every, max_seconds=1.0))
    assert [people.ids.tolist() for people in tracked] == [[1]] * 14
    assert [people.scores[0] for people in tracked] == pytest.approx([0.95] * 14)


def test_a_person_who_left_disappears() -> None:
    scene = _Scene([*_walk(6), *[np.zeros((0, 2))] * 6])
    boxes = [[scene.box(number, 0)] if number < 6 else [] for number in range(12)]
    tracked = scene.tracks(boxes, PropagationConfig(detect_every=1, max_seconds=1.0))
    assert [len(people) for people in tracked] == [1] * 6 + [0] * 6


def test_without_max_seconds_a_missed_person_is_not_looked_for() -> None:
    scene = _Scene(_walk(12))
    boxes = [[] if number == 6 else [scene.box(number, 0)] for number in range(12)]
    tracked = scene.tracks(boxes, PropagationConfig(detect_every=1, max_seconds=0.0))
    assert [len(people) for people in tracked] == [int(number != 6) for number in range(12)]


def test_nobody_is_expected_after_a_cut() -> None:
    scene = _Scene(_walk(12))
    boxes = [[scene.box(number, 0)] if number < 6 else [] for number in range(12)]
    tracked = scene.tracks(boxes, PropagationConfig(detect_every=1, max_seconds=1.0), cut=6)
    assert [len(people) for people in tracked] == [1] * 6 + [0] * 6


def _two(frames: int) -> list[FloatArray]:
    """One person stands, another walks past below."""
    return [np.array([[100.0, 60.0], [60.0 + 4 * number, 105.0]]) for number in range(frames)]


def test_one_box_over_two_people_becomes_two() -> None:
    scene = _Scene(_two(16))
    boxes: list[list[FloatArray]] = [[scene.box(number, person) for person in (0, 1)] for number in range(16)]
    for number in (9, 10):
        first, second = boxes[number]
        boxes[number] = [
            np.concatenate([np.minimum(first[:2], second[:2]), np.maximum(first[2:], second[2:])])
        ]
    tracked = scene.tracks(boxes, PropagationConfig(detect_every=1, max_seconds=1.0))
    assert [sorted(people.ids.tolist()) for people in tracked] == [[1, 2]] * 16
    heights = [people.boxes[:, 3] - people.boxes[:, 1] for people in tracked]
    assert max(height.max() for height in heights) < 1.1 * HEIGHT
    for number in (9, 10):
        by_height = np.argsort(tracked[number].boxes[:, 1])
        expected = [scene.box(number, person) for person in (0, 1)]
        np.testing.assert_allclose(tracked[number].boxes[by_height], expected, atol=3)


def test_a_person_who_really_grows_keeps_the_box() -> None:
    """A child stands up: the pose in the large box is as good as any, so the detection stays."""
    scene = _Scene(_walk(10, step=0.0))
    scene.pose = lambda frame, box: (box[:2] + KEYPOINTS * (box[2:] - box[:2]), 0.9)  # type: ignore[method-assign]
    tall = scene.box(0, 0) - [0, 60, 0, 0]
    boxes = [[scene.box(0, 0)] if number < 6 else [tall] for number in range(10)]
    tracked = scene.tracks(boxes, PropagationConfig(detect_every=1, max_seconds=1.0))
    assert all(people.origins.tolist() == [DETECTED] for people in tracked)
    np.testing.assert_array_equal(tracked[7].boxes[0], tall)


def test_detected_people_cost_nothing_more() -> None:
    scene = _Scene(_walk(8))
    scene.tracks([[scene.box(number, 0)] for number in range(8)], PropagationConfig(detect_every=1))
    assert scene.estimated == 8
