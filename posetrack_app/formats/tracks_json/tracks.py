"""The content of a tracks file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrack_app.core.records import FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """One frame of a tracks file and its people."""

    info: FrameInfo
    people: TrackedPoses


@dataclass(frozen=True)
class Tracks:
    """The content of a tracks file; `frames` are sorted by index and include those without people."""

    path: Path
    info: Mapping[str, Any]
    skeleton: Skeleton
    frames: Sequence[TrackedFrame]

    @property
    def ids(self) -> list[int]:
        """Every id, ascending."""
        return sorted({int(track_id) for frame in self.frames for track_id in frame.people.ids})


def frame_size_of(info: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) from `info.video`; (0, 0) if it does not say."""
    return size_in(info.get("video"))


def size_in(entry: Any) -> tuple[int, int]:
    """(`width`, `height`) of an object in a tracks file; (0, 0) if it does not have both."""
    width, height = (entry.get("width"), entry.get("height")) if isinstance(entry, dict) else (0, 0)
    if type(width) is int and type(height) is int and width > 0 and height > 0:
        return width, height
    return 0, 0
