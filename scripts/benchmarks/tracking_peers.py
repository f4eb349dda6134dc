"""Linkers to compare with. Each returns the ids of all poses, frame by frame; 0 is no id."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
from posetrack_trackers import FlowTracker
from tracking_sets import SIGMAS, Video

from posetrack_app.core.records import FloatArray, IntArray

HIGH_SCORE = 0.5
"""Score of a high-score pose in `tracker.py`, the same for all linkers."""
Linker = Callable[[Video], list[IntArray]]


def greedy_oks(video: Video, high_score: float = HIGH_SCORE, sigmas: FloatArray = SIGMAS) -> list[IntArray]:
    """Simple Baselines without flow: greedy OKS matching with the poses of the last 8 frames."""
    tracker = FlowTracker(sigmas=sigmas, high_score=high_score)
    return [
        tracker.update(poses.boxes, poses.scores, poses.keypoints, poses.keypoint_scores, seconds).ids
        for poses, seconds in zip(video.poses, video.seconds, strict=True)
    ]


def peers(high_score: float = HIGH_SCORE) -> dict[str, Linker]:
    """The other linkers that are installed, with this score threshold: `pip install norfair trackers boxmot`."""
    found: dict[str, Linker] = {}
    if importlib.util.find_spec("norfair"):
        found["norfair (keypoint distance)"] = lambda video: _norfair(video, high_score)
    if importlib.util.find_spec("supervision"):
        found["trackers: ByteTrack"] = lambda video: _boxes(video, "ByteTrackTracker", high_score)
        found["trackers: OC-SORT"] = lambda video: _boxes(video, "OCSORTTracker", high_score)
    if importlib.util.find_spec("boxmot"):
        found["boxmot: BoT-SORT"] = lambda video: _bot_sort(video, high_score)
    return found


def _norfair(video: Video, high_score: float) -> list[IntArray]:
    """Mean distance of the keypoints that score above 0.2; a match is below a third of the box height."""
    import logging

    import norfair

    logging.getLogger().setLevel(logging.ERROR)  # norfair warns once per video that it is slow

    def distance(detection: norfair.Detection, track: norfair.tracker.TrackedObject) -> float:
        is_high = detection.scores > 0.2
        if not is_high.any():
            return 1.0
        distances = np.linalg.norm(detection.points - track.estimate, axis=1)[is_high]
        return float(distances.mean() / detection.data[1])

    tracker = norfair.Tracker(distance_function=distance, distance_threshold=0.33, hit_counter_max=30)
    all_ids: list[IntArray] = []
    for poses in video.poses:
        ids = np.zeros(len(poses), dtype=np.int64)
        heights = poses.boxes[:, 3] - poses.boxes[:, 1]
        people = [
            norfair.Detection(poses.keypoints[row], poses.keypoint_scores[row], data=(row, heights[row]))
            for row in np.nonzero(poses.scores >= high_score)[0]
        ]
        for track in tracker.update(people):
            row = track.last_detection.data[0] if track.last_detection in people else None
            if row is not None and track.id is not None:
                ids[row] = track.id
        all_ids.append(ids)
    return all_ids


def _boxes(video: Video, name: str, high_score: float) -> list[IntArray]:
    """A box tracker of the package `trackers`, with the frame rate and our score threshold."""
    import supervision

    import trackers

    settings = {
        "high_conf_det_threshold": high_score,
        "frame_rate": _frame_rate(video),
        "lost_track_buffer": 45,
    }
    if name == "ByteTrackTracker":
        settings["track_activation_threshold"] = high_score
    tracker = getattr(trackers, name)(**settings)
    all_ids: list[IntArray] = []
    for poses in video.poses:
        ids = np.zeros(len(poses), dtype=np.int64)
        linked = tracker.update(
            supervision.Detections(
                xyxy=poses.boxes.astype(np.float32),
                confidence=poses.scores.astype(np.float32),
                class_id=np.zeros(len(poses), dtype=int),
                data={"row": np.arange(len(poses))},
            )
        )
        if linked.tracker_id is not None and len(linked):
            ids[linked.data["row"]] = np.asarray(linked.tracker_id) + 1
        all_ids.append(ids)
    return all_ids


def _bot_sort(video: Video, high_score: float) -> list[IntArray]:
    """BoT-SORT of the package `boxmot`, without camera motion and appearance, which need images."""
    import boxmot

    tracker = boxmot.BotSort(
        track_high_thresh=high_score,
        new_track_thresh=high_score,
        track_buffer=45,
        frame_rate=max(1, round(_frame_rate(video))),
        use_cmc=False,
        use_embeddings=False,
    )
    no_image = np.zeros((8, 8, 3), dtype=np.uint8)
    all_ids: list[IntArray] = []
    for poses in video.poses:
        ids = np.zeros(len(poses), dtype=np.int64)
        people = np.column_stack([poses.boxes, poses.scores, np.zeros(len(poses))])
        linked = np.asarray(tracker.update(people, no_image), dtype=np.float64).reshape(-1, 8)
        ids[linked[:, 7].astype(int)] = linked[:, 4].astype(int) + 1
        all_ids.append(ids)
    return all_ids


def _frame_rate(video: Video) -> float:
    return 1.0 / (video.seconds[1] - video.seconds[0]) if len(video.seconds) > 1 else 25.0
