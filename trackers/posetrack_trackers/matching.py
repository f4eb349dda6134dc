"""Two ways to pair tracks with poses, given a table of similarities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from posetrack_trackers.oks import Floats

Indices = NDArray[np.intp]


def match_hungarian(similarity: Floats) -> tuple[Indices, Indices]:
    """Rows and columns of the pairing with the highest total `similarity` (R, C).

    Pairs with similarity 0 are never matched.
    """
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    matched = similarity[rows, columns] > 0.0
    return rows[matched], columns[matched]


def match_greedily(similarity: Floats) -> tuple[Indices, Indices]:
    """Rows and columns paired from the most similar pair down, as in Simple Baselines (arXiv 1804.06208).

    Pairs with similarity 0 are never matched. Ties go to the lower row, then to the lower column.
    """
    rows, columns = np.nonzero(similarity > 0.0)
    order = np.argsort(-similarity[rows, columns], kind="stable")
    free_rows = set(rows.tolist())
    free_columns = set(columns.tolist())
    pairs: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            pairs.append((row, column))
    paired = np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2)
    return paired[:, 0], paired[:, 1]
