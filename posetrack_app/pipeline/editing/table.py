"""All poses of a video as one table, in which a correction changes many frames in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from posetrack_app.core.records import BoolArray, FrameInfo, IntArray, TrackedPoses, joined_rows
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.formats import TrackedFrame, Tracks


@dataclass(frozen=True, eq=False)
class TrackTable:
    """Every pose of a video; rows are sorted by frame. Operations share the columns that they do not change.

    `infos` are all frames of the video. `frames` (R,) is the `frame_index` of each row and `people` its R poses.
    `is_deleted` (R,) marks rows that a person deleted: they keep their places, so that nothing fills the gap again.
    """

    skeleton: Skeleton
    infos: Sequence[FrameInfo]
    frames: IntArray
    people: TrackedPoses
    is_deleted: BoolArray

    @staticmethod
    def of(tracks: Tracks) -> TrackTable:
        """The table of the tracks in a file, without edits."""
        counts = [len(frame.people) for frame in tracks.frames]
        indices = np.array([frame.info.index for frame in tracks.frames], dtype=np.int64)
        parts = [frame.people for frame in tracks.frames] or [_nobody(tracks.skeleton)]
        return TrackTable(
            skeleton=tracks.skeleton,
            infos=[frame.info for frame in tracks.frames],
            frames=np.repeat(indices, counts),
            people=joined_rows(parts),
            is_deleted=np.zeros(sum(counts), dtype=bool),
        )

    def rows_of(self, number: int, first: int | None = None, last: int | None = None) -> IntArray:
        """The rows of a person in a span of frames, both ends included; None is no limit. Deleted rows are left out."""
        return np.flatnonzero(self._is_in(number, first, last) & ~self.is_deleted)

    def rows_with_deleted(self, number: int, first: int | None = None, last: int | None = None) -> IntArray:
        """As `rows_of`, with the deleted rows."""
        return np.flatnonzero(self._is_in(number, first, last))

    @property
    def ids(self) -> list[int]:
        """Every id, ascending."""
        return [int(number) for number in np.unique(self.people.ids[~self.is_deleted])]

    def with_people(self, **columns: Any) -> TrackTable:
        """The same table with other columns of `people`."""
        return replace(self, people=replace(self.people, **columns))

    def tracked_frames(self) -> list[TrackedFrame]:
        """All frames with their people, without deleted rows."""
        kept = np.flatnonzero(~self.is_deleted)
        people, frames = self.people[kept], self.frames[kept]
        indices = np.array([info.index for info in self.infos], dtype=np.int64)
        starts = np.searchsorted(frames, indices, side="left").tolist()
        stops = np.searchsorted(frames, indices, side="right").tolist()
        return [
            TrackedFrame(info, people[start:stop])
            for info, start, stop in zip(self.infos, starts, stops, strict=True)
        ]

    def _is_in(self, number: int, first: int | None, last: int | None) -> BoolArray:
        inside: BoolArray = self.people.ids == number
        if first is not None:
            inside &= self.frames >= first
        if last is not None:
            inside &= self.frames <= last
        return inside


def _nobody(skeleton: Skeleton) -> TrackedPoses:
    count = len(skeleton.keypoints)
    return TrackedPoses(
        boxes=np.zeros((0, 4)),
        scores=np.zeros(0),
        origins=np.zeros(0, np.int8),
        keypoints=np.zeros((0, count, 2)),
        keypoint_scores=np.zeros((0, count)),
        keypoint_origins=np.zeros((0, count), np.int8),
        appearance=np.zeros((0, 0)),
        ids=np.zeros(0, np.int64),
        smoothed_keypoints=np.zeros((0, count, 2)),
    )
