"""Stage 3: give people their identities."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TypeVar

import numpy as np
from posetrack_trackers.flow_tracker import FlowTracker
from posetrack_trackers.oks_tracker import OksTracker

from posetrack_app.core.config import Config
from posetrack_app.core.protocols import ExpectingTracker, Smoother, Tracker
from posetrack_app.core.records import FloatArray, FrameInfo, HasInfo, IntArray, Poses, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK, Skeleton
from posetrack_app.pipeline.smooth import OneEuroSmoother

_Frame = TypeVar("_Frame", bound=HasInfo)


def link_poses(
    stream: Iterable[tuple[_Frame, Poses]],
    tracker: Tracker,
    smoother: Smoother | None = None,
    patience_seconds: float = 3.0,
) -> Iterator[tuple[_Frame, TrackedPoses]]:
    """Every frame, with pixels or without, and the people who have an identity; other poses are left out.

    A frame comes out `tracker.delay` frames late, so that a confirmed track also gets its id in its first frames.
    Tracks end at a cut, or at a gap of missing frames longer than `patience_seconds`. Known camera motion moves the
    tracks along. Without a `smoother` the smoothed keypoints equal the keypoints.
    """
    waiting: deque[tuple[_Frame, Poses, IntArray]] = deque()
    last: FrameInfo | None = None
    usual_step: float = math.inf
    for frame, poses in stream:
        info = frame.info
        if last is not None:
            # Only a larger step than usual means missing frames; a stride skips frames on purpose.
            if info.index - last.index > usual_step and info.seconds - last.seconds > patience_seconds:
                _fill_in(waiting, tracker.finish().earlier)
            usual_step = min(usual_step, info.index - last.index)
        last = info
        if info.is_cut:
            _fill_in(waiting, tracker.finish().earlier)
        links = tracker.update(
            poses.boxes,
            poses.scores,
            poses.keypoints,
            poses.keypoint_scores,
            info.seconds,
            camera_motion=info.camera_motion,
            appearance=poses.appearance if poses.appearance.shape[1] else None,
            frame_size=info.size if min(info.size) > 0 else None,
        )
        waiting.append((frame, poses, links.ids))
        _fill_in(waiting, links.earlier)
        if len(waiting) > tracker.delay:
            yield _tracked(*waiting.popleft(), smoother)
    _fill_in(waiting, tracker.finish().earlier)
    for frame, poses, ids in waiting:
        yield _tracked(frame, poses, ids, smoother)


def _fill_in(waiting: deque[tuple[_Frame, Poses, IntArray]], earlier: list[tuple[int, int, int]]) -> None:
    """Write the ids of newly confirmed tracks into the waiting frames."""
    for frames_ago, row, number in earlier:
        waiting[-1 - frames_ago][2][row] = number


def _tracked(
    frame: _Frame, poses: Poses, ids: IntArray, smoother: Smoother | None
) -> tuple[_Frame, TrackedPoses]:
    """The people of one frame who have an id, smoothed."""
    known = ids > 0
    people, ids = poses[known], ids[known]
    smoothed = None
    if smoother is not None:
        smoothed = np.asarray(
            smoother.smooth(ids, people.boxes, people.keypoints, people.keypoint_scores, frame.info.seconds)
        )
    return frame, people.with_ids(ids, smoothed)


def build_tracker(
    config: Config,
    move: Callable[[FloatArray], FloatArray] | None = None,
    skeleton: Skeleton = POSETRACK,
) -> tuple[Tracker, Smoother | None]:
    """A new tracker for one video, and its smoother if smoothing is enabled.

    Args:
        config: [tracker], [flow_tracker] and [smoothing] are used.
        move: maps points (..., 2) of the previous frame to the current one, for the method "flow".
        skeleton: the skeleton of the poses.
    """
    if config.tracker.method == "flow":
        flow = config.flow_tracker
        tracker: Tracker = FlowTracker(
            sigmas=skeleton.sigmas,
            high_score=flow.high_score,
            min_similarity=flow.min_similarity,
            frames=max(1, flow.patience_frames),
            move=move,
        )
        return tracker, build_smoother(config)
    return build_oks_tracker(config, skeleton), build_smoother(config)


def build_oks_tracker(config: Config, skeleton: Skeleton = POSETRACK) -> ExpectingTracker:
    """A new tracker for one video, for the method "kalman"."""
    settings = asdict(config.tracker)
    del settings["method"]
    return OksTracker(sigmas=skeleton.sigmas, **settings)


def build_smoother(config: Config) -> Smoother | None:
    """A new smoother for one video, if smoothing is enabled."""
    smoothing = asdict(config.smoothing)
    return OneEuroSmoother(**smoothing) if smoothing.pop("enabled") else None
