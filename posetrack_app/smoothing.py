"""Keypoints that do not jitter: One-Euro while the video runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrack_app.records import FloatArray, IntArray


@dataclass
class _Past:
    """What one person's filters remember: `keypoints` (K, 2) smoothed, `velocity` (K, 2), `is_known` (K,)."""

    keypoints: FloatArray
    velocity: FloatArray
    is_known: NDArray[np.bool_]
    seconds: float


class OneEuroSmoother:
    """One-Euro filter (Casiez et al., CHI 2012) for every keypoint of every track of one video.

    A keypoint at rest is smoothed strongly, to below `min_cutoff` hertz; one that moves at v body heights a
    second hardly, to below `min_cutoff + beta * v` hertz. The body height is the longer side of the box, so
    the same numbers are right for near and far people. v is itself smoothed to below `speed_cutoff` hertz.
    Somebody unseen for longer than `gap_seconds` starts afresh, and so does a keypoint after a frame in
    which its score was 0.
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
        self._past: dict[int, _Past] = {}

    def smooth(
        self,
        ids: IntArray,
        boxes: FloatArray,
        keypoints: FloatArray,
        keypoint_scores: FloatArray,
        seconds: float,
    ) -> FloatArray:
        """Smoothed keypoints (N, K, 2) of the next frame; `ids` (N,) are all different."""
        self._past = {
            number: past for number, past in self._past.items() if seconds - past.seconds <= self._gap_seconds
        }
        smoothed = np.array(keypoints, dtype=np.float64)
        heights = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=1.0), 1.0)
        for row, number in enumerate(ids.tolist()):
            is_seen = keypoint_scores[row] > 0
            past = self._past.get(number)
            velocity = np.zeros_like(smoothed[row])
            if past is not None and seconds > past.seconds:
                velocity, smoothed[row] = self._step(past, smoothed[row], is_seen, heights[row], seconds)
            self._past[number] = _Past(smoothed[row], velocity, is_seen, seconds)
        return smoothed

    def _step(
        self, past: _Past, keypoints: FloatArray, is_seen: NDArray[np.bool_], height: float, seconds: float
    ) -> tuple[FloatArray, FloatArray]:
        """Velocities in body heights a second, and smoothed keypoints, of one person; (K, 2) each."""
        elapsed = seconds - past.seconds
        is_known = (past.is_known & is_seen)[:, None]
        velocity = (keypoints - past.keypoints) / (elapsed * height)
        velocity = past.velocity + _share(self._speed_cutoff, elapsed) * (velocity - past.velocity)
        cutoff = self._min_cutoff + self._beta * np.linalg.norm(velocity, axis=1, keepdims=True)
        smoothed = past.keypoints + _share(cutoff, elapsed) * (keypoints - past.keypoints)
        return np.where(is_known, velocity, 0.0), np.where(is_known, smoothed, keypoints)


def _share(cutoff: FloatArray | float, elapsed: float) -> FloatArray | float:
    """Weight of the newest value in smoothing to below `cutoff` hertz, `elapsed` s after the last."""
    turned = 2.0 * np.pi * cutoff * elapsed
    return turned / (turned + 1.0)
