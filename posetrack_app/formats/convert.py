"""Every format by its name, and reading back those that keep everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from posetrack_app.core.records import TrackedPoses, is_missing
from posetrack_app.formats.coco import write_coco
from posetrack_app.formats.mot import write_mot
from posetrack_app.formats.openpose import write_openpose
from posetrack_app.formats.per_track import read_per_track, write_per_track
from posetrack_app.formats.posetrack.write17 import write_posetrack17
from posetrack_app.formats.posetrack.write21 import write_posetrack21
from posetrack_app.formats.recognise import refuse_text_format
from posetrack_app.formats.table import read_csv, read_parquet, write_csv, write_parquet
from posetrack_app.formats.tracks_json.reader import read_tracks
from posetrack_app.formats.tracks_json.tracks import Tracks
from posetrack_app.formats.tracks_json.writer import TracksWriter
from posetrack_app.formats.trc import write_trc, write_trc_c3d


def write_tracks(tracks: Tracks, path: Path) -> None:
    """Write a tracks.json."""
    with TracksWriter(path, skeleton=tracks.skeleton, info=tracks.info) as writer:
        for frame in tracks.frames:
            writer.write(frame.info, frame.people)


WRITERS: dict[str, Callable[[Tracks, Path], None]] = {
    "tracks": write_tracks,
    "per-track": write_per_track,
    "posetrack17": write_posetrack17,
    "posetrack21": write_posetrack21,
    "coco": write_coco,
    "mot": write_mot,
    "csv": write_csv,
    "parquet": write_parquet,
    "openpose": write_openpose,
    "trc": write_trc,
    "trc-c3d": write_trc_c3d,
}
"""Format (`core.choices.FORMATS`) -> its writer; per-track, openpose, trc and trc-c3d write a folder, the others a file."""


def read_any(path: Path) -> Tracks:
    """Read tracks.json, PoseTrack18, or a .csv, .parquet or per-track folder that the writers here wrote.

    Raises InputError if the file is none of these.
    """
    if path.is_dir():
        return read_per_track(path)
    readers = {".csv": read_csv, ".parquet": read_parquet}
    if path.suffix.lower() not in readers:
        refuse_text_format(path)
    return readers.get(path.suffix.lower(), read_tracks)(path)


def with_smoothed_keypoints(tracks: Tracks) -> Tracks:
    """The same tracks with the smoothed keypoints in place of the raw ones; missing keypoints stay missing."""
    frames = [replace(frame, people=_smoothed(frame.people)) for frame in tracks.frames]
    return replace(tracks, frames=frames)


def _smoothed(tracked: TrackedPoses) -> TrackedPoses:
    missing = is_missing(tracked.keypoints, tracked.keypoint_scores)[..., None]
    return replace(tracked, keypoints=np.where(missing, tracked.keypoints, tracked.smoothed_keypoints))
