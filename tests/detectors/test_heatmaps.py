"""Heatmaps to keypoints, with results by hand; recorded numbers are checked in test_pose_goldens.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden.reference.pose_targets import (
    dark_targets,
    gaussian_targets,
    keypoint_accuracy,
    udp_targets,
)
from golden.reference.quarter_offset import decode_quarter
from posetrack_detectors.decoding.dark_udp import (
    decode_dark,
    decode_dark_smoothed,
    decode_udp,
)
from posetrack_detectors.decoding.heatmaps import decode_heatmaps, find_peaks, flip_back, quarter_offset

SIZE, INPUT = (48, 64), (192, 256)


def one_map(peaks: dict[tuple[int, int], float]) -> np.ndarray:
    heatmap = np.zeros((1, 1, 8, 6), dtype=np.float32)
    for (x, y), height in peaks.items():
        heatmap[0, 0, y, x] = height
    return heatmap


@pytest.mark.parametrize(
    ("peaks", "cell"),
    [
        pytest.param({(3, 4): 1.0}, (3.0, 4.0), id="even neighbours"),
        pytest.param({(3, 4): 1.0, (4, 4): 0.5, (3, 3): 0.2}, (3.25, 3.75), id="right and up"),
        pytest.param({(1, 4): 1.0, (2, 4): 0.5}, (1.0, 4.0), id="on the second ring"),
        pytest.param({(5, 4): 1.0, (4, 4): 0.5}, (5.0, 4.0), id="on the border"),
        pytest.param({}, (0.0, 0.0), id="nothing"),
        pytest.param({(2, 2): 1.0, (3, 5): 1.0}, (2.0, 2.0), id="tie: the first"),
    ],
)
def test_peak_and_offset(peaks: dict[tuple[int, int], float], cell: tuple[float, float]) -> None:
    heatmap = one_map(peaks)
    cells, _ = find_peaks(heatmap)
    assert tuple(quarter_offset(heatmap, cells)[0, 0]) == cell


def test_no_people() -> None:
    keypoints, scores = decode_heatmaps(
        np.zeros((0, 17, 64, 48), np.float32), np.zeros((0, 2)), np.zeros((0, 2))
    )
    assert keypoints.shape == (0, 17, 2)
    assert scores.shape == (0, 17)


def test_flip_back_undoes_a_flip() -> None:
    heatmaps = np.random.default_rng(0).random((2, 3, 8, 6)).astype(np.float32)
    mirrored = (0, 2, 1)
    assert np.array_equal(flip_back(heatmaps[:, list(mirrored), :, ::-1], mirrored, shift=0), heatmaps)


@pytest.mark.parametrize(
    ("targets", "decode", "within"),
    [
        (gaussian_targets, decode_quarter, 2.01),
        (dark_targets, decode_dark, 0.05),
        (dark_targets, decode_dark_smoothed, 0.05),
        (udp_targets, decode_udp, 0.7),
    ],
)
def test_each_decoding_finds_the_keypoints_of_its_targets(targets, decode, within) -> None:  # type: ignore[no-untyped-def]
    """In pixels of the input. As in mmpose, the UDP decoder scales by size / (size - 1)."""
    keypoints = np.random.default_rng(1).uniform((30, 30), (160, 220), (17, 2))
    heatmaps, weights = targets(keypoints, np.ones(17), SIZE, INPUT, 2)
    found, scores = decode(heatmaps[None], INPUT)
    if decode is decode_udp:
        found = found * (np.array(INPUT) - 1) / np.array(INPUT)
    assert np.abs(found[0] - keypoints).max() < within
    assert (weights == 1).all()
    assert (scores > 0.8).all()


def test_smoothed_decoding_prefers_a_wide_bump_to_a_single_high_cell() -> None:
    bump, _ = dark_targets(np.array([[100.0, 60.0]]), np.ones(1), SIZE, INPUT, 2)
    heatmaps = (0.6 * bump)[None].astype(np.float32)
    heatmaps[0, 0, 50, 10] = 0.7
    (raw, _), (smoothed, heights) = decode_dark(heatmaps, INPUT), decode_dark_smoothed(heatmaps, INPUT, 7)
    assert np.abs(raw[0, 0] - [40, 200]).max() < 4
    assert np.abs(smoothed[0, 0] - [100, 60]).max() < 0.5
    assert heights[0, 0] == pytest.approx(0.7)


def test_a_map_without_a_peak_decodes_to_finite_numbers() -> None:
    for decode in (decode_quarter, decode_dark, decode_dark_smoothed, decode_udp):
        keypoints, scores = decode(np.zeros((1, 3, 64, 48), np.float32), INPUT)
        assert np.isfinite(keypoints).all()
        assert (scores == 0).all()


def test_accuracy_counts_visible_keypoints_only() -> None:
    keypoints = np.array([[100.0, 100.0], [60.0, 200.0], [0.0, 0.0]])
    target, _ = gaussian_targets(keypoints, np.array([1.0, 1.0, 0.0]), SIZE, INPUT, 2)
    moved, _ = gaussian_targets(keypoints + np.array([[0, 0], [60, 0], [0, 0]]), np.ones(3), SIZE, INPUT, 2)
    shares, mean, count = keypoint_accuracy(moved[None], target[None])
    assert shares.tolist() == [1.0, 0.0, -1.0]
    assert (mean, count) == (0.5, 2)
