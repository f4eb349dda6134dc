"""The second pass: what it joins, fills, repairs and drops, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from posetrack_app.offline import SecondPass, second_pass, tracks_of
from posetrack_app.offline_smoothing import Method
from posetrack_app.records import DETECTED, INTERPOLATED, TrackedPoses
from posetrack_app.skeleton import POSETRACK

SIZE = np.array([50.0, 150.0])
SHAPE = np.random.default_rng(0).uniform(0.1, 0.9, (17, 2)) * SIZE
NO_SMOOTHING = SecondPass(smoothing=None)


def _frames(people: list[dict[int, tuple[float, float]]], score: float = 0.9) -> list[TrackedPoses]:
    """A frame a dictionary, id -> left upper corner of a box."""
    frames = []
    for frame in people:
        corner = np.array(list(frame.values())).reshape(-1, 2)
        keypoints = corner[:, None] + SHAPE
        frames.append(
            TrackedPoses(
                np.concatenate([corner, corner + SIZE], axis=1),
                np.full(len(corner), score),
                keypoints,
                np.full(keypoints.shape[:2], 0.8),
                np.array(list(frame), dtype=np.int64),
                keypoints,
            )
        )
    return frames


def _times(count: int) -> np.ndarray:
    return np.arange(count) / 25


def _pass(frames: list[TrackedPoses], settings: SecondPass = NO_SMOOTHING) -> list[TrackedPoses]:
    return second_pass(_times(len(frames)), frames, POSETRACK, settings)


def test_whole_tracks_stay_as_they_are() -> None:
    frames = _frames([{4: (3.0 * i, 0.0), 9: (300 - 3.0 * i, 9.0)} for i in range(30)])
    for old, new in zip(frames, _pass(frames), strict=True):
        np.testing.assert_array_equal(old.ids, new.ids)
        np.testing.assert_array_equal(old.keypoints, new.keypoints)
        np.testing.assert_array_equal(old.boxes, new.boxes)


def test_a_broken_track_becomes_one_again() -> None:
    """Somebody walks on behind a wall for a second and gets a new id; a bystander is left alone."""
    people: list[dict[int, tuple[float, float]]] = []
    for i in range(75):
        walker = {} if 25 <= i < 50 else {1 if i < 25 else 3: (3.0 * i, 0.0)}
        people.append({**walker, 2: (75.0, 200.0)})
    ids = [poses.ids.tolist() for poses in _pass(_frames(people))]
    assert ids[:25] == [[1, 2]] * 25
    assert ids[25:50] == [[2]] * 25
    assert ids[50:] == [[1, 2]] * 25


def test_who_comes_back_elsewhere_or_twice_as_large_is_somebody_else() -> None:
    for jump, growth in ((500.0, 1.0), (0.0, 2.0)):
        frames = _frames([{1: (0.0, 0.0)}] * 20 + [{}] * 10)
        for poses in _frames([{2: (jump, 0.0)}] * 20):
            boxes = poses.boxes.copy()
            boxes[:, 2:] = boxes[:, :2] + SIZE * growth
            frames.append(
                TrackedPoses(
                    boxes, poses.scores, poses.keypoints, poses.keypoint_scores, poses.ids, poses.keypoints
                )
            )
        assert {i for poses in _pass(frames) for i in poses.ids.tolist()} == {1, 2}


def test_the_nearest_of_two_continues_the_track() -> None:
    people: list[dict[int, tuple[float, float]]] = [{1: (0.0, 0.0), 2: (80.0, 0.0)}] * 20
    people = people + [{}] * 20 + [{3: (85.0, 0.0), 4: (5.0, 0.0)}] * 20
    assert sorted(_pass(_frames(people))[-1].ids.tolist()) == [1, 2]
    last = _pass(_frames(people))[-1]
    assert last.boxes[last.ids.tolist().index(1), 0] == 5.0


def test_short_gaps_are_filled_and_say_so_long_ones_stay_open() -> None:
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


def _with_unsure(frames: list[TrackedPoses], keypoint: int, unsure: range) -> list[TrackedPoses]:
    """The same, but the network saw nothing of one keypoint for some frames and put it far off."""
    for index in unsure:
        frames[index].keypoint_scores[:, keypoint] = 0.1
        frames[index].keypoints[:, keypoint] += 40.0
    return frames


def test_a_keypoint_unseen_for_a_moment_is_filled_and_says_so() -> None:
    """For 10 frames, 0.4 s; for 15, 0.64 s from sure to sure, it stays as the network said, and so it does at the end."""
    frames = _frames([{1: (4.0 * i, 0.0)} for i in range(90)])
    for unsure in (range(20, 30), range(40, 55), range(85, 90)):
        frames = _with_unsure(frames, 9, unsure)
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


def test_filling_a_swinging_wrist_errs_little() -> None:
    """A wrist swings once a second by 0.3 body heights and is hidden for 0.24 s: filled to 2 % of the height."""
    frames, swing = [], [45 * np.sin(2 * np.pi * i / 25) for i in range(75)]
    for i, poses in enumerate(_frames([{1: (4.0 * i, 0.0)} for i in range(75)])):
        poses.keypoints[0, 9, 0] += swing[i]
        frames.append(poses)
    true = np.array([poses.keypoints[0, 9] for poses in frames])
    for start in range(5, 65, 8):
        frames = _with_unsure(frames, 9, range(start, start + 5))
    passed = np.array(
        [poses.keypoints[0, 9] for poses in _pass(frames, SecondPass(smoothing=None, swap_penalty=9))]
    )
    assert np.sqrt(np.square(passed - true).sum(axis=1).mean()) < 0.02 * 150


def test_a_keypoint_is_not_filled_across_a_missing_person_or_a_joint() -> None:
    """The wrist is unsure on both sides of a frame where the person is missing, then of a change of the id."""
    people: list[dict[int, tuple[float, float]]] = [{1 if i < 40 else 2: (4.0 * i, 0.0)} for i in range(60)]
    people[20] = {}
    frames = _frames(people)
    for unsure in (range(18, 23), range(38, 43)):
        frames = _with_unsure(frames, 9, unsure)
    passed = _pass(frames)
    assert [poses.ids.tolist() for poses in passed] == [[1]] * 60
    assert passed[20].origins.tolist() == [INTERPOLATED]
    for index in (18, 19, 21, 22, *range(38, 43)):
        assert passed[index].keypoint_origins[0, 9] == DETECTED
        assert passed[index].keypoint_scores[0, 9] == 0.1


def test_short_unsure_tracks_are_ghosts() -> None:
    people = [{1: (0.0, 0.0), **({2: (300.0, 0.0)} if i in (5, 6, 7) else {})} for i in range(30)]
    assert {i for poses in _pass(_frames(people, score=0.5)) for i in poses.ids.tolist()} == {1}
    assert {i for poses in _pass(_frames(people, score=0.9)) for i in poses.ids.tolist()} == {1, 2}


def _walking(swapped: set[int]) -> tuple[list[TrackedPoses], np.ndarray]:
    """Somebody whose legs swing past each other; in frames `swapped` left and right legs are exchanged."""
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
        shown = keypoints.copy()
        if i in swapped:
            shown[:, legs] = keypoints[:, [POSETRACK.mirrored[leg] for leg in legs]]
        given.append(TrackedPoses(poses.boxes, poses.scores, shown, poses.keypoint_scores, poses.ids, shown))
    return given, np.array(true)


def test_swapped_legs_are_put_right() -> None:
    given, true = _walking({10, 11, 30, 44})
    repaired = np.array([poses.keypoints for poses in _pass(given)])
    np.testing.assert_allclose(repaired, true)


def test_the_origin_of_a_keypoint_goes_where_it_goes() -> None:
    given, _ = _walking({10})
    left, right = (POSETRACK.keypoints.index(f"{side}_ankle") for side in ("left", "right"))
    given[10].keypoint_origins[0, left] = INTERPOLATED
    origins = np.array([poses.keypoint_origins[0] for poses in _pass(given)])
    assert np.argwhere(origins == INTERPOLATED).tolist() == [[10, right]]


def test_legs_that_really_cross_are_left_alone() -> None:
    given, true = _walking(set())
    np.testing.assert_allclose([poses.keypoints for poses in _pass(given)], true)


def test_legs_are_left_alone_where_the_frames_are_too_far_apart_to_tell() -> None:
    """At 5 frames a second a leg has swung past the other between two of them."""
    given, true = _walking(set())
    slow, true = given[::5], true[::5]
    passed = second_pass(np.arange(len(slow)) / 5, slow, POSETRACK, NO_SMOOTHING)
    np.testing.assert_allclose([poses.keypoints for poses in passed], true)
    at_once = second_pass(np.arange(len(slow)) / 25, slow, POSETRACK, NO_SMOOTHING)
    assert np.abs(np.array([poses.keypoints for poses in at_once]) - true).max() > 5


def test_smoothing_stands_beside_the_raw_values() -> None:
    rng = np.random.default_rng(1)
    frames = []
    for poses in _frames([{1: (3.0 * i, 0.0)} for i in range(40)]):
        keypoints = poses.keypoints + rng.normal(0, 3, poses.keypoints.shape)
        frames.append(
            TrackedPoses(poses.boxes, poses.scores, keypoints, poses.keypoint_scores, poses.ids, keypoints)
        )
    smoothed = _pass(frames, SecondPass(swap_penalty=9.0))
    raw = np.array([poses.keypoints[0] for poses in smoothed])
    np.testing.assert_array_equal(raw, [poses.keypoints[0] for poses in frames])
    smooth = np.array([poses.smoothed_keypoints[0] for poses in smoothed])
    assert np.diff(smooth, n=2, axis=0).std() < 0.3 * np.diff(raw, n=2, axis=0).std()


def test_nobody() -> None:
    frames = _frames([{}] * 3)
    assert tracks_of(_times(3), frames) == []
    assert [len(poses) for poses in _pass(frames)] == [0, 0, 0]


def _without(frames: list[TrackedPoses], keypoint: int, absent: range) -> list[TrackedPoses]:
    """The same, but one keypoint is absent for some frames: 0, 0 and score 0."""
    for index in absent:
        frames[index].keypoint_scores[:, keypoint] = 0.0
        frames[index].keypoints[:, keypoint] = 0.0
    return frames


def test_what_is_absent_on_one_side_of_a_gap_is_absent_in_it() -> None:
    people = [{} if 20 <= i < 26 else {1: (4.0 * i, 0.0)} for i in range(60)]
    frames = _pass(_without(_frames(people), 9, range(26, 60)))
    for i in range(20, 26):
        present = np.arange(17) != 9
        np.testing.assert_allclose(frames[i].keypoints[0, present], (SHAPE + [4.0 * i, 0])[present])
        assert frames[i].keypoints[0, 9].tolist() == [0, 0]
        assert frames[i].keypoint_scores[0, 9] == 0


@pytest.mark.parametrize("method", ["savgol", "kalman", "butterworth"])
def test_nothing_is_drawn_to_an_absent_keypoint(method: Method) -> None:
    """One is absent always, one for longer than is filled; the others are as they are without them."""
    frames = _frames([{1: (300 + 4.0 * i, 200.0)} for i in range(60)])
    whole = [poses.smoothed_keypoints[0] for poses in _pass(frames, SecondPass(smoothing=method))]
    frames = _frames([{1: (300 + 4.0 * i, 200.0)} for i in range(60)])
    frames = _without(_without(frames, 3, range(60)), 9, range(20, 45))
    for i, poses in enumerate(_pass(frames, SecondPass(smoothing=method))):
        for keypoint in range(17):
            absent = keypoint == 3 or (keypoint == 9 and 20 <= i < 45)
            expected = np.zeros(2) if absent else whole[i][keypoint]
            np.testing.assert_allclose(poses.smoothed_keypoints[0, keypoint], expected, atol=0.7)
