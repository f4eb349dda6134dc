"""The second pass: what it joins, fills, repairs and drops, and what it leaves unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from posetrack_app.core.choices import SMOOTHING
from posetrack_app.core.config import SecondPassConfig
from posetrack_app.core.records import DETECTED, INTERPOLATED, Detections, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.second_pass.second_pass import second_pass
from posetrack_app.pipeline.second_pass.tracks import tracks_of

SIZE = np.array([50.0, 150.0])
SHAPE = np.random.default_rng(0).uniform(0.1, 0.9, (17, 2)) * SIZE
Corners = dict[int, tuple[float, float]]
"""The top left corner of each person's box by id."""
NO_SMOOTHING = SecondPassConfig(smoothing="none")


def _frames(people: list[Corners], score: float = 0.9) -> list[TrackedPoses]:
    """One frame for each dictionary."""
    frames = []
    for frame in people:
        corner = np.array(list(frame.values())).reshape(-1, 2)
        keypoints = corner[:, None] + SHAPE
        frames.append(
            Detections.detected(np.concatenate([corner, corner + SIZE], axis=1), np.full(len(corner), score))
            .with_keypoints(keypoints, np.full(keypoints.shape[:2], 0.8))
            .with_ids(np.array(list(frame), dtype=np.int64))
        )
    return frames


def _times(count: int) -> np.ndarray:
    return np.arange(count) / 25


def _pass(frames: list[TrackedPoses], settings: SecondPassConfig = NO_SMOOTHING) -> list[TrackedPoses]:
    return second_pass(_times(len(frames)), frames, POSETRACK, settings)


def test_complete_tracks_do_not_change() -> None:
    frames = _frames([{4: (3.0 * i, 0.0), 9: (300 - 3.0 * i, 9.0)} for i in range(30)])
    for old, new in zip(frames, _pass(frames), strict=True):
        np.testing.assert_array_equal(old.ids, new.ids)
        np.testing.assert_array_equal(old.keypoints, new.keypoints)
        np.testing.assert_array_equal(old.boxes, new.boxes)


def test_a_broken_track_is_joined() -> None:
    """One person is hidden by a wall for a second and gets a new id; another one stands nearby."""
    people: list[Corners] = []
    for i in range(75):
        walker = {} if 25 <= i < 50 else {1 if i < 25 else 3: (3.0 * i, 0.0)}
        people.append({**walker, 2: (75.0, 200.0)})
    ids = [poses.ids.tolist() for poses in _pass(_frames(people))]
    assert ids[:25] == [[1, 2]] * 25
    assert ids[25:50] == [[2]] * 25
    assert ids[50:] == [[1, 2]] * 25


def test_a_track_that_starts_elsewhere_or_twice_as_large_is_not_joined() -> None:
    for jump, growth in ((500.0, 1.0), (0.0, 2.0)):
        frames = _frames([{1: (0.0, 0.0)}] * 20 + [{}] * 10)
        for poses in _frames([{2: (jump, 0.0)}] * 20):
            boxes = poses.boxes.copy()
            boxes[:, 2:] = boxes[:, :2] + SIZE * growth
            frames.append(
                Detections.detected(boxes, poses.scores)
                .with_keypoints(poses.keypoints, poses.keypoint_scores)
                .with_ids(poses.ids)
            )
        assert {i for poses in _pass(frames) for i in poses.ids.tolist()} == {1, 2}


def test_the_nearer_of_two_tracks_is_joined() -> None:
    people: list[Corners] = [{1: (0.0, 0.0), 2: (80.0, 0.0)}] * 20
    people = people + [{}] * 20 + [{3: (85.0, 0.0), 4: (5.0, 0.0)}] * 20
    assert sorted(_pass(_frames(people))[-1].ids.tolist()) == [1, 2]
    last = _pass(_frames(people))[-1]
    assert last.boxes[last.ids.tolist().index(1), 0] == 5.0


def test_short_gaps_are_filled_and_marked_and_long_ones_stay_open() -> None:
    people = [{} if 20 <= i < 26 or 40 <= i < 70 else {1: (4.0 * i, 0.0)} for i in range(90)]
    frames = _pass(_frames(people))
    counts = [len(poses) for poses in frames]
    assert counts == [1] * 40 + [0] * 30 + [1] * 20
    np.testing.assert_allclose(
        [frames[i].keypoints[0] for i in range(20, 26)],
        [SHAPE + np.array([4.0 * i, 0]) for i in range(20, 26)],
    )
    assert (frames[22].keypoint_scores < 0.5).all()
    for i, poses in enumerate(frames):
        assert poses.origins.tolist() == [INTERPOLATED if 20 <= i < 26 else DETECTED] * len(poses)


def _with_low_scores(frames: list[TrackedPoses], keypoint: int, low: range) -> list[TrackedPoses]:
    """The same frames, but in the frames `low` one keypoint has a low score and a wrong position."""
    for index in low:
        frames[index].keypoint_scores[:, keypoint] = 0.1
        frames[index].keypoints[:, keypoint] += 40.0
    return frames


