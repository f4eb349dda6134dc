"""What the pipeline needs from networks, trackers and smoothers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import FloatArray, IntArray
from posetrack_app.core.skeletons import Skeleton

PoseArrays = tuple[FloatArray, FloatArray, FloatArray]
"""Keypoints (N, K, 2), their scores (N, K), and appearance (N, D)."""


@dataclass(frozen=True)
class Networks:
    """The loaded networks, for any number of videos, and the facts about them that go into the tracks file."""

    detector: Detector
    estimator: Estimator
    skeleton: Skeleton
    device: str
    precision: str
    weights: dict[str, dict[str, Any]]
    at_once: int = 1
    """Frames, and batches of people, that are processed in parallel."""


class Links(Protocol):
    """A tracker's output for one frame."""

    @property
    def ids(self) -> IntArray:
        """(N,) id of every pose; 0 if it belongs to no confirmed track."""
        ...

    @property
    def earlier(self) -> list[tuple[int, int, int]]:
        """(frames ago, row, id) for rows of previous frames that get their id only now."""
        ...


class Tracker(Protocol):
    """Gives ids to the poses of one video, frame by frame."""

    delay: int
    """Number of frames after which the ids of a frame are final."""

    def update(
        self,
        boxes: FloatArray,
        scores: FloatArray,
        keypoints: FloatArray,
        keypoint_scores: FloatArray,
        seconds: float,
        *,
        camera_motion: FloatArray | None = None,
        appearance: FloatArray | None = None,
        frame_size: tuple[int, int] | None = None,
    ) -> Links:
        """Link the next frame.

        Args:
            boxes: (N, 4) x1 y1 x2 y2 in pixels.
            scores: (N,).
            keypoints: (N, K, 2) in pixels.
            keypoint_scores: (N, K).
            seconds: presentation time of the frame.
            camera_motion: (2, 3) affine map from pixels of the previous frame to pixels of this one.
            appearance: (N, D) features that are similar for the same person.
            frame_size: width and height, if known.
        """
        ...

    def finish(self) -> Links:
        """End the shot: no track continues after it."""
        ...


class Expected(Protocol):
    """Where the T tracks of a tracker should be in the next frame."""

    @property
    def boxes(self) -> FloatArray:
        """(T, 4) x1 y1 x2 y2 in pixels."""
        ...

    @property
    def keypoints(self) -> FloatArray:
        """(T, K, 2) in pixels."""
        ...

    @property
    def scores(self) -> FloatArray:
        """(T,) box scores of the last matched poses."""
        ...

    @property
    def keypoint_scores(self) -> FloatArray:
        """(T, K) running means of the matched poses' keypoint scores."""
        ...

    @property
    def seconds_lost(self) -> FloatArray:
        """(T,) time since the last match."""
        ...


class ExpectingTracker(Tracker, Protocol):
    """A tracker that knows where people should be in the next frame."""

    def expect(self, seconds: float, *, camera_motion: FloatArray | None = None) -> Expected:
        """Where the tracks should be at `seconds`, before the call of `update`; `camera_motion` as there."""
        ...


class Smoother(Protocol):
    """Smooths the keypoints of one video, frame by frame."""

    def smooth(
        self,
        ids: IntArray,
        boxes: FloatArray,
        keypoints: FloatArray,
        keypoint_scores: FloatArray,
        seconds: float,
    ) -> FloatArray:
        """The smoothed keypoints (N, K, 2) of the next frame; arguments as for `Tracker.update`."""
        ...


class Detector(Protocol):
    """Images (H, W, 3) RGB to boxes (N, 4) x1 y1 x2 y2 and scores (N,) for each image, highest scores first."""

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]: ...


class Estimator(Protocol):
    """An image and a box for each of N people to keypoints (N, K, 2), scores (N, K) and appearance (N, D).

    D is 0 if the network gives no appearance.
    """

    def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays: ...
