"""link_poses: every frame comes out in order, with ids from the first frame of each person on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from posetrack_trackers import OksTracker

from posetrack_app.core.records import Detections, Frame, Poses, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.link import link_poses
from posetrack_app.pipeline.smooth import OneEuroSmoother


def _frame(index: int) -> Frame:
    return Frame.of(index, index / 25, np.zeros((4, 4, 3), dtype=np.uint8))


def _poses(*lefts: float) -> Poses:
    """People of 50 x 150 pixels whose boxes start at x = `lefts`."""
    count = len(lefts)
    corners = np.array([[left, 100.0, left + 50.0, 250.0] for left in lefts]).reshape(count, 4)
    places = np.stack([np.linspace(5, 45, 17), np.linspace(5, 145, 17)], axis=1)
    keypoints = corners[:, None, :2] + places
    return Detections.detected(corners, np.full(count, 0.9)).with_keypoints(
        keypoints, np.full((count, 17), 0.8)
    )


def _run(frames: list[Poses], **settings: int) -> list[TrackedPoses]:
    tracker = OksTracker(sigmas=POSETRACK.sigmas, **settings)  # type: ignore[arg-type]
    stream = ((_frame(index), poses) for index, poses in enumerate(frames))
    linked = list(link_poses(stream, tracker, OneEuroSmoother()))
    assert [frame.info.index for frame, _ in linked] == list(range(len(frames)))
    return [poses for _, poses in linked]


def test_a_confirmed_track_gets_its_id_in_its_first_frames() -> None:
    linked = _run([_poses(), _poses(10), _poses(12), _poses(14), _poses(16, 400), _poses(18, 402)])
    assert [poses.ids.tolist() for poses in linked[:4]] == [[], [1], [1], [1]]


def test_a_pose_seen_once_gets_no_id() -> None:
    linked = _run([_poses(10 + 2 * i, *([500] if i == 3 else [])) for i in range(12)])
    assert [poses.ids.tolist() for poses in linked] == [[1]] * 12


def test_all_people_of_a_single_frame_get_ids() -> None:
    assert [poses.ids.tolist() for poses in _run([_poses(10, 300)])] == [[1, 2]]


def test_no_frames_and_empty_frames() -> None:
    assert _run([]) == []
    assert [len(poses) for poses in _run([_poses()] * 7)] == [0] * 7


def test_frames_are_held_back_no_longer_than_the_delay() -> None:
    taken = 0

    def stream() -> Iterator[tuple[Frame, Poses]]:
        nonlocal taken
        for index in range(40):
            taken += 1
            yield _frame(index), _poses(10 + index)

    tracker = OksTracker(sigmas=POSETRACK.sigmas)
    for given, _ in enumerate(link_poses(stream(), tracker), start=1):
        assert taken - given <= tracker.delay


def test_keypoints_stay_and_smoothed_ones_are_added() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(30):
        still = _poses(10)
        noisy = still.keypoints + rng.normal(0, 3, still.keypoints.shape)
        frames.append(
            Detections.detected(still.boxes, still.scores).with_keypoints(noisy, still.keypoint_scores)
        )
    linked = _run(frames)
    for seen, tracked in zip(frames, linked, strict=True):
        np.testing.assert_array_equal(seen.keypoints, tracked.keypoints)
    raw = np.diff([poses.keypoints[0] for poses in linked], axis=0).std()
    smooth = np.diff([poses.smoothed_keypoints[0] for poses in linked], axis=0).std()
    assert smooth < 0.6 * raw


def test_without_a_smoother_both_are_equal() -> None:
    stream = [(_frame(0), _poses(10))]
    ((_, tracked),) = link_poses(stream, OksTracker(sigmas=POSETRACK.sigmas))
    np.testing.assert_array_equal(tracked.smoothed_keypoints, tracked.keypoints)


@pytest.mark.parametrize(
    ("indices", "ids"),
    [
        ([*range(10), *range(200, 210)], {1, 2}),  # eight seconds are missing
        ([*range(10), *range(40, 50)], {1}),  # one second is missing
        (list(range(0, 2000, 100)), {1}),  # a stride of four seconds
    ],
)
def test_tracks_end_at_a_long_gap(indices: list[int], ids: set[int]) -> None:
    stream = ((_frame(index), _poses(100)) for index in indices)
    linked = list(link_poses(stream, OksTracker(sigmas=POSETRACK.sigmas)))
    assert [frame.info.index for frame, _ in linked] == indices
    assert {number for _, poses in linked for number in poses.ids.tolist()} == ids
