"""A folder with one tracks.json for each identity; every file has all frames, so that each stands alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.tracks import TracksWriter
from posetrack_app.formats.tracks_reader import TrackedFrame, Tracks, read_tracks
from posetrack_app.formats.whole import whole_folder
from posetrack_app.records import TrackedPoses


def write_per_track(tracks: Tracks, path: Path) -> None:
    """Make the folder `path` with `id_<track id>.json` for each identity. InputError where there is nobody."""
    if path.suffix:
        raise InputError(f"{path}: one file is written for each identity; give a folder, without an ending")
    if not tracks.ids:
        raise InputError(f"{tracks.path}: holds nobody, so there is no file to write")
    with whole_folder(path) as folder:
        for track_id in tracks.ids:
            with TracksWriter(
                folder / f"id_{track_id}.json", skeleton=tracks.skeleton, info=tracks.info
            ) as writer:
                for frame in tracks.frames:
                    writer.write_frame(frame, frame.tracked[frame.tracked.ids == track_id])


def read_per_track(path: Path) -> Tracks:
    """The tracks of a folder that `write_per_track` made; people of a frame by rising id."""
    files = sorted(path.glob("id_*.json"))
    if not files:
        raise InputError(
            f"{path}: a folder without id_*.json files; give a file, or what --to per-track made"
        )
    parts = [read_tracks(file) for file in files]
    first = parts[0]
    for part in parts[1:]:
        if [frame.index for frame in part.frames] != [frame.index for frame in first.frames]:
            raise InputError(f"{part.path}: has other frames than {first.path}; they are not of one video")
        if part.skeleton is not first.skeleton:
            raise InputError(f"{part.path}: has other keypoints than {first.path}")
    frames = [
        replace(frame, tracked=_together([part.frames[place] for part in parts]))
        for place, frame in enumerate(first.frames)
    ]
    together = Tracks(path, first.info, first.skeleton, frames)
    if sum(len(part.ids) for part in parts) != len(together.ids):
        raise InputError(f"{path}: two of its files hold the same identity")
    return together


def _together(frames: list[TrackedFrame]) -> TrackedPoses:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(frame.tracked, name) for frame in frames])

    everybody = TrackedPoses(
        boxes=column("boxes"),
        scores=column("scores"),
        keypoints=column("keypoints"),
        keypoint_scores=column("keypoint_scores"),
        ids=column("ids"),
        smoothed_keypoints=column("smoothed_keypoints"),
        origins=column("origins"),
        keypoint_origins=column("keypoint_origins"),
    )
    return everybody[np.argsort(everybody.ids, kind="stable")]
