"""Tracks: the poses of one person as columns over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import FloatArray, IntArray, TrackedPoses


@dataclass(frozen=True)
class Track:
    """One person in F frames; row i of every column belongs to frame `frames[i]`, and `frames` (F,) rise.

    The other columns are those of `TrackedPoses`, with F in place of N.
    """

    id: int
    frames: IntArray
    seconds: FloatArray
    boxes: FloatArray
    scores: FloatArray
    keypoints: FloatArray
    keypoint_scores: FloatArray
    origins: IntArray
    keypoint_origins: IntArray
    appearance: FloatArray

    def rows(self, rows: NDArray[np.bool_] | IntArray | slice) -> Track:
        """The chosen rows of every column."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return replace(self, **columns)


_POSE_COLUMNS = (
    "boxes", "scores", "keypoints", "keypoint_scores", "origins", "keypoint_origins", "appearance"
)  # fmt: skip
_COLUMNS = ("frames", "seconds", *_POSE_COLUMNS)


def concatenated(parts: Sequence[Track]) -> Track:
    """One track with the rows of all `parts`, sorted by frame, and the id of the first part."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS
    }
    track = replace(parts[0], **columns)
    return track.rows(np.argsort(track.frames, kind="stable"))


def tracks_of(seconds: FloatArray, frames: Sequence[TrackedPoses]) -> list[Track]:
    """One track for each id, sorted by id; `seconds` (len(frames),) are the times of the frames."""
    counts = [len(poses) for poses in frames]
    if not sum(counts):
        return []
    places = np.repeat(np.arange(len(frames)), counts)
    ids, *columns = (
        np.concatenate([getattr(poses, name) for poses in frames if len(poses)])
        for name in ("ids", *_POSE_COLUMNS)
    )
    tracks = []
    for number in np.unique(ids):
        rows = ids == number
        at = places[rows]
        tracks.append(Track(int(number), at, seconds[at], *(column[rows] for column in columns)))
    return tracks
