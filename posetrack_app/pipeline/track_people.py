"""The stages in order: frames in, tracked people out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from posetrack_app.core.config import Config, DuplicatesConfig
from posetrack_app.core.forks import refuse_after_fork
from posetrack_app.core.protocols import Estimator, Networks, Tracker
from posetrack_app.core.records import Detections, Frame, HasInfo, Poses, TrackedPoses
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.pipeline.camera import follow_camera
from posetrack_app.pipeline.clock import StageClock
from posetrack_app.pipeline.detect import detect_people
from posetrack_app.pipeline.duplicates import drop_duplicates
from posetrack_app.pipeline.expected import find_expected
from posetrack_app.pipeline.link import build_oks_tracker, build_smoother, build_tracker, link_poses
from posetrack_app.pipeline.person_score import score_people
from posetrack_app.pipeline.pose import drop_low_score_keypoints, estimate_poses
from posetrack_app.pipeline.propagate import DenseFlow, detect_every, propagate_poses

_Frame = TypeVar("_Frame", bound=HasInfo)


def track_people(
    frames: Iterable[Frame], networks: Networks, config: Config, clock: StageClock | None = None
) -> Iterator[tuple[Frame, TrackedPoses]]:
    """Every frame of one video with its tracked people, in order.

    Each call makes its own tracker, so the same `networks` serve any number of videos. Stage state depends only on frames
    and network outputs, so equal inputs give equal tracks (resume relies on it). `clock` gets the time of the stages
    "decode", "detect", "pose" and "track". InputError in a process that was forked from one with networks.
    """
    refuse_after_fork()
    clock = clock or StageClock()
    people = detected_people(clock.pull("decode", frames), networks, config, clock)
    if config.tracker.method == "flow":
        poses = propagated_poses(people, networks, config)
    else:
        poses = estimate_poses(people, networks.estimator, batch=config.pose.batch * networks.at_once)
    return track_poses(poses, config, networks.skeleton, networks.estimator, clock=clock)


def track_poses(
    poses: Iterable[tuple[_Frame, Poses]],
    config: Config,
    skeleton: Skeleton,
    estimator: Estimator | None = None,
    *,
    smooth: bool = True,
    clock: StageClock | None = None,
) -> Iterator[tuple[_Frame, TrackedPoses]]:
    """Every frame of one video with its tracked people: the stages after the pose network.

    Args:
        poses: the poses of all people; with the method "flow", and with an `estimator`, frames have their images.
        config: the settings.
        skeleton: the skeleton of the poses.
        estimator: the pose network, to look for people whom the tracker expects and the detector missed.
        smooth: without it the smoothed keypoints are the keypoints.
        clock: gets the time of the stages "pose" and "track".
    """
    clock = clock or StageClock()
    stream: Iterable[tuple[Any, Poses]] = poses
    tracker: Tracker
    if config.tracker.method == "flow":
        flow = DenseFlow()
        stream = flow.watch(stream)
        tracker, smoother = build_tracker(config, flow.move, skeleton)
    else:
        expecting = build_oks_tracker(config, skeleton)
        tracker, smoother = expecting, build_smoother(config)
        if not config.person_score.is_box_score:
            stream = score_people(stream, config.person_score)
        if estimator is not None and propagates(config):
            stream = find_expected(stream, expecting, estimator, config.propagation)
    if config.pose.min_score:
        stream = drop_low_score_keypoints(stream, min_score=config.pose.min_score)
    unique = drop_duplicates(
        clock.pull("pose", stream),
        sigmas=skeleton.sigma_array,
        max_similarity=config.duplicates.max_similarity,
    )
    linked = link_poses(unique, tracker, smoother if smooth else None, config.tracker.patience_seconds)
    return clock.pull("track", linked)


def propagates(config: Config) -> bool:
    """Whether people are looked for where they are expected."""
    return config.propagation.max_seconds > 0 or config.propagation.detect_every > 1


def detected_people(
    frames: Iterable[Frame], networks: Networks, config: Config, clock: StageClock
) -> Iterator[tuple[Frame, Detections]]:
    """The detected people of each frame, which knows the camera motion."""
    detect = partial(
        detect_people,
        detector=networks.detector,
        min_score=config.detector.min_score,
        box_overlap=config.duplicates.box_overlap,
        max_people=config.detector.max_people,
        batch=max(config.detector.batch, networks.at_once),
    )
    people = clock.pull("detect", detect_every(frames, detect, config.propagation.detect_every))
    return clock.pull("track", follow_camera(people)) if config.camera_motion else people


def propagated_poses(
    people: Iterable[tuple[Frame, Detections]], networks: Networks, config: Config
) -> Iterator[tuple[Frame, Poses]]:
    """Poses of the detected people and, with propagation by optical flow, of people whom the detector missed."""
    if not propagates(config):
        return estimate_poses(people, networks.estimator, batch=config.pose.batch * networks.at_once)
    # box_overlap 1 keeps all given boxes, but propagated boxes on top of one are still dropped.
    overlap = config.duplicates.box_overlap
    return propagate_poses(
        people,
        networks.estimator,
        config.propagation,
        box_overlap=overlap if overlap < 1 else DuplicatesConfig().box_overlap,
    )
