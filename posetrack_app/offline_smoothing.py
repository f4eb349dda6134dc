"""Keypoints smoothed with the whole track known: no lag, never across a gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter
from scipy.signal import butter, savgol_filter, sosfiltfilt

from posetrack_app.formats.absent import is_absent
from posetrack_app.formats.pose_sequence import BoolArray
from posetrack_app.records import FloatArray

Method = Literal["savgol", "kalman", "butterworth"]
METHODS: tuple[Method, ...] = get_args(Method)

WINDOW_SECONDS = 0.36
"""Savitzky-Golay fits a parabola to this much of the track."""
CUTOFF_HERTZ = 5.0
"""Butterworth, run forwards and backwards; people's limbs hardly move faster (Winter, Biomechanics, 2009)."""
ACCELERATION = 3.0
"""Kalman: square root of the spectral density of the white noise on the velocity, in body heights."""
KEYPOINT_NOISE = 0.02
"""Kalman: standard deviation of a keypoint of full score, in body heights."""


def smooth_track(
    method: Method,
    seconds: FloatArray,
    keypoints: FloatArray,
    scores: FloatArray,
    least_score: float = 0.0,
    gap_seconds: float = 0.25,
) -> FloatArray:
    """One person's keypoints (F, K, 2), smoothed; `seconds` (F,) rise, `scores` (F, K).

    What lies further apart than `gap_seconds` does not influence each other. A stretch too short for the method
    stays as it is, and so does an absent keypoint (0, 0 with score 0), which nothing is drawn to. Nor are keypoints
    that score `least_score` or more drawn to those that score less. Savitzky-Golay and Butterworth take the frames
    of a stretch as equally far apart; the Kalman smoother (Rauch-Tung-Striebel) knows their times, and the scores.
    """
    absent = is_absent(keypoints, scores)
    smoothed = _smooth_stretches(method, seconds, keypoints, scores, absent, gap_seconds)
    unsure = ~absent & (scores < least_score)
    if unsure.any():
        among_sure = _smooth_stretches(method, seconds, keypoints, scores, absent | unsure, gap_seconds)
        smoothed = np.where(unsure[..., None], smoothed, among_sure)
    smoothed[absent] = 0.0
    return smoothed


def _smooth_stretches(
    method: Method,
    seconds: FloatArray,
    keypoints: FloatArray,
    scores: FloatArray,
    left_out: BoolArray,
    gap_seconds: float,
) -> FloatArray:
    """`keypoints` smoothed as if those `left_out` (F, K) were on the way between the others."""
    smooth: Callable[[FloatArray, FloatArray, FloatArray], FloatArray] = {
        "savgol": _savgol, "kalman": _kalman, "butterworth": _butterworth
    }[method]  # fmt: skip
    smoothed = bridge_absent(seconds, keypoints, left_out)
    ends = np.nonzero(np.diff(seconds) > gap_seconds)[0] + 1
    for stretch in np.split(np.arange(len(seconds)), ends):
        if len(stretch) >= 3:
            smoothed[stretch] = smooth(seconds[stretch], smoothed[stretch], scores[stretch])
    return smoothed


def bridge_absent(seconds: FloatArray, keypoints: FloatArray, absent: BoolArray) -> FloatArray:
    """Keypoints (F, K, 2) with places for the absent ones (F, K): between those before and after, or the nearest.

    One that is absent throughout is put amidst the others.
    """
    bridged = np.array(keypoints, dtype=np.float64)
    never = absent.all(axis=0)
    for keypoint in np.flatnonzero(absent.any(axis=0) & ~never):
        known = ~absent[:, keypoint]
        for axis in (0, 1):
            places = bridged[known, keypoint, axis]
            bridged[:, keypoint, axis] = np.interp(seconds, seconds[known], places)
    if not never.all():
        bridged[:, never] = bridged[:, ~never].mean(axis=1, keepdims=True)
    return bridged


def _savgol(seconds: FloatArray, keypoints: FloatArray, scores: FloatArray) -> FloatArray:
    """Savitzky and Golay, Analytical Chemistry 36 (1964)."""
    frames = WINDOW_SECONDS / max(float(np.median(np.diff(seconds))), 1e-6)
    window = min(2 * round(frames / 2) + 1, len(seconds) - 1 + len(seconds) % 2)
    if window < 5:
        return keypoints
    smoothed: FloatArray = savgol_filter(keypoints, window, polyorder=2, axis=0)
    return smoothed


def _butterworth(seconds: FloatArray, keypoints: FloatArray, scores: FloatArray) -> FloatArray:
    rate = 1.0 / max(float(np.median(np.diff(seconds))), 1e-6)
    if 0.5 * rate <= CUTOFF_HERTZ:
        return keypoints
    sections = butter(2, CUTOFF_HERTZ, fs=rate, output="sos")
    smoothed: FloatArray = sosfiltfilt(sections, keypoints, axis=0, padlen=min(9, len(seconds) - 1))
    return smoothed


def _kalman(seconds: FloatArray, keypoints: FloatArray, scores: FloatArray) -> FloatArray:
    """Constant velocity, Rauch-Tung-Striebel smoother of filterpy, one filter a keypoint."""
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
        spreads = [np.eye(2) * (KEYPOINT_NOISE * height / share) ** 2 for share in certainty]
        means, covariances, _, _ = kalman.batch_filter(
            list(keypoints[:, keypoint]), Fs=transitions, Qs=noises, Rs=spreads
        )
        means, *_ = kalman.rts_smoother(means, covariances, transitions, noises)
        smoothed[:, keypoint] = means[:, [0, 2]]
    return smoothed
