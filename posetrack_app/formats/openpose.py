"""OpenPose's folder of JSON files, one for each frame, with people as BODY_25 triples x y score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_folder
from posetrack_app.core.records import FloatArray, TrackedPoses, is_missing
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.formats.tracks_json.tracks import Tracks

BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "middle_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee",
    "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe",
    "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

_BETWEEN = {"neck": ("left_shoulder", "right_shoulder"), "middle_hip": ("left_hip", "right_hip")}
"""OpenPose defines these two as the middle between their neighbours."""

_EMPTY_PARTS: dict[str, list[float]] = {
    f"{part}_keypoints_{dimensions}": []
    for part in ("pose", "face", "hand_left", "hand_right")
    for dimensions in ("2d", "3d")
}


def write_openpose(tracks: Tracks, path: Path) -> None:
    """Write the folder `path` with `<name>_<index, 12 digits>_keypoints.json` for each frame.

    Keypoints that are missing, or that the tracks do not have (eyes, feet), are 0 0 0, as in OpenPose.
    Raises InputError if `path` exists or has a suffix.
    """
    if path.suffix:
        raise InputError(f"{path}: OpenPose's format is a folder; give a name without a suffix")
    with atomic_folder(path) as folder:
        for frame in tracks.frames:
            triples = _body_25(frame.people, tracks.skeleton)
            people = [
                {
                    "person_id": [track_id],
                    **_EMPTY_PARTS,
                    "pose_keypoints_2d": triples[row].reshape(-1).tolist(),
                }
                for row, track_id in enumerate(frame.people.ids.tolist())
            ]
            name = f"{path.name}_{frame.info.index:012d}_keypoints.json"
            (folder / name).write_text(json.dumps({"version": 1.3, "people": people}))


def _body_25(tracked: TrackedPoses, skeleton: Skeleton) -> FloatArray:
    """(N, 25, 3) x y score; 0 0 0 if a keypoint is missing or was to be computed from one that is."""
    triples = np.zeros((len(tracked), len(BODY_25), 3))
    missing = is_missing(tracked.keypoints, tracked.keypoint_scores)
    for k, name in enumerate(BODY_25):
        sources = _BETWEEN.get(name, (name,))
        if not set(sources) <= set(skeleton.keypoints):
            continue
        columns = [skeleton.keypoints.index(source) for source in sources]
        triples[:, k, :2] = tracked.keypoints[:, columns].mean(axis=1).round(3)
        triples[:, k, 2] = tracked.keypoint_scores[:, columns].min(axis=1).round(4)
        triples[missing[:, columns].any(axis=1), k] = 0.0
    return triples
