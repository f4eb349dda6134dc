"""Linking the poses of many videos at once: the ids of `pipeline.link`, many times sooner for short videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from posetrack_trackers.lockstep import LockstepTracker

from posetrack_app.core.config import Config
from posetrack_app.core.records import BoolArray, FloatArray, FrameInfo, IntArray, Poses
from posetrack_app.core.skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class VideoPoses:
    """The poses of one video as columns: frame k has the rows `bounds[k]` to `bounds[k + 1]`."""

    frames: Sequence[FrameInfo]
    poses: Poses
    bounds: IntArray


def link_videos(videos: Sequence[VideoPoses], config: Config, skeleton: Skeleton) -> list[IntArray]:
    """The id of every pose of every video, 0 without an identity; equal to those of `link_poses`.

    [tracker] of `config` is used; the method must be "kalman", and the poses must have no appearance.
    """
    if not videos:
        return []
    counts = [len(video.poses) for video in videos]
    starts = np.cumsum([0, *counts])
    settings = asdict(config.tracker)
    del settings["method"]
    tracker = LockstepTracker(len(videos), int(starts[-1]), sigmas=skeleton.sigmas, **settings)
    steps = max((len(video.frames) for video in videos), default=0)
    order, video_of_row, bounds = _in_steps(videos, starts, steps)
    columns = {
        name: np.concatenate([getattr(video.poses, name) for video in videos])[order]
        for name in ("boxes", "scores", "keypoints", "keypoint_scores")
    }
    ends = [_shot_ends(video.frames, config.tracker.patience_seconds) for video in videos]
    sizes = np.array([v.frames[0].size if v.frames else (0, 0) for v in videos], np.float64)
    sizes[sizes.min(axis=1) <= 0] = np.inf
    seconds, motions = _times_and_motions(videos, steps)
    for step in range(steps):
        for number, video in enumerate(videos):
            if step < len(video.frames) and ends[number][step]:
                tracker.end_video(number)
        rows = slice(bounds[step], bounds[step + 1])
        tracker.step(
            order[rows],
            video_of_row[rows],
            seconds=seconds[step],
            camera_motion=motions[step],
            frame_sizes=sizes,
            **{name: column[rows] for name, column in columns.items()},
        )
        for number, video in enumerate(videos):
            if step == len(video.frames) - 1:
                tracker.end_video(number)
    return [tracker.ids[start:stop] for start, stop in pairwise(starts.tolist())]


def _in_steps(
    videos: Sequence[VideoPoses], starts: IntArray, steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """All rows in the order of their frames, within a step by video; the video of each; where each step starts."""
    step = np.concatenate(
        [np.zeros(0, np.int64), *(np.repeat(np.arange(len(v.frames)), np.diff(v.bounds)) for v in videos)]
    )
    video = np.repeat(np.arange(len(videos), dtype=np.int64), np.diff(starts))
    order = np.argsort(step, kind="stable").astype(np.int64)
    return order, video[order], np.searchsorted(step[order], np.arange(steps + 1)).tolist()


def _shot_ends(frames: Sequence[FrameInfo], patience_seconds: float) -> BoolArray:
    """(F,) frames before which all tracks end: cuts and gaps, by the rules of `pipeline.link.poses_with_ids`."""
    ends = np.array([info.is_cut for info in frames], bool)
    if len(frames) > 2:
        jumps = np.diff([info.index for info in frames])
        usual = np.minimum.accumulate(jumps)[:-1]
        pauses = np.diff([info.seconds for info in frames])[1:]
        ends[2:] |= (jumps[1:] > usual) & (pauses > patience_seconds)
    return ends


def _times_and_motions(videos: Sequence[VideoPoses], steps: int) -> tuple[FloatArray, FloatArray]:
    """(S, V) seconds and (S, V, 2, 3) camera motion; a video that ended stays as it was."""
    seconds = np.zeros((steps, len(videos)))
    motions = np.tile(np.eye(2, 3), (steps, len(videos), 1, 1))
    for number, video in enumerate(videos):
        length = len(video.frames)
        seconds[:length, number] = [info.seconds for info in video.frames]
        seconds[length:, number] = seconds[length - 1, number] if length else 0.0
        for step, info in enumerate(video.frames):
            if info.camera_motion is not None:
                motions[step, number] = info.camera_motion
    return seconds, motions
