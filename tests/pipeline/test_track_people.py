"""All stages in order: what the settings of propagation, the camera and the tracker change."""

from __future__ import annotations

from collections.abc import Sequence

import fakes
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrack_app.core.config import (
    Config,
    DuplicatesConfig,
    PersonScoreConfig,
    PoseConfig,
    PropagationConfig,
    TrackerConfig,
)
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.records import DETECTED, PROPAGATED, FloatArray, Frame, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.track_people import track_people

PERSON = np.array([[10.0, 5, 30, 40]]), np.array([0.99])
NO_PEOPLE = np.zeros((0, 4)), np.zeros(0)


class _Estimator(fakes.BoxEstimator):
    """The extent of the keypoints is smaller than the box, so that enlarging it by 15 % gives the box again."""

    def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2)
        middle = corners.mean(axis=1, keepdims=True)
        return super().__call__(images, list((middle + (corners - middle) / 1.15).reshape(-1, 4)))


def _run(detected: list[bool], config: Config) -> tuple[list[TrackedPoses], fakes.ScriptedDetector]:
    detector = fakes.ScriptedDetector([PERSON if is_detected else NO_PEOPLE for is_detected in detected])
    networks = Networks(detector, _Estimator(), POSETRACK, "cpu", "float32", {})
    linked = list(track_people(fakes.numbered_frames(len(detected)), networks, config))
    assert [frame.info.index for frame, _ in linked] == list(range(len(detected)))
    return [tracked for _, tracked in linked], detector


@pytest.mark.parametrize(("max_seconds", "count"), [(0.0, 0), (2.0, 1)])
@pytest.mark.parametrize("method", ["kalman", "flow"])
def test_missed_people_are_propagated(max_seconds: float, count: int, method: str) -> None:
    config = Config(
        propagation=PropagationConfig(detect_every=1, max_seconds=max_seconds),
        tracker=TrackerConfig(method=method, confirmations=1),
    )
    tracked, _ = _run([True] * 4 + [False] + [True] * 3, config)
    assert [len(poses) for poses in tracked] == [1] * 4 + [count] + [1] * 3
    assert {number for poses in tracked for number in poses.ids.tolist()} == {1}
    assert tracked[3].origins.tolist() == [DETECTED]
    assert tracked[4].origins.tolist() == [PROPAGATED] * count


def test_cuts_are_found_before_people_are_propagated() -> None:
    """Two shots of four frames; the detector misses the person in the second shot."""
    rng = np.random.default_rng(0)
    scenes = [rng.integers(low, low + 100, (48, 64, 3), dtype=np.uint8) for low in (0, 150)]
    detected = iter([PERSON] * 4 + [NO_PEOPLE] * 4)
    networks = Networks(
        lambda images: [next(detected) for _ in images], _Estimator(), POSETRACK, "cpu", "float32", {}
    )
    config = Config(
        propagation=PropagationConfig(detect_every=1, max_seconds=2.0), tracker=TrackerConfig(confirmations=1)
    )
    frames = [Frame.of(k, k / 10, scenes[k // 4]) for k in range(8)]
    linked = list(track_people(frames, networks, config))
    assert [frame.info.is_cut for frame, _ in linked] == [k == 4 for k in range(8)]
    assert [len(tracked) for _, tracked in linked] == [1] * 4 + [0] * 4


def test_the_detector_runs_on_every_third_frame() -> None:
    tracked, detector = _run([True] * 8, Config(propagation=PropagationConfig(detect_every=3)))
    assert sum(detector.calls) == 3
    assert [poses.ids.tolist() for poses in tracked] == [[1]] * 8
    assert [poses.origins[0] == DETECTED for poses in tracked] == [i % 3 == 0 for i in range(8)]


def test_low_score_keypoints_count_as_not_seen() -> None:
    """The estimator gives the score 0.9 everywhere."""
    for least, expected in ((0.89, 0.9), (0.91, 0.0)):
        tracked, _ = _run([True] * 5, Config(pose=PoseConfig(min_score=least)))
        assert np.unique([poses.keypoint_scores for poses in tracked]).tolist() == [expected]


def test_appearance_tells_apart_two_people_who_swap_places_unseen() -> None:
    """They leave side by side and come back swapped; the estimator gives each person a feature of their own."""
    boxes = np.array([[5.0, 5, 25, 45], [12.0, 5, 32, 45]]), np.array([0.95, 0.95])

    class AppearanceEstimator(_Estimator):
        def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
            is_left = np.array([box[0] < 10 for box in boxes], dtype=bool)
            is_late = np.array([image[0, 0, 0] > 10 for image in images], dtype=bool)
            keypoints, scores, _ = super().__call__(images, boxes)
            return keypoints, scores * 0.3, np.eye(2)[(is_left ^ is_late).astype(int)].reshape(-1, 2)

    script = [boxes] * 9 + [NO_PEOPLE] * 3 + [boxes] * 6
    for weight, last in ((0.0, [1, 2]), (8.0, [2, 1])):
        detector = fakes.ScriptedDetector(script)
        networks = Networks(detector, AppearanceEstimator(), POSETRACK, "cpu", "float32", {})
        tracker = TrackerConfig(appearance_weight=weight)
        config = Config(
            tracker=tracker,
            duplicates=DuplicatesConfig(1.0, 1.0),
            person_score=PersonScoreConfig(1.0, 0.0, 0.0),
            propagation=PropagationConfig(detect_every=1, max_seconds=0.0),
            camera_motion=False,
        )
        *_, (_, end) = track_people(fakes.numbered_frames(len(script)), networks, config)
        by_place = end.ids[np.argsort(end.boxes[:, 0])].tolist()
        assert by_place == last
