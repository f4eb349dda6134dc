"""The stage that gives people their identities: poses in, tracked poses out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from posetrack_app.records import FloatArray, Frame, IntArray, Poses, TrackedPoses


class Links(Protocol):
    """A tracker's answer for one frame."""

    @property
    def ids(self) -> IntArray:
        """(N,), 0 for nobody."""
        ...

    @property
    def earlier(self) -> list[tuple[int, int, int]]:
        """(frames ago, row, id) of rows that were nobody when their frame was linked."""
        ...


class Tracker(Protocol):
    """Gives ids to one video's poses, frame by frame."""

    delay: int

    def update(
        self,
        boxes: FloatArray,
        scores: FloatArray,
        keypoints: FloatArray,
        keypoint_scores: FloatArray,
        seconds: float,
        *,
        camera_motion: FloatArray | None = None,
        appearance: FloatArray | None = None,
    ) -> Links: ...

    def finish(self) -> Links:
        """The shot is over; whoever comes next is new."""
        ...


class Smoother(Protocol):
    """Smooths one video's keypoints, frame by frame."""

    def smooth(
        self,
        ids: IntArray,
        boxes: FloatArray,
        keypoints: FloatArray,
        keypoint_scores: FloatArray,
        seconds: float,
    ) -> FloatArray: ...


def link_poses(
    stream: Iterable[tuple[Frame, Poses]],
    tracker: Tracker,
    smoother: Smoother | None = None,
    patience_seconds: float = 3.0,
) -> Iterator[tuple[Frame, TrackedPoses]]:
    """Every frame with the people who have an identity; poses that are nobody's are left out.

    A frame comes out `tracker.delay` frames late, because a person who is believed then has an id in the
    frames where he was first seen too. Where frames are missing for longer than `patience_seconds`, nobody keeps
    his id over the gap: who stands there afterwards may be anyone. The same at a cut, and frames that tell how the
    camera moved carry the tracks along. Without a `smoother` the smoothed keypoints are the keypoints.
    """
    waiting: deque[tuple[Frame, Poses, IntArray]] = deque()
    last: Frame | None = None
    usual_step: float = math.inf
    for frame, poses in stream:
        if last is not None:
            # A larger step than usual: frames that are not there, not those that a stride leaves out.
            if frame.index - last.index > usual_step and frame.seconds - last.seconds > patience_seconds:
                _fill_in(waiting, tracker.finish().earlier)
            usual_step = min(usual_step, frame.index - last.index)
        last = frame
        if frame.is_cut:
            _fill_in(waiting, tracker.finish().earlier)
        links = tracker.update(
            poses.boxes,
            poses.scores,
            poses.keypoints,
            poses.keypoint_scores,
            frame.seconds,
            camera_motion=frame.camera_motion,
            appearance=poses.appearance if poses.appearance.shape[1] else None,
        )
        waiting.append((frame, poses, links.ids))
        _fill_in(waiting, links.earlier)
        if len(waiting) > tracker.delay:
            yield _tracked(*waiting.popleft(), smoother)
    _fill_in(waiting, tracker.finish().earlier)
    for frame, poses, ids in waiting:
        yield _tracked(frame, poses, ids, smoother)


def _fill_in(waiting: deque[tuple[Frame, Poses, IntArray]], earlier: list[tuple[int, int, int]]) -> None:
    """Write ids learnt late into the frames that wait."""
    for frames_ago, row, number in earlier:
        waiting[-1 - frames_ago][2][row] = number


def _tracked(
    frame: Frame, poses: Poses, ids: IntArray, smoother: Smoother | None
) -> tuple[Frame, TrackedPoses]:
    """The people of one frame whose id is known, smoothed."""
    known = ids > 0
    people, ids = poses[known], ids[known]
    smoothed = people.keypoints
    if smoother is not None:
        smoothed = smoother.smooth(ids, people.boxes, people.keypoints, people.keypoint_scores, frame.seconds)
    columns = people.boxes, people.scores, people.keypoints, people.keypoint_scores
    return frame, TrackedPoses(
        *columns,
        ids,
        np.asarray(smoothed),
        origins=people.origins,
        appearance=people.appearance,
        keypoint_origins=people.keypoint_origins,
    )
