"""COCO keypoint results: a JSON list of people with 17 keypoints in COCO's order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from posetrack_app.core.files import write_atomic
from posetrack_app.core.skeletons import COCO
from posetrack_app.formats.tracks_json.tracks import Tracks


def write_coco(tracks: Tracks, path: Path) -> None:
    """Write x y score for each keypoint, the box x y w h, its score, and `track_id`, which COCO does not have.

    `image_id` is the index of the frame. Keypoints that the tracks do not have (PoseTrack18 has no eyes) are 0 0 0.
    """
    names = tracks.skeleton.keypoints
    coco_columns = [k for k, name in enumerate(COCO.keypoints) if name in names]
    columns = [names.index(COCO.keypoints[k]) for k in coco_columns]
    people = []
    for frame in tracks.frames:
        poses = frame.people
        triples = np.zeros((len(poses), len(COCO.keypoints), 3))
        triples[:, coco_columns, :2] = poses.keypoints[:, columns].round(2)
        triples[:, coco_columns, 2] = poses.keypoint_scores[:, columns].round(4)
        boxes = np.concatenate([poses.boxes[:, :2], poses.boxes[:, 2:] - poses.boxes[:, :2]], axis=1)
        for row, track_id in enumerate(poses.ids.tolist()):
            people.append(
                {
                    "image_id": frame.info.index,
                    "category_id": 1,
                    "keypoints": triples[row].reshape(-1).tolist(),
                    "score": round(float(poses.scores[row]), 4),
                    "bbox": boxes[row].round(2).tolist(),
                    "track_id": track_id,
                }
            )
    write_atomic(path, json.dumps(people))
