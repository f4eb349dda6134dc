"""Only points strictly inside a polygon are ignored; the edge is outside."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from posetrack_app.evaluation.posetrack.ignore_regions import inside_any

SQUARE = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], float)
NOTCHED = np.array([(0, 0), (10, 0), (10, 10), (5, 4), (0, 10)], float)
BOW_TIE = np.array([(0, 0), (10, 10), (10, 0), (0, 10)], float)
STAR = np.array([(5, 0), (8, 10), (0, 4), (10, 4), (2, 10)], float)


@pytest.mark.parametrize(
    ("polygon", "point", "inside"),
    [
        (SQUARE, (5, 5), True),
        (SQUARE, (0, 5), False),
        (SQUARE, (10, 10), False),
        (SQUARE, (5, 1e-300), True),
        (SQUARE, (11, 0), False),
        (SQUARE, (-1, 10), False),
        (np.append(SQUARE, SQUARE[:1], axis=0), (5, 5), True),
        (NOTCHED, (5, 5), False),
        (NOTCHED, (5, 4), False),
        (NOTCHED, (1, 5), True),
        (BOW_TIE, (5, 2), False),
        (BOW_TIE, (8, 5), True),
        (BOW_TIE, (5, 5), False),
        (STAR, (5, 5), False),  # the polygon goes around it twice: even
        (STAR, (5, 1.5), True),
    ],
)
def test_inside(polygon: np.ndarray, point: tuple[float, float], inside: bool) -> None:
    for turned in (polygon, polygon[::-1]):
        assert inside_any(np.array([point], float), [turned]).tolist() == [inside]


def test_points_on_a_slanted_edge_are_decided_exactly() -> None:
    """For points near an edge, the side is that of exact arithmetic in spite of rounding."""
    a, b = (0.1, 0.1), (0.7, 0.9)
    polygon = np.array([a, b, (0.1, 0.9)])
    x = np.linspace(0.2, 0.6, 400)
    points = np.column_stack([x, 0.1 + (x - 0.1) * (0.8 / 0.6)])
    exact = [
        (Fraction(b[0]) - Fraction(a[0])) * (Fraction(py) - Fraction(a[1]))
        > (Fraction(b[1]) - Fraction(a[1])) * (Fraction(px) - Fraction(a[0]))
        for px, py in points.tolist()
    ]
    assert inside_any(points, [polygon]).tolist() == exact
    assert 0 < sum(exact) < len(exact)


def test_several_polygons() -> None:
    points = np.array([(5, 5), (25, 5), (50, 50)], float)
    assert inside_any(points, [SQUARE, SQUARE + np.array((20, 0))]).tolist() == [True, True, False]
