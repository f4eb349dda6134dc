"""Points strictly inside a polygon, decided exactly: a point on the edge is outside."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from posetrack_app.core.records import BoolArray, FloatArray


def inside_any(points: FloatArray, polygons: Iterable[FloatArray]) -> BoolArray:
    """(N,) bool: `points` (N, 2) strictly inside at least one polygon (n, 2)."""
    inside = np.zeros(len(points), bool)
    for polygon in polygons:
        inside |= _inside(points, polygon)
    return inside


def _inside(points: FloatArray, polygon: FloatArray) -> BoolArray:
    """Even-odd rule. Polygons may be concave, cross themselves, and end with or without their first point."""
    inside = np.zeros(len(points), bool)
    near = np.flatnonzero(((points >= polygon.min(axis=0)) & (points <= polygon.max(axis=0))).all(axis=1))
    p = points[near][:, None]
    a, b = polygon[None], np.roll(polygon, -1, axis=0)[None]
    side = _orientation(a, b, p)
    on_edge = (side == 0) & ((p >= np.minimum(a, b)) & (p <= np.maximum(a, b))).all(axis=2)
    above_a, above_b = a[..., 1] > p[..., 1], b[..., 1] > p[..., 1]
    # The edge crosses the ray from p to the right: p is on the left of an upward edge, on the right of a downward one.
    crossing = (above_a != above_b) & (np.where(above_b, side, -side) > 0)
    inside[near] = (crossing.sum(axis=1) % 2 == 1) & ~on_edge.any(axis=1)
    return inside


def _orientation(a: FloatArray, b: FloatArray, p: FloatArray) -> FloatArray:
    """The turn a -> b -> p: above 0 is counter-clockwise (y up). The sign is exact."""
    ab, ap = b - a, p - a
    left, right = ab[..., 0] * ap[..., 1], ab[..., 1] * ap[..., 0]
    turn = left - right
    # Within the error bound of the 2x2 determinant (Shewchuk 1997, orient2d), compute again with fractions.
    for i, j in np.argwhere(np.abs(turn) <= 4e-16 * (np.abs(left) + np.abs(right))):
        (ax, ay), (bx, by), (px, py) = (map(Fraction, xy.tolist()) for xy in (a[0, j], b[0, j], p[i, 0]))
        exact = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
        turn[i, j] = (exact > 0) - (exact < 0)
    return turn
