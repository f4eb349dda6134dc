"""From boxes to crops and back."""

from __future__ import annotations

import numpy as np
import pytest
from posetrack_detectors.decoding.crops import (
    apply_affine,
    centre_and_scale,
    crop_affine,
    crop_person,
    udp_affine,
)

SIZE = (192, 256)


@pytest.mark.parametrize(
    ("box", "centre", "scale"),
    [
        pytest.param((0, 0, 150, 200), (75, 100), (0.9375, 1.25), id="aspect ratio of the input"),
        pytest.param((0, 0, 30, 200), (15, 100), (0.9375, 1.25), id="narrow: widened"),
        pytest.param((0, 0, 300, 40), (150, 20), (1.875, 2.5), id="wide: made taller"),
    ],
)
def test_centre_and_scale(
    box: tuple[float, ...], centre: tuple[float, float], scale: tuple[float, float]
) -> None:
    got = centre_and_scale(np.array(box, dtype=np.float64), SIZE[0] / SIZE[1])
    assert np.allclose(got[0], centre)
    assert np.allclose(got[1], scale)


@pytest.mark.parametrize("degrees", [0.0, 30.0, -45.5])
def test_there_and_back(degrees: float) -> None:
    centre, scale = centre_and_scale(np.array([20.0, 30.0, 170.0, 400.0]), SIZE[0] / SIZE[1])
    points = np.random.default_rng(0).uniform(0, 400, (17, 2))
    there = apply_affine(points, crop_affine(centre, scale, degrees, SIZE))
    back = apply_affine(there, crop_affine(centre, scale, degrees, SIZE, inverse=True))
    assert np.abs(back - points).max() < 1e-3
    assert np.allclose(apply_affine(centre, crop_affine(centre, scale, degrees, SIZE)), (96, 128), atol=1e-4)


def test_udp_crops_keep_the_outer_pixel_centres() -> None:
    """A region one unit smaller than the input maps to itself."""
    centre, scale = np.array([95.5, 127.5]), np.array([191.0, 255.0]) / 200
    assert np.allclose(udp_affine(centre, scale, 0.0, SIZE), [[1, 0, 0], [0, 1, 0]], atol=1e-4)


def test_crops_are_black_outside_the_frame() -> None:
    white = np.full((100, 100, 3), 255, dtype=np.uint8)
    centre, scale = centre_and_scale(np.array([-50.0, 0.0, 50.0, 100.0]), SIZE[0] / SIZE[1])
    crop = crop_person(white, centre, scale, SIZE)
    assert crop.shape == (256, 192, 3)
    assert (crop[:, :90] == 0).all()
    assert (crop[128, 100:] == 255).all()
