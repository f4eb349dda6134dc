"""Tracks of a few people in a few frames, with gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetrack_app.core.records import FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK, Skeleton
from posetrack_app.formats import Tracks, TracksWriter, read_tracks

FRAMES = [(4, 0.16, [1, 2]), (5, 0.207, []), (7, 0.28, [2, 30]), (8, 0.32, [1])]


def some_people(ids: list[int], seed: int, lowest: float = 1.0) -> TrackedPoses:
    """People with these ids at random positions above `lowest`, rounded as in tracks.json (2 and 4 decimals)."""
    random = np.random.default_rng(seed)
    count = len(ids)
    corner = random.uniform(-20, 900, (count, 2)).round(2)
    keypoints = random.uniform(lowest, 2000, (count, 17, 2)).round(2)
    return TrackedPoses(
        boxes=np.concatenate([corner, corner + random.uniform(1, 300, (count, 2)).round(2)], axis=1),
        scores=random.uniform(0, 1, count).round(4),
        keypoints=keypoints,
        keypoint_scores=random.uniform(0, 1, (count, 17)).round(4),
        ids=np.array(ids, np.int64),
        smoothed_keypoints=(keypoints + random.normal(0, 3, keypoints.shape)).round(2),
        origins=np.arange(count) % 3,
        appearance=np.zeros((count, 0)),
        keypoint_origins=(np.arange(count)[:, None] + (np.arange(17) == 4)) % 3,
    )


def make_tracks(path: Path, skeleton: Skeleton = POSETRACK) -> Tracks:
    video = {"file": "in.mp4", "width": 1920, "height": 1080, "rotation": 90, "frame_rate": 25.0}
    info = {"video": video, "decoder": "none"}
    with TracksWriter(path, skeleton=skeleton, info=info) as writer:
        for seed, (index, seconds, ids) in enumerate(FRAMES):
            writer.write(FrameInfo(index, seconds), some_people(ids, seed))
    return read_tracks(path)
