"""What must look suspicious, and what must not."""

from __future__ import annotations

import numpy as np

from posetrack_app.records import Frame, TrackedPoses
from posetrack_app.suspicions import SuspicionWatch

NO_PICTURE = np.zeros((1, 1, 3), dtype=np.uint8)


def _watch(
    people: list[dict[int, tuple[float, float]]], *, cut: int = -1, large: range = range(0), jolt: int = -1
) -> list[tuple[tuple[int, ...], str]]:
    """`cut` is the first frame of a second shot; in the frames `large` everybody is three times as large.

    At `jolt` the camera turns away by 400 pixels.
    """
    watch = SuspicionWatch()
    for index, frame in enumerate(people):
        corner = np.array(list(frame.values())).reshape(-1, 2)
        keypoints = np.zeros((len(corner), 17, 2))
        sides = np.array([50.0, 150.0]) * (3 if index in large else 1)
        boxes = np.concatenate([corner, corner + sides], axis=1)
        ids = np.array(list(frame), dtype=np.int64)
        scores = np.ones(len(corner)), np.ones((len(corner), 17))
        motion = np.array([[1.0, 0, 400], [0, 1, 0]]) if index == jolt else None
        picture = Frame(index, index / 25, NO_PICTURE, camera_motion=motion, is_cut=index == cut)
        watch.see(picture, TrackedPoses(boxes, scores[0], keypoints, scores[1], ids, keypoints))
    assert all(0 <= suspicion.score <= 1 for suspicion in watch.found)
    return [(suspicion.ids, suspicion.reason) for suspicion in watch.found]


def _cross(swap: bool) -> list[dict[int, tuple[float, float]]]:
    people: list[dict[int, tuple[float, float]]] = []
    for i in range(60):
        right, left = (5.0 * i, 0.0), (300 - 5.0 * i, 4.0)
        people.append({1: left, 2: right} if swap and i > 30 else {1: right, 2: left})
    return people


def test_passing_each_other_is_fine() -> None:
    assert _watch(_cross(swap=False)) == []


def test_exchange_while_passing() -> None:
    assert _watch(_cross(swap=True)) == [((1, 2), "exchanged")]


def test_new_id_where_one_was_lost() -> None:
    people: list[dict[int, tuple[float, float]]] = [{1 if i < 20 else 2: (3.0 * i, 0.0)} for i in range(40)]
    assert _watch(people) == [((1, 2), "new")]


def test_somebody_new_elsewhere_is_fine() -> None:
    assert _watch([{1: (0.0, 0.0)} if i < 20 else {2: (400.0, 0.0)} for i in range(40)]) == []


def test_jump() -> None:
    assert _watch([{1: (0.0 if i < 20 else 400.0, 0.0)} for i in range(40)]) == [((1,), "jump")]


def test_a_jolt_of_the_camera_is_nobodys_jump() -> None:
    moved = [{1: (2.0 * i + (400.0 if i >= 20 else 0.0), 0.0)} for i in range(40)]
    assert _watch(moved, jolt=20) == []
    lost = [{1 if i < 20 else 2: (2.0 * i + (400.0 if i >= 20 else 0.0), 0.0)} for i in range(40)]
    assert _watch(lost, jolt=20) == [((1, 2), "new")]


def test_growing_at_once() -> None:
    people: list[dict[int, tuple[float, float]]] = [{1: (0.0, 0.0)} for _ in range(40)]
    assert _watch(people, large=range(20, 40)) == [((1,), "jump")]


def test_what_a_cut_separates_is_not_compared() -> None:
    people: list[dict[int, tuple[float, float]]] = [{1 if i < 20 else 2: (3.0 * i, 0.0)} for i in range(40)]
    assert _watch(people, cut=20) == []
    assert _watch([{1: (0.0 if i < 20 else 400.0, 0.0)} for i in range(40)], cut=20) == []


def test_nobody() -> None:
    assert _watch([{}] * 3) == []


def test_somebody_who_comes_back_after_long_is_not_new() -> None:
    people: list[dict[int, tuple[float, float]]] = [{1: (0.0, 0.0)} for _ in range(10)]
    people += [{2: (0.0, 0.0)} for _ in range(100)] + [{1: (0.0, 0.0)} for _ in range(10)]
    assert _watch(people) == [((1, 2), "new")]
