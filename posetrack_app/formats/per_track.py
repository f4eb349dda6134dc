"""A folder with one tracks.json for each identity. Every file contains all frames, so it can be used alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_folder
from posetrack_app.core.records import TrackedPoses
from posetrack_app.formats.tracks_json.reader import read_tracks
from posetrack_app.formats.tracks_json.tracks import TrackedFrame, Tracks
from posetrack_app.formats.tracks_json.writer import TracksWriter


def write_per_track(tracks: Tracks, path: Path) -> None:
    """Write the folder `path` with `id_<track id>.json` for each identity.

    Raises InputError if there are no people, or if `path` exists or has a suffix.
    """
    if path.suffix:
        raise InputError(
            f"{path}: this format writes a file for each identity; give a folder, a name without a suffix"
        )
    if not tracks.ids:
        raise InputError(f"{tracks.path} contains no people, so there is no file to write")
    with atomic_folder(path) as folder:
        for track_id in tracks.ids:
            with TracksWriter(
                folder / f"id_{track_id}.json", skeleton=tracks.skeleton, info=tracks.info
            ) as writer:
                for frame in tracks.frames:
                    writer.write(frame.info, frame.people[frame.people.ids == track_id])


def read_per_track(path: Path) -> Tracks:
    """The tracks in a folder that `write_per_track` wrote; the people of a frame are sorted by id."""
    files = sorted(path.glob("id_*.json"))
    if not files:
        raise InputError(
            f"{path} is a folder without id_*.json files; give a file, or a folder in the per-track format"
        )
    parts = [read_tracks(file) for file in files]
    first = parts[0]
    for part in parts[1:]:
        if [frame.info.index for frame in part.frames] != [frame.info.index for frame in first.frames]:
            raise InputError(f"{part.path} has different frames from {first.path}; give files of one video")
        if part.skeleton is not first.skeleton:
            raise InputError(
                f"{part.path} has different keypoints from {first.path}; give files of one video"
            )
    frames = [
        replace(frame, people=_joined([part.frames[k] for part in parts]))
        for k, frame in enumerate(first.frames)
    ]
    joined = Tracks(path, first.info, first.skeleton, frames)
    if sum(len(part.ids) for part in parts) != len(joined.ids):
        raise InputError(f"{path}: two of its files contain the same id; every identity needs its own file")
    return joined


def _joined(frames: list[TrackedFrame]) -> TrackedPoses:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(frame.people, name) for frame in frames])

    people = TrackedPoses(**{each.name: column(each.name) for each in fields(TrackedPoses)})
    return people[np.argsort(people.ids, kind="stable")]
