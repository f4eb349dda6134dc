"""The pipeline in two halves: the networks once, then thresholds and linking as often as wanted, without pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from posetrack_app.core.config import Config
from posetrack_app.core.protocols import Estimator, Networks
from posetrack_app.core.records import (
    DETECTED,
    BoolArray,
    Detections,
    Frame,
    FrameInfo,
    HasInfo,
    Poses,
    TrackedPoses,
)
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.pipeline.camera import follow_camera
from posetrack_app.pipeline.clock import StageClock
from posetrack_app.pipeline.pose import estimate_poses
from posetrack_app.pipeline.track_people import (
    detected_people,
    propagated_poses,
    propagates,
    track_poses,
)

STORED_SCORE = 0.1
"""Detections of at least this score get poses, so that [detector] min_score can be lowered to it afterwards."""

_Frame = TypeVar("_Frame", bound=HasInfo)


def lowest_stored_score(config: Config) -> float:
    """The lowest [detector] min_score that stored poses allow. Propagation by optical flow depends on it: it stays."""
    if config.tracker.method == "flow" and propagates(config):
        return config.detector.min_score
    return min(STORED_SCORE, config.detector.min_score)


def poses_to_store(
    frames: Iterable[Frame], networks: Networks, config: Config
) -> Iterator[tuple[FrameInfo, Poses]]:
    """Every frame of one video with the poses of all people, before the thresholds of `config` are applied.

    The frames know their camera motion, which is that of `track_people`: it is measured outside the people that pass
    [detector] min_score.
    """
    if config.tracker.method == "flow" and propagates(config):
        people = detected_people(frames, networks, config, StageClock())
        for frame, poses in propagated_poses(people, networks, config):
            yield frame.info, poses
        return
    detector = replace(config.detector, min_score=lowest_stored_score(config))
    lowest = replace(config, detector=detector, camera_motion=False)
    found = detected_people(frames, networks, lowest, StageClock())
    if config.camera_motion:
        found = _with_camera(found, config)
    for frame, poses in estimate_poses(found, networks.estimator, batch=config.pose.batch * networks.at_once):
        yield frame.info, poses


def _with_camera(
    people: Iterable[tuple[Frame, Detections]], config: Config
) -> Iterator[tuple[Frame, Detections]]:
    waiting: deque[Detections] = deque()

    def above() -> Iterator[tuple[Frame, Detections]]:
        for frame, found in people:
            waiting.append(found)
            yield frame, found[_detections_to_keep(found, config)]

    for frame, _ in follow_camera(above()):
        yield frame, waiting.popleft()


def _detections_to_keep(people: Detections, config: Config) -> BoolArray:
    """(N,) the detections with a high score, at most `max_people`, and everyone who was propagated."""
    is_detected = people.origins == DETECTED
    is_high = is_detected & (people.scores >= config.detector.min_score)
    kept: BoolArray = ~is_detected | (is_high & (np.cumsum(is_high) <= config.detector.max_people))
    return kept


def link_stored(
    stream: Iterable[tuple[_Frame, Poses]],
    config: Config,
    skeleton: Skeleton,
    estimator: Estimator | None = None,
    *,
    smooth: bool = True,
) -> Iterator[tuple[_Frame, TrackedPoses]]:
    """Thresholds, duplicates and tracker on the poses of one video, as in `track_people`.

    With the tracker "flow" the frames must have their images. With an `estimator` they must, too: then people whom the
    tracker expects and the detector missed are looked for. Without `smooth` the keypoints stay as they are.
    """
    kept = ((frame, found[_detections_to_keep(found, config)]) for frame, found in stream)
    return track_poses(kept, config, skeleton, estimator, smooth=smooth)
