"""A tracker's output for one frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from posetrack_trackers.oks import Floats

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Links:
    """The ids of one frame's poses.

    A track is confirmed, and gets its id, only after several sightings. `earlier` then gives that id to the
    track's poses in previous frames.
    """

    ids: Ids
    """(N,) id of every pose; 0 if it belongs to no confirmed track."""

    earlier: list[tuple[int, int, int]] = field(default_factory=list)
    """(frames ago, row, id) for rows of previous frames."""


@dataclass(frozen=True)
class Expected:
    """Where the T tracks of a tracker should be in the next frame."""

    boxes: Floats
    """(T, 4) x1 y1 x2 y2 in pixels."""
    keypoints: Floats
    """(T, K, 2) in pixels."""
    scores: Floats
    """(T,) box scores of the last matched poses."""
    keypoint_scores: Floats
    """(T, K) running means of the matched poses' keypoint scores."""
    seconds_lost: Floats
    """(T,) time since the last match."""
