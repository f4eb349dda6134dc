"""Smoothing of keypoints while the video runs, by the One-Euro filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import FloatArray, IntArray


@dataclass
class _State:
    """One person's filters after the previous frame: smoothed `keypoints` (K, 2), `velocity` (K, 2), `is_known` (K,)."""

    keypoints: FloatArray
    velocity: FloatArray
    is_known: NDArray[np.bool_]
    seconds: float


class OneEuroSmoother:
    """One-Euro filter (Casiez et al., CHI 2012) for every keypoint of every track of one video.

    The low-pass cutoff of a keypoint that moves at v body heights per second is `min_cutoff + beta * v` hertz: strong
    smoothing at rest, little lag in motion. v itself is smoothed with the cutoff `speed_cutoff`. The body height is the
    longer side of the box, so the same settings suit near and far people. Filters restart for a person who was missing
    for longer than `gap_seconds`, and for a keypoint whose score was 0 in the previous frame.
    """

    def __init__(
        self,
        *,
        min_cutoff: float = 1.5,
        beta: float = 6.0,
        speed_cutoff: float = 1.5,
        gap_seconds: float = 0.25,
    ) -> None:
        self._min_cutoff, self._beta, self._speed_cutoff = min_cutoff, beta, speed_cutoff
        self._gap_seconds = gap_seconds
        self._states: dict[int, _State] = {}

    def smooth(
        self,
        ids: IntArray,
        boxes: FloatArray,
        keypoints: FloatArray,
        keypoint_scores: FloatArray,
        seconds: float,
    ) -> FloatArray:
        """Smoothed keypoints (N, K, 2) of the next frame; `ids` (N,) are unique."""
        self._states = {
            number: before
            for number, before in self._states.items()
            if seconds - before.seconds <= self._gap_seconds
        }
        smoothed = np.array(keypoints, dtype=np.float64)
        heights = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=1.0), 1.0)
        for row, number in enumerate(ids.tolist()):
            is_seen = keypoint_scores[row] > 0
            before = self._states.get(number)
            velocity = np.zeros_like(smoothed[row])
            if before is not None and seconds > before.seconds:
                velocity, smoothed[row] = self._step(before, smoothed[row], is_seen, heights[row], seconds)
            self._states[number] = _State(smoothed[row], velocity, is_seen, seconds)
        return smoothed

    def _step(
        self, before: _State, keypoints: FloatArray, is_seen: NDArray[np.bool_], height: float, seconds: float
    ) -> tuple[FloatArray, FloatArray]:
        """Velocities in body heights per second, and smoothed keypoints, of one person; (K, 2) each."""
        elapsed = seconds - before.seconds
        is_known = (before.is_known & is_seen)[:, None]
        velocity = (keypoints - before.keypoints) / (elapsed * height)
        velocity = before.velocity + _weight(self._speed_cutoff, elapsed) * (velocity - before.velocity)
        cutoff = self._min_cutoff + self._beta * np.linalg.norm(velocity, axis=1, keepdims=True)
        smoothed = before.keypoints + _weight(cutoff, elapsed) * (keypoints - before.keypoints)
        return np.where(is_known, velocity, 0.0), np.where(is_known, smoothed, keypoints)


def _weight(cutoff: FloatArray | float, elapsed: float) -> FloatArray | float:
    """Weight of the newest value in a low-pass filter of `cutoff` hertz, `elapsed` seconds after the previous value."""
    ratio = 2.0 * np.pi * cutoff * elapsed
    return ratio / (ratio + 1.0)
