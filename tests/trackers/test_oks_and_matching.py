"""Similarities against numbers calculated by hand, and both matching methods."""

from __future__ import annotations

import numpy as np
from posetrack_trackers.matching import match_greedily, match_hungarian
from posetrack_trackers.oks import box_iou, object_keypoint_similarity


def test_iou() -> None:
    first = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 5]])
    second = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]])
    np.testing.assert_allclose(box_iou(first, second), [1.0, 1 / 3, 0.0, 0.0])


def test_oks() -> None:
    first = np.zeros((2, 2, 2))
    second = np.array([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [300.0, 0.0]]])
    area = np.array([2500.0, 2500.0])
    sigmas = np.array([0.05, 0.1])
    expected = [(np.exp(-25 / (2 * 2500 * 0.01)) + 1) / 2, 0.5]
    np.testing.assert_allclose(object_keypoint_similarity(first, second, area, sigmas), expected)
    weights = np.array([[0.0, 0.7], [0.0, 0.0]])
    np.testing.assert_allclose(object_keypoint_similarity(first, second, area, sigmas, weights), [1.0, 0.0])


def test_hungarian_maximizes_the_total_and_greedy_takes_the_best_pair_first() -> None:
    similarity = np.array([[0.9, 0.8], [0.7, 0.1]])
    assert [pair.tolist() for pair in match_hungarian(similarity)] == [[0, 1], [1, 0]]
    assert [pair.tolist() for pair in match_greedily(similarity)] == [[0, 1], [0, 1]]


def test_pairs_with_similarity_0_are_never_matched() -> None:
    similarity = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.4]])
    for match in (match_hungarian, match_greedily):
        assert [pair.tolist() for pair in match(similarity)] == [[1], [2]]
        assert [pair.tolist() for pair in match(np.zeros((3, 2)))] == [[], []]
