"""Similarities against numbers worked out by hand, and both assignments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from posetrack_trackers.matching import match_greedily, match_hungarian, without_rivals
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


def test_hungarian_takes_the_best_total_and_greedy_the_best_pair() -> None:
    similarity = np.array([[0.9, 0.8], [0.7, 0.1]])
    assert [pair.tolist() for pair in match_hungarian(similarity)] == [[0, 1], [1, 0]]
    assert [pair.tolist() for pair in match_greedily(similarity)] == [[0, 1], [0, 1]]


def test_zeros_stay_apart() -> None:
    similarity = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.4]])
    for match in (match_hungarian, match_greedily):
        assert [pair.tolist() for pair in match(similarity)] == [[1], [2]]
        assert [pair.tolist() for pair in match(np.zeros((3, 2)))] == [[], []]


@pytest.mark.parametrize("match", [match_hungarian, match_greedily])
def test_pairs_without_rivals_are_what_every_matching_gives(match: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(400):
        # Few different values, so that many are equal.
        table = rng.integers(1, 4, rng.integers(0, 7, 2)) / 4.0
        table *= rng.uniform(size=table.shape) < 0.25
        pairs = without_rivals(table > 0.0)
        if pairs is None:
            assert max((table > 0).sum(axis=0).max(), (table > 0).sum(axis=1).max()) > 1
            continue
        found += len(pairs[0]) > 0
        for ours, matched in zip(pairs, match(table), strict=True):
            np.testing.assert_array_equal(ours, matched)
    assert found > 50
