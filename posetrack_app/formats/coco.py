"""COCO keypoint results: one JSON list of people with 17 keypoints in COCO's order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from posetrack_app.formats.tracks_reader import Tracks
from posetrack_app.formats.whole import write_whole
from posetrack_app.skeleton import COCO


def write_coco(tracks: Tracks, path: Path) -> None:
    """Write every person as x y score per keypoint, box x y w h, box score, and track_id besides.

    `image_id` is the frame's index. Keypoints that our skeleton lacks (PoseTrack has no eyes) are 0 0 0.
    """
    names = tracks.skeleton.keypoints
    ours = [k for k, name in enumerate(COCO.keypoints) if name in names]
    theirs = [names.index(COCO.keypoints[k]) for k in ours]
    people = []
    for frame in tracks.frames:
        poses = frame.tracked
        triples = np.zeros((len(poses), len(COCO.keypoints), 3))
        triples[:, ours, :2] = poses.keypoints[:, theirs].round(2)
        triples[:, ours, 2] = poses.keypoint_scores[:, theirs].round(4)
        boxes = np.concatenate([poses.boxes[:, :2], poses.boxes[:, 2:] - poses.boxes[:, :2]], axis=1)
        for row, track_id in enumerate(poses.ids.tolist()):
            people.append(
                {
                    "image_id": frame.index,
                    "category_id": 1,
                    "keypoints": triples[row].reshape(-1).tolist(),
                    "score": round(float(poses.scores[row]), 4),
                    "bbox": boxes[row].round(2).tolist(),
                    "track_id": track_id,
                }
            )
    write_whole(path, json.dumps(people))
