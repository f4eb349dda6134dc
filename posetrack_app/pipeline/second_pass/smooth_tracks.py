"""Smoothing of whole tracks: zero lag, never across a gap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter
from scipy.signal import butter, savgol_filter, sosfiltfilt

from posetrack_app.core.records import BoolArray, FloatArray, is_missing

WINDOW_SECONDS = 0.36
"""Savitzky-Golay: length of the window in which a parabola is fitted."""
CUTOFF_HERTZ = 5.0
"""Butterworth: low-pass cutoff; human limbs hardly move faster (Winter, Biomechanics, 2009)."""
ACCELERATION = 3.0
"""Kalman: square root of the spectral density of the white acceleration noise, in body heights."""
KEYPOINT_NOISE = 0.02
"""Kalman: standard deviation of a keypoint with score 1, in body heights."""


def smooth_track(
    method: str,
    seconds: FloatArray,
    keypoints: FloatArray,
    scores: FloatArray,
    min_score: float = 0.0,
    gap_seconds: float = 0.25,
) -> FloatArray:
    """Smoothed keypoints (F, K, 2) of one person.

    Savitzky-Golay and Butterworth treat the frames between two gaps as equally spaced. The Kalman smoother
    (Rauch-Tung-Striebel) uses their times and the scores. Missing keypoints (0, 0 with score 0) stay as they are.

    Args:
        method: "savgol", "kalman" or "butterworth".
        seconds: (F,) times; they rise.
        keypoints: (F, K, 2).
        scores: (F, K).
        min_score: keypoints below this score do not influence those at or above it.
        gap_seconds: frames farther apart than this do not influence each other. Stretches between two gaps that are too
            short for the method stay as they are.
    """
    missing = is_missing(keypoints, scores)
    smoothed = _smooth_stretches(method, seconds, keypoints, scores, missing, gap_seconds)
    low = ~missing & (scores < min_score)
    if low.any():
        without_low = _smooth_stretches(method, seconds, keypoints, scores, missing | low, gap_seconds)
        smoothed = np.where(low[..., None], smoothed, without_low)
    smoothed[missing] = 0.0
    return smoothed


def _smooth_stretches(
    method: str,
    seconds: FloatArray,
    keypoints: FloatArray,
    scores: FloatArray,
    left_out: BoolArray,
    gap_seconds: float,
) -> FloatArray:
    """Smooth between gaps; keypoints `left_out` (F, K) are first replaced by interpolated positions."""
    smooth: Callable[[FloatArray, FloatArray, FloatArray], FloatArray] = {
        "savgol": _savgol, "kalman": _kalman, "butterworth": _butterworth
    }[method]  # fmt: skip
    smoothed = bridge_missing(seconds, keypoints, left_out)
    ends = np.nonzero(np.diff(seconds) > gap_seconds)[0] + 1
    for stretch in np.split(np.arange(len(seconds)), ends):
        if len(stretch) >= 3:
            smoothed[stretch] = smooth(seconds[stretch], smoothed[stretch], scores[stretch])
    return smoothed


def bridge_missing(seconds: FloatArray, keypoints: FloatArray, missing: BoolArray) -> FloatArray:
    """Keypoints (F, K, 2) with positions for those `missing` (F, K): interpolated in time, or those of the nearest frame.

    A keypoint that is missing in every frame gets the mean position of the others.
    """
    bridged = np.array(keypoints, dtype=np.float64)
    never_seen = missing.all(axis=0)
    for keypoint in np.flatnonzero(missing.any(axis=0) & ~never_seen):
        known = ~missing[:, keypoint]
        for axis in (0, 1):
            positions = bridged[known, keypoint, axis]
            bridged[:, keypoint, axis] = np.interp(seconds, seconds[known], positions)
    if not never_seen.all():
        bridged[:, never_seen] = bridged[:, ~never_seen].mean(axis=1, keepdims=True)
    return bridged


def _savgol(seconds: FloatArray, keypoints: FloatArray, scores: FloatArray) -> FloatArray:
    """A moving parabola (Savitzky and Golay, Analytical Chemistry 36, 1964)."""
    frames = WINDOW_SECONDS / max(float(np.median(np.diff(seconds))), 1e-6)
    window = min(2 * round(frames / 2) + 1, len(seconds) - 1 + len(seconds) % 2)
    if window < 5:
        return keypoints
    smoothed: FloatArray = savgol_filter(keypoints, window, polyorder=2, axis=0)
    return smoothed


def _butterworth(seconds: FloatArray, keypoints: FloatArray, scores: FloatArray) -> FloatArray:
    """A Butterworth filter of order 2, run forwards and backwards; no smoothing at frame rates up to twice the cutoff."""
    rate = 1.0 / max(float(np.median(np.diff(seconds))), 1e-6)
    if 0.5 * rate <= CUTOFF_HERTZ:
        return keypoints
    sections = butter(2, CUTOFF_HERTZ, fs=rate, output="sos")
    smoothed: FloatArray = sosfiltfilt(sections, keypoints, axis=0, padlen=min(9, len(seconds) - 1))
    return smoothed


def _kalman(seconds: FloatArray, keypoints: FloatArray, scores: FloatArray) -> FloatArray:
    """Constant velocity model with the Rauch-Tung-Striebel smoother of filterpy, one filter per keypoint."""
    extent = keypoints.max(axis=1) - keypoints.min(axis=1)
    height = max(float(np.median(extent.max(axis=1))), 1.0)
    steps = np.maximum(np.diff(seconds, prepend=seconds[0]), 1e-6)
    transitions = [np.kron(np.eye(2), [[1.0, step], [0.0, 1.0]]) for step in steps]
    density = (ACCELERATION * height) ** 2
    noises = [
        Q_continuous_white_noise(dim=2, dt=step, spectral_density=density, block_size=2) for step in steps
    ]
    smoothed = np.empty_like(keypoints)
    for keypoint in range(keypoints.shape[1]):
        certainty = np.clip(scores[:, keypoint], 1e-2, 1.0)
        kalman = KalmanFilter(dim_x=4, dim_z=2)
        kalman.x = np.array([keypoints[0, keypoint, 0], 0.0, keypoints[0, keypoint, 1], 0.0])
        kalman.P = np.diag([1.0, 4.0, 1.0, 4.0]) * height**2
        kalman.H = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
        measurement_noises = [np.eye(2) * (KEYPOINT_NOISE * height / value) ** 2 for value in certainty]
        means, covariances, _, _ = kalman.batch_filter(
            list(keypoints[:, keypoint]), Fs=transitions, Qs=noises, Rs=measurement_noises
        )
        means, *_ = kalman.rts_smoother(means, covariances, transitions, noises)
        smoothed[:, keypoint] = means[:, [0, 2]]
    return smoothed