def test_a_short_gap_of_one_keypoint_is_filled_and_marked() -> None:
    """10 frames (0.44 s between the scores around them) are filled; 15 frames (0.64 s) and the end of the track are not."""
    frames = _frames([{1: (4.0 * i, 0.0)} for i in range(90)])
    for low in (range(20, 30), range(40, 55), range(85, 90)):
        frames = _with_low_scores(frames, 9, low)
    given = [poses.keypoints.copy() for poses in frames]
    for i, poses in enumerate(_pass(frames)):
        filled = 20 <= i < 30
        assert poses.origins.tolist() == [DETECTED]
        expected = [[INTERPOLATED if filled and keypoint == 9 else DETECTED for keypoint in range(17)]]
        assert poses.keypoint_origins.tolist() == expected
        np.testing.assert_allclose(
            poses.keypoints[0, 9], SHAPE[9] + [4.0 * i, 0] if filled else given[i][0, 9]
        )
        assert poses.keypoint_scores[0, 9] == (0.4 if filled else frames[i].keypoint_scores[0, 9])


def test_a_swinging_wrist_is_filled_accurately() -> None:
    """It swings by 0.3 body heights once per second and is hidden for 0.24 s; the error is below 2 % of the height."""
    frames, swing = [], [45 * np.sin(2 * np.pi * i / 25) for i in range(75)]
    for i, poses in enumerate(_frames([{1: (4.0 * i, 0.0)} for i in range(75)])):
        poses.keypoints[0, 9, 0] += swing[i]
        frames.append(poses)
    true = np.array([poses.keypoints[0, 9] for poses in frames])
    for start in range(5, 65, 8):
        frames = _with_low_scores(frames, 9, range(start, start + 5))
    passed = np.array(
        [poses.keypoints[0, 9] for poses in _pass(frames, SecondPassConfig(smoothing="none", swap_penalty=9))]
    )
    assert np.sqrt(np.square(passed - true).sum(axis=1).mean()) < 0.02 * 150


def test_a_keypoint_is_not_filled_across_a_missing_person_or_a_joint() -> None:
    """The wrist has low scores around a frame where the person is missing, and around a change of the id."""
    people: list[Corners] = [{1 if i < 40 else 2: (4.0 * i, 0.0)} for i in range(60)]
    people[20] = {}
    frames = _frames(people)
    for low in (range(18, 23), range(38, 43)):
        frames = _with_low_scores(frames, 9, low)
    passed = _pass(frames)
    assert [poses.ids.tolist() for poses in passed] == [[1]] * 60
    assert passed[20].origins.tolist() == [INTERPOLATED]
    for index in (18, 19, 21, 22, *range(38, 43)):
        assert passed[index].keypoint_origins[0, 9] == DETECTED
        assert passed[index].keypoint_scores[0, 9] == 0.1


def test_short_low_score_tracks_are_dropped() -> None:
    people = [{1: (0.0, 0.0), **({2: (300.0, 0.0)} if i in (5, 6, 7) else {})} for i in range(30)]
    assert {i for poses in _pass(_frames(people, score=0.5)) for i in poses.ids.tolist()} == {1}
    assert {i for poses in _pass(_frames(people, score=0.9)) for i in poses.ids.tolist()} == {1, 2}


def _walking(
    swapped: set[int], joints: tuple[str, ...] = ("hip", "knee", "ankle")
) -> tuple[list[TrackedPoses], np.ndarray]:
    """A person whose legs swing past each other; in the frames `swapped` left and right `joints` are exchanged."""
    frames = _frames([{1: (3.0 * i, 0.0)} for i in range(60)])
    legs = [i for i, name in enumerate(POSETRACK.keypoints) if name.endswith(("knee", "ankle", "hip"))]
    true, given = [], []
    for i, poses in enumerate(frames):
        keypoints = poses.keypoints.copy()
        swing = 20 * np.sin(2 * np.pi * i / 25)
        for leg in legs:
            height = 80.0 if "hip" in POSETRACK.keypoints[leg] else 140.0
            side = 1 if POSETRACK.keypoints[leg].startswith("left") else -1
            keypoints[0, leg] = [3.0 * i + 25 + side * swing * (height - 80) / 60 + side * 3, height]
        true.append(keypoints)
        seen = keypoints.copy()
        if i in swapped:
            exchanged = [leg for leg in legs if POSETRACK.keypoints[leg].endswith(joints)]
            seen[:, exchanged] = keypoints[:, [POSETRACK.mirrored[leg] for leg in exchanged]]
        given.append(
            Detections.detected(poses.boxes, poses.scores)
            .with_keypoints(seen, poses.keypoint_scores)
            .with_ids(poses.ids)
        )
    return given, np.array(true)


