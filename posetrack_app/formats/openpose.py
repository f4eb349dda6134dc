"""OpenPose's folder of JSON files, one a frame, people as BODY_25 triples x y score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.absent import is_absent
from posetrack_app.formats.tracks_reader import Tracks
from posetrack_app.formats.whole import whole_folder
from posetrack_app.records import FloatArray, TrackedPoses
from posetrack_app.skeleton import Skeleton

BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "middle_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee",
    "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe",
    "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

_BETWEEN = {"neck": ("left_shoulder", "right_shoulder"), "middle_hip": ("left_hip", "right_hip")}
"""OpenPose's own definition of these two: the middle of their neighbours."""

_NO_PARTS: dict[str, list[float]] = {
    f"{part}_keypoints_{dimensions}": []
    for part in ("pose", "face", "hand_left", "hand_right")
    for dimensions in ("2d", "3d")
}


def write_openpose(tracks: Tracks, path: Path) -> None:
    """Make the folder `path` with `<name>_<index, 12 digits>_keypoints.json` for each frame.

    Keypoints that we do not have (eyes, feet) or that are absent are 0 0 0, as OpenPose writes what it does not see.
    """
    if path.suffix:
        raise InputError(f"{path}: OpenPose's format is a folder; give a name without an ending")
    with whole_folder(path) as folder:
        for frame in tracks.frames:
            triples = _body_25(frame.tracked, tracks.skeleton)
            people = [
                {"person_id": [track_id], **_NO_PARTS, "pose_keypoints_2d": triples[row].reshape(-1).tolist()}
                for row, track_id in enumerate(frame.tracked.ids.tolist())
            ]
            name = f"{path.name}_{frame.index:012d}_keypoints.json"
            (folder / name).write_text(json.dumps({"version": 1.3, "people": people}))


def _body_25(tracked: TrackedPoses, skeleton: Skeleton) -> FloatArray:
    """(N, 25, 3) x y score; 0 0 0 where what a keypoint comes from is absent."""
    triples = np.zeros((len(tracked), len(BODY_25), 3))
    absent = is_absent(tracked.keypoints, tracked.keypoint_scores)
    for number, name in enumerate(BODY_25):
        sources = _BETWEEN.get(name, (name,))
        if not set(sources) <= set(skeleton.keypoints):
            continue
        columns = [skeleton.keypoints.index(source) for source in sources]
        triples[:, number, :2] = tracked.keypoints[:, columns].mean(axis=1).round(3)
        triples[:, number, 2] = tracked.keypoint_scores[:, columns].min(axis=1).round(4)
        triples[absent[:, columns].any(axis=1), number] = 0.0
    return triples
