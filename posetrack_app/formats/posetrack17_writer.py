"""PoseTrack17's layout (`annolist`): every scalar is a list of one element; 15 keypoints by number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.absent import is_absent
from posetrack_app.formats.pose_sequence import SCORED_KEYPOINTS
from posetrack_app.formats.tracks_reader import Tracks
from posetrack_app.formats.whole import write_whole
from posetrack_app.records import TrackedPoses


def write_posetrack17(tracks: Tracks, path: Path) -> None:
    """Write raw keypoints but absent ones, their scores, box scores and ids; boxes and ears have no place there."""
    names = tracks.skeleton.keypoints
    missing = [name for name in SCORED_KEYPOINTS if name not in names]
    if missing:
        raise InputError(
            f"{tracks.path}: PoseTrack17 needs {', '.join(missing)}, which the {tracks.skeleton.name} "
            "skeleton does not have"
        )
    columns = [names.index(name) for name in SCORED_KEYPOINTS]
    frames = [
        {
            "image": [{"name": frame.file_name}],
            "imgnum": [frame.index + 1],
            "annorect": _people(frame.tracked, columns),
        }
        for frame in tracks.frames
    ]
    write_whole(path, json.dumps({"annolist": frames}))


def _people(tracked: TrackedPoses, columns: list[int]) -> list[dict[str, object]]:
    points = np.asarray(tracked.keypoints, np.float64)[:, columns].round(2)
    scores = np.asarray(tracked.keypoint_scores, np.float64)[:, columns].round(4)
    present = [np.flatnonzero(person).tolist() for person in ~is_absent(points, scores)]
    return [
        {
            "track_id": [track_id],
            "score": [round(float(tracked.scores[row]), 4)],
            "annopoints": [
                {
                    "point": [
                        {
                            "id": [number],
                            "x": [float(points[row, number, 0])],
                            "y": [float(points[row, number, 1])],
                            "score": [float(scores[row, number])],
                        }
                        for number in present[row]
                    ]
                }
            ],
        }
        for row, track_id in enumerate(tracked.ids.tolist())
    ]
