"""One video's way through the stages: what the settings of propagation and of the tracker turn on."""

from __future__ import annotations

from collections.abc import Sequence

import fakes
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrack_app.assemble import Parts
from posetrack_app.chain import track_people
from posetrack_app.config import Config, DuplicatesConfig, PoseConfig, PropagationConfig, TrackerConfig
from posetrack_app.records import DETECTED, PROPAGATED, FloatArray, Frame, TrackedPoses
from posetrack_app.skeleton import POSETRACK

PERSON = np.array([[10.0, 5, 30, 40]]), np.array([0.99])
NOBODY = np.zeros((0, 4)), np.zeros(0)


class _Estimator(fakes.BoxEstimator):
    """Keypoints whose extent is smaller than the box, as a person's is: 15 % larger it is the box again."""

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, FloatArray]:
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2)
        middle = corners.mean(axis=1, keepdims=True)
        return super().__call__(images, list((middle + (corners - middle) / 1.15).reshape(-1, 4)))


def _run(seen: list[bool], config: Config) -> tuple[list[TrackedPoses], fakes.ScriptedDetector]:
    detector = fakes.ScriptedDetector([PERSON if is_seen else NOBODY for is_seen in seen])
    parts = Parts(detector, _Estimator(), POSETRACK, "cpu", "float32", {})
    linked = list(track_people(fakes.numbered_frames(len(seen)), parts, config))
    assert [frame.index for frame, _ in linked] == list(range(len(seen)))
    return [tracked for _, tracked in linked], detector


@pytest.mark.parametrize(("enabled", "count"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("method", ["kalman", "flow"])
def test_propagation_finds_the_missed(enabled: bool, count: int, method: str) -> None:
    config = Config(
        propagation=PropagationConfig(enabled=enabled), tracker=TrackerConfig(method=method, confirmations=1)
    )
    tracked, _ = _run([True] * 4 + [False] + [True] * 3, config)
    assert [len(poses) for poses in tracked] == [1] * 4 + [count] + [1] * 3
    assert {number for poses in tracked for number in poses.ids.tolist()} == {1}
    assert tracked[3].origins.tolist() == [DETECTED]
    assert tracked[4].origins.tolist() == [PROPAGATED] * count


def test_a_cut_is_known_before_people_are_carried_on() -> None:
    """Half the film is of one place, half of another; the detector misses the person just after the cut."""
    rng = np.random.default_rng(0)
    places = [rng.integers(low, low + 100, (48, 64, 3), dtype=np.uint8) for low in (0, 150)]
    seen = [True] * 4 + [False] * 4
    detector = iter([PERSON if is_seen else NOBODY for is_seen in seen])
    parts = Parts(
        lambda images: [next(detector) for _ in images], _Estimator(), POSETRACK, "cpu", "float32", {}
    )
    config = Config(propagation=PropagationConfig(enabled=True), tracker=TrackerConfig(confirmations=1))
    frames = [Frame(k, k / 10, places[k // 4]) for k in range(8)]
    linked = list(track_people(frames, parts, config))
    assert [frame.is_cut for frame, _ in linked] == [k == 4 for k in range(8)]
    assert [len(tracked) for _, tracked in linked] == [1] * 4 + [0] * 4


def test_the_detector_rests_between() -> None:
    tracked, detector = _run([True] * 8, Config(propagation=PropagationConfig(detect_every=3)))
    assert sum(detector.calls) == 3
    assert [poses.ids.tolist() for poses in tracked] == [[1]] * 8
    assert [poses.origins[0] == DETECTED for poses in tracked] == [i % 3 == 0 for i in range(8)]


def test_weak_keypoints_count_as_not_seen() -> None:
    """The estimator's scores are all 0.9."""
    for least, expected in ((0.89, 0.9), (0.91, 0.0)):
        tracked, _ = _run([True] * 5, Config(pose=PoseConfig(min_score=least)))
        assert np.unique([poses.keypoint_scores for poses in tracked]).tolist() == [expected]


def test_appearance_tells_two_apart_who_change_places_unseen() -> None:
    """They leave side by side and come back exchanged; the estimator sees the colour of who is where."""
    boxes = np.array([[5.0, 5, 25, 45], [12.0, 5, 32, 45]]), np.array([0.95, 0.95])

    class Looks(_Estimator):
        def __call__(
            self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
        ) -> tuple[FloatArray, ...]:
            is_left = np.array([box[0] < 10 for box in boxes], dtype=bool)
            is_late = np.array([image[0, 0, 0] > 10 for image in images], dtype=bool)
            keypoints, scores = super().__call__(images, boxes)
            return keypoints, scores * 0.3, np.eye(2)[(is_left ^ is_late).astype(int)].reshape(-1, 2)

    script = [boxes] * 9 + [NOBODY] * 3 + [boxes] * 6
    for weight, last in ((0.0, [1, 2]), (8.0, [2, 1])):
        parts = Parts(fakes.ScriptedDetector(script), Looks(), POSETRACK, "cpu", "float32", {})
        tracker = TrackerConfig(appearance_weight=weight)
        config = Config(tracker=tracker, duplicates=DuplicatesConfig(1.0, 1.0), camera_motion=False)
        *_, (_, end) = track_people(fakes.numbered_frames(len(script)), parts, config)
        by_place = end.ids[np.argsort(end.boxes[:, 0])].tolist()
        assert by_place == last
