"""Write the layout of PoseTrack17 (`annolist`): every scalar is a list of one element, the 15 keypoints have numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import write_atomic
from posetrack_app.core.records import TrackedPoses, is_missing
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS
from posetrack_app.formats.tracks_json.tracks import Tracks


def write_posetrack17(tracks: Tracks, path: Path) -> None:
    """Write raw keypoints, except missing ones, their scores, box scores and ids; the layout has no boxes and no ears.

    Raises InputError if the skeleton lacks one of the 15 keypoints.
    """
    write_atomic(path, json.dumps(posetrack17_content(tracks)))


def posetrack17_content(tracks: Tracks) -> dict[str, Any]:
    """What `write_posetrack17` writes."""
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
            "image": [{"name": frame.info.file_name}],
            "imgnum": [frame.info.index + 1],
            "annorect": _people(frame.people, columns),
        }
        for frame in tracks.frames
    ]
    return {"annolist": frames}


def _people(tracked: TrackedPoses, columns: list[int]) -> list[dict[str, object]]:
    points = np.asarray(tracked.keypoints, np.float64)[:, columns].round(2)
    scores = np.asarray(tracked.keypoint_scores, np.float64)[:, columns].round(4)
    present = [np.flatnonzero(person).tolist() for person in ~is_missing(points, scores)]
    return [
        {
            "track_id": [track_id],
            "score": [round(float(tracked.scores[row]), 4)],
            "annopoints": [
                {
                    "point": [
                        {
                            "id": [k],
                            "x": [float(points[row, k, 0])],
                            "y": [float(points[row, k, 1])],
                            "score": [float(scores[row, k])],
                        }
                        for k in present[row]
                    ]
                }
            ],
        }
        for row, track_id in enumerate(tracked.ids.tolist())
    ]
