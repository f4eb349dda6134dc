"""Tracks in other programs' formats, and back from the tables that keep everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from posetrack_app.formats.absent import is_absent
from posetrack_app.formats.coco import write_coco
from posetrack_app.formats.mot import write_mot
from posetrack_app.formats.openpose import write_openpose
from posetrack_app.formats.per_track import read_per_track, write_per_track
from posetrack_app.formats.posetrack17_writer import write_posetrack17
from posetrack_app.formats.posetrack21 import write_posetrack21
from posetrack_app.formats.table import read_csv, read_parquet, write_csv, write_parquet
from posetrack_app.formats.tracks import TracksWriter
from posetrack_app.formats.tracks_reader import Tracks, read_tracks
from posetrack_app.formats.trc import write_trc, write_trc_c3d
from posetrack_app.records import TrackedPoses


def write_tracks(tracks: Tracks, path: Path) -> None:
    """Write tracks.json."""
    with TracksWriter(path, skeleton=tracks.skeleton, info=tracks.info) as writer:
        for frame in tracks.frames:
            writer.write_frame(frame, frame.tracked)


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
"""Format name -> what writes it; per-track, openpose, trc and trc-c3d make a folder, the others a file."""


def read_any(path: Path) -> Tracks:
    """Tracks from tracks.json, PoseTrack18, a .csv or .parquet of ours, or a folder of `--to per-track`."""
    if path.is_dir():
        return read_per_track(path)
    readers = {".csv": read_csv, ".parquet": read_parquet}
    return readers.get(path.suffix.lower(), read_tracks)(path)


def with_smoothed_keypoints(tracks: Tracks) -> Tracks:
    """The same tracks, with the smoothed keypoints in place of the raw ones; absent ones stay absent."""
    frames = [replace(frame, tracked=_smoothed(frame.tracked)) for frame in tracks.frames]
    return replace(tracks, frames=frames)


def _smoothed(tracked: TrackedPoses) -> TrackedPoses:
    absent = is_absent(tracked.keypoints, tracked.keypoint_scores)[..., None]
    return replace(tracked, keypoints=np.where(absent, tracked.keypoints, tracked.smoothed_keypoints))
