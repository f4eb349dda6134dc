"""One-to-one matching of sparse candidate pairs, thousands of small problems at a time."""

from __future__ import annotations

import numpy as np

from posetrack_app.core.records import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9  # a smaller gain is a tie


def best_matching(rows: IntArray, columns: IntArray, weights: FloatArray) -> BoolArray:
    """(E,) the pairs of the one-to-one matching with the largest sum of weights.

    Pair e joins `rows[e]` with `columns[e]` and has `weights[e]` > 0; no pair may occur twice. Several problems can be
    solved in one call if they share no rows and columns. For "as many pairs as possible, then the lowest cost", use the
    weights constant - cost, with a constant above any sum of costs.
    """
    chosen = np.zeros(len(rows), bool)
    if not len(rows):
        return chosen
    row = _dense(rows)
    column = _dense(columns)
    shared_row = np.bincount(row)[row] > 1
    shared_column = np.bincount(column)[column] > 1
    # Stars are solved at once: a row whose columns have no other row takes its best pair, and likewise a column.
    row_star = ~_marked(row, shared_column)
    column_star = ~_marked(column, shared_row)
    chosen[_best_of_each(row, weights, row_star)] = True
    chosen[_best_of_each(column, weights, column_star & ~row_star)] = True
    rest = np.flatnonzero(~(row_star | column_star))
    if len(rest):
        chosen[rest[_solve(row[rest], column[rest], weights[rest])]] = True
    return chosen


def _dense(keys: IntArray) -> IntArray:
    return np.unique(keys, return_inverse=True)[1].reshape(-1)


def _marked(group: IntArray, flag: BoolArray) -> BoolArray:
    """(E,) whether any pair of the same group has the flag."""
    marked = np.zeros(int(group.max()) + 1, bool)
    marked[group[flag]] = True
    return marked[group]


def _best_of_each(group: IntArray, weights: FloatArray, among: BoolArray) -> IntArray:
    """The heaviest pair of every group, among the given pairs."""
    pairs = np.flatnonzero(among)
    order = pairs[np.lexsort((-weights[pairs], group[pairs]))]
    first = np.ones(len(order), bool)
    first[1:] = group[order][1:] != group[order][:-1]
    return order[first]


def _solve(rows: IntArray, columns: IntArray, weights: FloatArray) -> IntArray:
    """The chosen pairs of the components that are not stars: few and small, so plain Python is fastest.

    Rows are added one by one. The best matching with a new row differs from the one without it by one alternating
    path, which starts at the row and ends at a free column or at a row that becomes unmatched.
    """
    row_of, column_of, weight_of = rows.tolist(), columns.tolist(), weights.tolist()
    pairs_of: dict[int, list[int]] = {}
    for pair, row in enumerate(row_of):
        pairs_of.setdefault(row, []).append(pair)
    holder: dict[int, int] = {}  # column -> its pair
    for new_row in pairs_of:
        gain, reached_by = {new_row: 0.0}, {new_row: -1}
        best_gain, best_path = 0.0, (-1, new_row)  # (pair to a free column or -1, last row)
        waiting = [new_row]
        while waiting:
            row = waiting.pop()
            if gain[row] > best_gain + _ROUNDING:
                best_gain, best_path = gain[row], (-1, row)
            for pair in pairs_of[row]:
                reached = gain[row] + weight_of[pair]
                held = holder.get(column_of[pair])
                if held is None:
                    if reached > best_gain + _ROUNDING:
                        best_gain, best_path = reached, (pair, row)
                    continue
                loser, reached = row_of[held], reached - weight_of[held]
                if held != pair and reached > gain.get(loser, -np.inf) + _ROUNDING:
                    gain[loser], reached_by[loser] = reached, pair
                    waiting.append(loser)
        pair, row = best_path
        taken = [pair] if pair >= 0 else []
        while reached_by[row] >= 0:
            taken.append(reached_by[row])
            row = row_of[reached_by[row]]
        holder.update({column_of[pair]: pair for pair in taken})
    return np.array(list(holder.values()), np.int64)
