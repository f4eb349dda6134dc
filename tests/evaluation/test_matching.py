"""The sparse matching equals that of SciPy for dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from posetrack_app.evaluation.posetrack.matching import best_matching


@pytest.mark.parametrize("density", [0.1, 0.3, 0.9])
@pytest.mark.parametrize(
    "constant", [0.0, 1e4]
)  # largest sum; or as many pairs as possible, then the largest sum
def test_same_value_as_the_dense_solution(density: float, constant: float) -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        shape = rng.integers(1, 9, 2)
        weights = rng.uniform(0.01, 1, shape)
        weights[rng.random(shape) > density] = 0
        rows, columns = np.nonzero(weights)
        values = weights[rows, columns] + constant
        chosen = best_matching(rows + 100, columns * 3, values)
        assert len(set(rows[chosen])) == len(set(columns[chosen])) == chosen.sum()
        dense = np.zeros(shape)
        dense[rows, columns] = values
        best = dense[linear_sum_assignment(dense, maximize=True)].sum()
        assert values[chosen].sum() == pytest.approx(best, abs=1e-6)


def test_several_problems_are_solved_separately() -> None:
    rows = np.array([0, 0, 1, 10, 10, 11])
    columns = np.array([0, 1, 0, 10, 11, 10])
    weights = np.array([5.0, 4.0, 4.0, 9.0, 4.0, 4.0])
    assert best_matching(rows, columns, weights).tolist() == [False, True, True, True, False, False]


def test_no_pairs() -> None:
    nothing = np.zeros(0, np.int64)
    assert best_matching(nothing, nothing, np.zeros(0)).tolist() == []
