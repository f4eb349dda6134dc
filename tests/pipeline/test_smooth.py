"""Smoothing: less jitter, little lag, nothing across gaps, independent of scale."""

from __future__ import annotations

import numpy as np
import pytest

from posetrack_app.core.choices import SMOOTHING
from posetrack_app.pipeline.second_pass.smooth_tracks import smooth_track
from posetrack_app.pipeline.smooth import OneEuroSmoother

BOX = np.array([[0.0, 0.0, 60.0, 200.0]])
TIMES = np.arange(100) / 25
METHODS = tuple(method for method in SMOOTHING if method != "none")


def _online(
    tracks: np.ndarray, seconds: np.ndarray = TIMES, box: np.ndarray = BOX, scores: np.ndarray | None = None
) -> np.ndarray:
    smoother = OneEuroSmoother()
    given = np.ones(tracks.shape[:2]) if scores is None else scores
    return np.array(
        [
            smoother.smooth(np.array([3]), box, keypoints[None], score[None], at)[0]
            for keypoints, score, at in zip(tracks, given, seconds, strict=True)
        ]
    )


def _walk(noise: float, seconds: np.ndarray = TIMES) -> tuple[np.ndarray, np.ndarray]:
    """True and noisy keypoints (F, 4, 2) of a person 200 pixels tall who walks at 100 pixels per second."""
    swing = 20 * np.sin(2 * np.pi * seconds)[:, None] * [0.0, 0.3, 1.0, -1.0]
    x = 100 * seconds[:, None] + swing
    y = np.broadcast_to([0.0, 60, 130, 200], x.shape)
    true = np.stack([x, y], axis=2)
    return true, true + np.random.default_rng(0).normal(0, noise, true.shape)


def _jitter(tracks: np.ndarray) -> float:
    return float(np.diff(tracks, n=2, axis=0).std())


def _still(noise: float) -> np.ndarray:
    return 50 + np.random.default_rng(1).normal(0, noise, (100, 4, 2))


def test_one_euro_at_rest_and_in_motion() -> None:
    still = _still(3.0)
    assert _jitter(_online(still)) < 0.4 * _jitter(still)
    true, _ = _walk(0.0)
    assert np.abs(_online(true) - true)[10:].mean() < 3.0


def test_one_euro_does_not_depend_on_scale() -> None:
    _, noisy = _walk(3.0)
    np.testing.assert_allclose(_online(10 * noisy, box=10 * BOX), 10 * _online(noisy))


def test_one_euro_restarts_after_a_gap() -> None:
    _, noisy = _walk(3.0)
    seconds = np.where(np.arange(100) < 50, TIMES, TIMES + 0.4)
    np.testing.assert_array_equal(_online(noisy, seconds)[50], noisy[50])
    assert (_online(noisy)[50] != noisy[50]).all()


def test_one_euro_restarts_a_keypoint_after_it_was_missing() -> None:
    _, noisy = _walk(3.0)
    noisy[40, 2] = 0.0
    scores = np.ones((100, 4))
    scores[40, 2] = 0.0
    smoothed = _online(noisy, scores=scores)
    np.testing.assert_array_equal(smoothed[40:42, 2], noisy[40:42, 2])
    assert (smoothed[41, 0] != noisy[41, 0]).all()


def test_one_euro_keeps_people_apart() -> None:
    smoother = OneEuroSmoother()
    ones = np.ones((2, 4))
    boxes = np.repeat(BOX, 2, axis=0)
    first = np.stack([np.zeros((4, 2)), np.full((4, 2), 500.0)])
    smoother.smooth(np.array([1, 2]), boxes, first, ones, 0.0)
    again = smoother.smooth(np.array([2, 1]), boxes, first[::-1], ones, 0.04)
    np.testing.assert_array_equal(again, first[::-1])


def test_one_euro_without_people() -> None:
    empty = np.zeros((0, 4, 2))
    smoothed = OneEuroSmoother().smooth(
        np.zeros(0, dtype=np.int64), np.zeros((0, 4)), empty, np.zeros((0, 4)), 0.0
    )
    assert smoothed.shape == (0, 4, 2)


@pytest.mark.parametrize("method", METHODS)
def test_whole_track_smoothing_is_closer_to_the_truth_and_has_no_lag(method: str) -> None:
    true, noisy = _walk(4.0)
    smoothed = smooth_track(method, TIMES, noisy, np.ones((100, 4)))
    assert _jitter(smoothed) < 0.35 * _jitter(noisy)
    assert np.abs(smoothed - true).mean() < 0.75 * np.abs(noisy - true).mean()
    # With a lag of one frame the mean error along x would be 4 pixels: 100 pixels per second x 0.04 s.
    assert abs((smoothed - true)[10:-10, :, 0].mean()) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_whole_track_smoothing_stops_at_a_gap(method: str) -> None:
    _, noisy = _walk(4.0)
    seconds = np.where(np.arange(100) < 50, TIMES, TIMES + 1.0)
    moved = noisy.copy()
    moved[50:] += 300
    ones = np.ones((100, 4))
    one, other = (smooth_track(method, seconds, tracks, ones) for tracks in (noisy, moved))
    np.testing.assert_allclose(one[:50], other[:50])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6])
def test_whole_track_smoothing_of_short_tracks(method: str, frames: int) -> None:
    true, _ = _walk(0.0)
    smoothed = smooth_track(method, TIMES[:frames], true[:frames], np.ones((frames, 4)))
    np.testing.assert_allclose(smoothed, true[:frames], atol=3.0)


@pytest.mark.parametrize("method", METHODS)
def test_low_score_keypoints_do_not_influence_the_others(method: str) -> None:
    """A wrist is hidden for 0.8 s; the network guesses a wrong position."""
    still = np.zeros((60, 4, 2)) + np.arange(4)[:, None] * 50
    guessed, scores = still.copy(), np.full((60, 4), 0.9)
    guessed[20:40, 2] += 90
    scores[20:40, 2] = 0.05
    smoothed = smooth_track(method, TIMES[:60], guessed, scores, min_score=0.2)
    sure = scores > 0.2
    np.testing.assert_allclose(smoothed[sure], still[sure], atol=0.1 if method != "kalman" else 8)
    assert np.abs(smoothed[20:40, 2] - still[20:40, 2]).max() > 70


def test_the_kalman_smoother_weights_keypoints_by_score() -> None:
    still = np.zeros((21, 4, 2)) + np.arange(4)[:, None] * 50
    outlier = still.copy()
    outlier[10, 2] += 40
    for score, most in ((1.0, 40.0), (0.05, 2.0)):
        scores = np.ones((21, 4))
        scores[10, 2] = score
        off = np.abs(smooth_track("kalman", TIMES[:21], outlier, scores) - still).max()
        assert off < most
        assert (off > 5) == (score == 1.0)
