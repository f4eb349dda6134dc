"""Which detection continues which track, from a table of similarities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from posetrack_trackers.oks import Floats

Indices = NDArray[np.intp]


def without_rivals(allowed: NDArray[np.bool_]) -> tuple[Indices, Indices] | None:
    """Rows and columns of all pairs `allowed` (R, C), if no row and no column is in two of them; else None.

    They are then the answer of every way of matching, whatever the similarities; most frames are like that.
    """
    rows, columns = allowed.nonzero()
    if len(rows) == len(set(rows.tolist())) == len(set(columns.tolist())):
        return rows, columns
    return None


def match_hungarian(similarity: Floats) -> tuple[Indices, Indices]:
    """Rows and columns of the pairing with the greatest total `similarity` (R, C); pairs of 0 stay apart.

    Put 0 where a pair is not allowed.
    """
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    allowed = similarity[rows, columns] > 0.0
    return rows[allowed], columns[allowed]


def match_greedily(similarity: Floats) -> tuple[Indices, Indices]:
    """Rows and columns paired from the most similar pair down, as in Simple Baselines (arXiv 1804.06208).

    Pairs of 0 stay apart; of equal pairs the first row, then the first column, goes first.
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