@pytest.mark.parametrize(
    "joints", [("hip", "knee", "ankle"), ("knee",), ("ankle",), ("hip",), ("knee", "ankle")], ids=" ".join
)
def test_swapped_joints_are_repaired_and_no_others(joints: tuple[str, ...]) -> None:
    given, true = _walking({10, 11, 30, 44}, joints)
    repaired = np.array([poses.keypoints for poses in _pass(given)])
    np.testing.assert_allclose(repaired, true)


def test_a_swapped_keypoint_keeps_its_origin() -> None:
    given, _ = _walking({10})
    left, right = (POSETRACK.keypoints.index(f"{side}_ankle") for side in ("left", "right"))
    given[10].keypoint_origins[0, left] = INTERPOLATED
    origins = np.array([poses.keypoint_origins[0] for poses in _pass(given)])
    assert np.argwhere(origins == INTERPOLATED).tolist() == [[10, right]]


def test_legs_that_really_cross_do_not_change() -> None:
    given, true = _walking(set())
    np.testing.assert_allclose([poses.keypoints for poses in _pass(given)], true)


def test_legs_do_not_change_where_frames_are_too_far_apart() -> None:
    """At 5 frames per second one leg has swung past the other between two frames."""
    given, true = _walking(set())
    slow, true = given[::5], true[::5]
    passed = second_pass(np.arange(len(slow)) / 5, slow, POSETRACK, NO_SMOOTHING)
    np.testing.assert_allclose([poses.keypoints for poses in passed], true)
    fast = second_pass(np.arange(len(slow)) / 25, slow, POSETRACK, NO_SMOOTHING)
    assert np.abs(np.array([poses.keypoints for poses in fast]) - true).max() > 5


def test_smoothed_keypoints_are_added_to_the_raw_ones() -> None:
    rng = np.random.default_rng(1)
    frames = []
    for poses in _frames([{1: (3.0 * i, 0.0)} for i in range(40)]):
        keypoints = poses.keypoints + rng.normal(0, 3, poses.keypoints.shape)
        frames.append(
            Detections.detected(poses.boxes, poses.scores)
            .with_keypoints(keypoints, poses.keypoint_scores)
            .with_ids(poses.ids)
        )
    smoothed = _pass(frames, SecondPassConfig(swap_penalty=9.0))
    raw = np.array([poses.keypoints[0] for poses in smoothed])
    np.testing.assert_array_equal(raw, [poses.keypoints[0] for poses in frames])
    smooth = np.array([poses.smoothed_keypoints[0] for poses in smoothed])
    assert np.diff(smooth, n=2, axis=0).std() < 0.3 * np.diff(raw, n=2, axis=0).std()


def test_no_people() -> None:
    frames = _frames([{}] * 3)
    assert tracks_of(_times(3), frames) == []
    assert [len(poses) for poses in _pass(frames)] == [0, 0, 0]


def _without(frames: list[TrackedPoses], keypoint: int, missing: range) -> list[TrackedPoses]:
    """The same frames, but in the frames `missing` one keypoint is missing: 0, 0 and score 0."""
    for index in missing:
        frames[index].keypoint_scores[:, keypoint] = 0.0
        frames[index].keypoints[:, keypoint] = 0.0
    return frames


def test_a_keypoint_missing_at_one_end_of_a_gap_is_missing_in_it() -> None:
    people = [{} if 20 <= i < 26 else {1: (4.0 * i, 0.0)} for i in range(60)]
    frames = _pass(_without(_frames(people), 9, range(26, 60)))
    for i in range(20, 26):
        present = np.arange(17) != 9
        np.testing.assert_allclose(frames[i].keypoints[0, present], (SHAPE + [4.0 * i, 0])[present])
        assert frames[i].keypoints[0, 9].tolist() == [0, 0]
        assert frames[i].keypoint_scores[0, 9] == 0


@pytest.mark.parametrize("method", [method for method in SMOOTHING if method != "none"])
def test_missing_keypoints_do_not_influence_the_others(method: str) -> None:
    """One keypoint is always missing, another for longer than the pass fills; the others are smoothed as without that."""
    frames = _frames([{1: (300 + 4.0 * i, 200.0)} for i in range(60)])
    complete = [poses.smoothed_keypoints[0] for poses in _pass(frames, SecondPassConfig(smoothing=method))]
    frames = _frames([{1: (300 + 4.0 * i, 200.0)} for i in range(60)])
    frames = _without(_without(frames, 3, range(60)), 9, range(20, 45))
    for i, poses in enumerate(_pass(frames, SecondPassConfig(smoothing=method))):
        for keypoint in range(17):
            is_missing = keypoint == 3 or (keypoint == 9 and 20 <= i < 45)
            expected = np.zeros(2) if is_missing else complete[i][keypoint]
            np.testing.assert_allclose(poses.smoothed_keypoints[0, keypoint], expected, atol=0.7)
