"""The pipeline in two halves: the networks once, then thresholds and linking as often as wanted, without pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from posetrack_app.core.config import Config
from posetrack_app.core.protocols import Networks
from posetrack_app.core.records import DETECTED, BoolArray, Frame, FrameInfo, HasInfo, Poses, TrackedPoses
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.pipeline.camera import follow_camera
from posetrack_app.pipeline.duplicates import drop_duplicates
from posetrack_app.pipeline.link import build_tracker, link_poses
from posetrack_app.pipeline.pose import drop_low_score_keypoints
from posetrack_app.pipeline.propagate import DenseFlow
from posetrack_app.pipeline.track_people import poses_of_people, propagates

STORED_SCORE = 0.1
"""Detections of at least this score get poses, so that [detector] min_score can be lowered to it afterwards."""

_Frame = TypeVar("_Frame", bound=HasInfo)


def lowest_stored_score(config: Config) -> float:
    """The lowest [detector] min_score that stored poses allow. Propagation depends on it, so there it stays as it is."""
    return config.detector.min_score if propagates(config) else min(STORED_SCORE, config.detector.min_score)


def poses_to_store(
    frames: Iterable[Frame], networks: Networks, config: Config
) -> Iterator[tuple[FrameInfo, Poses]]:
    """Every frame of one video with the poses of all people, before the thresholds of `config` are applied.

    The frames know their camera motion, which is that of `track_people`: it is measured outside the people that pass
    the thresholds.
    """
    lowest = replace(config, detector=replace(config.detector, min_score=lowest_stored_score(config)))
    found = poses_of_people(frames, networks, lowest)
    if not config.camera_motion or propagates(config):  # with propagation the frames know it already
        for frame, poses in found:
            yield frame.info, poses
        return
    waiting: deque[Poses] = deque()

    def above() -> Iterator[tuple[Frame, Poses]]:
        for frame, poses in found:
            waiting.append(poses)
            yield from above_thresholds([(frame, poses)], config, networks.skeleton)

    for frame, _ in follow_camera(above()):
        yield frame.info, waiting.popleft()


def above_thresholds(
    stream: Iterable[tuple[_Frame, Poses]], config: Config, skeleton: Skeleton
) -> Iterator[tuple[_Frame, Poses]]:
    """The poses that [detector] min_score and max_people, [pose] min_score and [duplicates] max_similarity leave."""
    stream = ((frame, poses[_detections_to_keep(poses, config)]) for frame, poses in stream)
    if config.pose.min_score:
        stream = drop_low_score_keypoints(stream, min_score=config.pose.min_score)
    return drop_duplicates(
        stream, sigmas=skeleton.sigma_array, max_similarity=config.duplicates.max_similarity
    )


def _detections_to_keep(poses: Poses, config: Config) -> BoolArray:
    """(N,) the detections with a high score, at most `max_people`, and everyone who was propagated."""
    is_detected = poses.origins == DETECTED
    is_high = is_detected & (poses.scores >= config.detector.min_score)
    kept: BoolArray = ~is_detected | (is_high & (np.cumsum(is_high) <= config.detector.max_people))
    return kept


def link_stored(
    stream: Iterable[tuple[_Frame, Poses]], config: Config, skeleton: Skeleton, *, smooth: bool = True
) -> Iterator[tuple[_Frame, TrackedPoses]]:
    """Thresholds, duplicates and tracker on the poses of one video, as in `track_people`.

    With the tracker "flow" the frames must have their images. Without `smooth` the keypoints stay as they are.
    """
    unique = above_thresholds(stream, config, skeleton)
    move = None
    if config.tracker.method == "flow":
        flow = DenseFlow()
        unique, move = flow.watch(unique), flow.move  # type: ignore[arg-type, assignment]
    tracker, smoother = build_tracker(config, move, skeleton)
    return link_poses(unique, tracker, smoother if smooth else None, config.tracker.patience_seconds)
