"""Scenes for tests of edits: people in lanes, 100 pixels apart, who walk to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fakes import people

from posetrack_app.core.records import FrameInfo
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import TrackedFrame, Tracks
from posetrack_app.pipeline.editing.table import TrackTable


def scene(lanes: Sequence[str], *, rate: float = 25.0, **info: Any) -> Tracks:
    """One string for each lane: the id (one digit) seen in each frame, "." for nobody.

    The scene ["1122", "33.3"] has an id switch in the first lane and a gap in the second one.
    """
    frames = []
    for index in range(len(lanes[0])):
        corners = {
            int(lane[index]): (20.0 + 3 * index, 100.0 * k)
            for k, lane in enumerate(lanes)
            if lane[index] != "."
        }
        poses = people(corners, score=0.9)
        frames.append(TrackedFrame(FrameInfo(index, index / rate, (640, 480)), poses))
    return Tracks(Path("tracks.json"), info, POSETRACK, frames)


def lanes_of(table: TrackTable, count: int) -> list[str]:
    """The scene of a table, as `scene` takes it."""
    lanes = [["."] * len(table.infos) for _ in range(count)]
    for frame in table.tracked_frames():
        for number, box in zip(frame.people.ids.tolist(), frame.people.boxes, strict=True):
            lanes[round(box[1] / 100)][frame.info.index] = str(number)
    return ["".join(lane) for lane in lanes]


def columns_of(table: TrackTable) -> Mapping[str, Any]:
    """What a tracks file would hold, without origins."""
    names = ("ids", "boxes", "scores", "keypoints", "keypoint_scores", "smoothed_keypoints")
    kept = ~table.is_deleted
    return {"frames": table.frames[kept]} | {
        name: np.asarray(getattr(table.people, name))[kept] for name in names
    }
