"""One video's way through the stages: its frames in, everybody with identity, box and keypoints out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from posetrack_app.assemble import Parts, build_tracker
from posetrack_app.camera_motion import follow_camera
from posetrack_app.config import Config, DuplicatesConfig
from posetrack_app.flow import DenseFlow, detect_every, propagate_poses
from posetrack_app.linking import link_poses
from posetrack_app.pipeline import (
    StageClock,
    detect_people,
    drop_duplicates,
    drop_weak_keypoints,
    estimate_poses,
)
from posetrack_app.records import Frame, Poses, TrackedPoses


def track_people(
    frames: Iterable[Frame], parts: Parts, config: Config, clock: StageClock | None = None
) -> Iterator[tuple[Frame, TrackedPoses]]:
    """Every frame of one video with its people, in order; a tracker of its own, so that any video may follow.

    What memory the stages have of earlier frames they build up from the frames and the networks' answers alone:
    equal frames and answers give equal people. `clock` gets the seconds of "decode", "detect", "pose", "track".
    """
    clock = clock or StageClock()
    decoded = clock.pull("decode", frames)
    poses = clock.pull("pose", _poses(decoded, parts, config, clock))
    if config.pose.min_score:
        poses = drop_weak_keypoints(poses, min_score=config.pose.min_score)
    unique = drop_duplicates(
        poses, sigmas=parts.skeleton.sigma_array, max_similarity=config.duplicates.max_similarity
    )
    move = None
    if config.tracker.method == "flow":
        flow = DenseFlow()
        unique, move = flow.watch(unique), flow.move
    tracker, smoother = build_tracker(config, move)
    if config.camera_motion and not _propagates(config):
        unique = follow_camera(unique)
    return clock.pull("track", link_poses(unique, tracker, smoother, config.tracker.patience_seconds))


def _propagates(config: Config) -> bool:
    return config.propagation.enabled or config.propagation.detect_every > 1


def _poses(
    frames: Iterable[Frame], parts: Parts, config: Config, clock: StageClock
) -> Iterator[tuple[Frame, Poses]]:
    """Everybody's keypoints; where propagation is on, also of those whom the detector misses."""
    settings = config.propagation
    detect = partial(
        detect_people,
        detector=parts.detector,
        min_score=config.detector.min_score,
        box_overlap=config.duplicates.box_overlap,
        max_people=config.detector.max_people,
        batch=max(config.detector.batch, parts.at_once),
    )
    if not _propagates(config):
        people = clock.pull("detect", detect(frames))
        return estimate_poses(people, parts.estimator, batch=config.pose.batch * parts.at_once)
    people = clock.pull("detect", detect_every(frames, detect, settings.detect_every))
    if config.camera_motion:
        people = follow_camera(people)  # here: nobody is to be carried over a cut
    # Of boxes that are known to be right (1) none is a double; what flow carries onto one still is.
    overlap = config.duplicates.box_overlap
    return propagate_poses(
        people,
        parts.estimator,
        box_overlap=overlap if overlap < 1 else DuplicatesConfig().box_overlap,
        min_score=settings.min_score,
        min_keypoint_score=settings.min_keypoint_score,
        max_seconds=settings.max_seconds,
    )
