"""Possible id switches: what is reported and what is not."""

from __future__ import annotations

import numpy as np

from posetrack_app.core.records import Detections, FrameInfo
from posetrack_app.pipeline.id_review import IdReview

Corners = dict[int, tuple[float, float]]
"""The top left corner of each person's box by id."""


def _review(
    people: list[Corners], *, cut: int = -1, large: range = range(0), jolt: int = -1
) -> list[tuple[tuple[int, ...], str]]:
    """Ids and reasons of what is found.

    `cut` is the first frame of a second shot, at `jolt` the camera moves by 400 pixels, and in the frames `large` all
    people are three times as large.
    """
    review = IdReview()
    for index, frame in enumerate(people):
        corner = np.array(list(frame.values())).reshape(-1, 2)
        keypoints = np.zeros((len(corner), 17, 2))
        sides = np.array([50.0, 150.0]) * (3 if index in large else 1)
        boxes = np.concatenate([corner, corner + sides], axis=1)
        ids = np.array(list(frame), dtype=np.int64)
        motion = np.array([[1.0, 0, 400], [0, 1, 0]]) if index == jolt else None
        info = FrameInfo(index, index / 25, camera_motion=motion, is_cut=index == cut)
        found = Detections.detected(boxes, np.ones(len(corner)))
        review.see(info, found.with_keypoints(keypoints, np.ones((len(corner), 17))).with_ids(ids))
    assert all(0 <= switch.score <= 1 for switch in review.found)
    return [(switch.ids, switch.reason) for switch in review.found]


def _crossing(swap: bool) -> list[Corners]:
    people: list[Corners] = []
    for i in range(60):
        right, left = (5.0 * i, 0.0), (300 - 5.0 * i, 4.0)
        people.append({1: left, 2: right} if swap and i > 30 else {1: right, 2: left})
    return people


def test_people_who_pass_each_other_are_not_reported() -> None:
    assert _review(_crossing(swap=False)) == []


def test_ids_exchanged_while_passing() -> None:
    assert _review(_crossing(swap=True)) == [((1, 2), "exchanged")]


def test_a_new_id_where_one_was_lost() -> None:
    people: list[Corners] = [{1 if i < 20 else 2: (3.0 * i, 0.0)} for i in range(40)]
    assert _review(people) == [((1, 2), "new")]


def test_a_new_id_elsewhere_is_not_reported() -> None:
    assert _review([{1: (0.0, 0.0)} if i < 20 else {2: (400.0, 0.0)} for i in range(40)]) == []


def test_a_jump() -> None:
    assert _review([{1: (0.0 if i < 20 else 400.0, 0.0)} for i in range(40)]) == [((1,), "jump")]


def test_a_jolt_of_the_camera_is_not_a_jump() -> None:
    moved = [{1: (2.0 * i + (400.0 if i >= 20 else 0.0), 0.0)} for i in range(40)]
    assert _review(moved, jolt=20) == []
    lost = [{1 if i < 20 else 2: (2.0 * i + (400.0 if i >= 20 else 0.0), 0.0)} for i in range(40)]
    assert _review(lost, jolt=20) == [((1, 2), "new")]


def test_a_sudden_change_of_size() -> None:
    people: list[Corners] = [{1: (0.0, 0.0)} for _ in range(40)]
    assert _review(people, large=range(20, 40)) == [((1,), "jump")]


def test_nothing_is_compared_across_a_cut() -> None:
    people: list[Corners] = [{1 if i < 20 else 2: (3.0 * i, 0.0)} for i in range(40)]
    assert _review(people, cut=20) == []
    assert _review([{1: (0.0 if i < 20 else 400.0, 0.0)} for i in range(40)], cut=20) == []


def test_no_people() -> None:
    assert _review([{}] * 3) == []


def test_an_old_id_that_returns_later_is_not_new() -> None:
    people: list[Corners] = [{1: (0.0, 0.0)} for _ in range(10)]
    people += [{2: (0.0, 0.0)} for _ in range(100)] + [{1: (0.0, 0.0)} for _ in range(10)]
    assert _review(people) == [((1, 2), "new")]
