"""Records: columns of equal length, filtered together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import people

from posetrack_app.core.records import DETECTED, Detections, FrameInfo, is_missing


def test_rows_are_chosen_in_every_column() -> None:
    three = people({4: (0, 0), 5: (100, 0), 6: (200, 0)})
    chosen = three[three.ids != 5]
    assert chosen.ids.tolist() == [4, 6]
    for name in (
        "boxes",
        "scores",
        "origins",
        "keypoints",
        "keypoint_scores",
        "smoothed_keypoints",
        "appearance",
    ):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(three, name)[[0, 2]])
    assert len(three[:0]) == 0


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("boxes", np.zeros((2, 3)), r"boxes must be \(N, 4\), got \(2, 3\)"),
        ("scores", np.zeros(3), "scores has 3 rows, boxes has 2"),
        ("keypoints", np.zeros((2, 17, 3)), r"keypoints must be \(N, K, 2\), got \(2, 17, 3\)"),
        ("keypoint_scores", np.zeros((2, 16)), r"keypoint_scores must be \(2, 17\), got \(2, 16\)"),
        ("keypoint_origins", np.zeros((2, 16)), r"keypoint_origins must be \(2, 17\), got \(2, 16\)"),
        ("smoothed_keypoints", np.zeros((2, 16, 2)), r"smoothed_keypoints must be \(2, 17, 2\)"),
        ("ids", np.zeros(2), "ids must be integers, got float64"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column: str, value: np.ndarray, message: str) -> None:
    two = people({1: (0, 0), 2: (100, 0)})
    with pytest.raises(ValueError, match=message):
        replace(two, **{column: value})


def test_each_stage_adds_columns() -> None:
    found = Detections.detected(np.zeros((2, 4)), np.ones(2))
    poses = found.with_keypoints(np.zeros((2, 5, 2)), np.ones((2, 5)))
    tracked = poses.with_ids(np.array([3, 7]))
    assert poses.keypoint_origins.tolist() == [[DETECTED] * 5] * 2
    assert poses.appearance.shape == (2, 0)
    assert tracked.smoothed_keypoints is poses.keypoints


def test_an_unknown_size_is_zero() -> None:
    assert FrameInfo(0, 0.0).size == (0, 0)


def test_only_a_keypoint_at_the_origin_without_a_score_is_missing() -> None:
    keypoints = np.array([[[0, 0], [0, 0], [3, 0]]], float)
    assert is_missing(keypoints, np.array([[0, 0.5, 0]])).tolist() == [[True, False, False]]
