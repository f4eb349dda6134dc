"""The stages in order, and what each part must offer. Every stage takes a stream and yields a stream."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice, pairwise
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from posetrack_app.duplicates import iou_matrix, nms, oks_matrix, pose_scores
from posetrack_app.records import Detections, FloatArray, Frame, Poses

_Item = TypeVar("_Item")


class Detector(Protocol):
    """Pictures (H, W, 3) RGB to each one's boxes (N, 4) x1 y1 x2 y2 and scores (N,), best first."""

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]: ...


class Estimator(Protocol):
    """A picture and a box for each of N people to keypoints (N, K, 2) and scores (N, K), and maybe appearance (N, D)."""

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, ...]: ...


class StageClock:
    """Seconds spent in each stage, without those it pulls from; stages may nest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The time inside counts for `name`, and no longer for the stage around it."""
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def pull(self, name: str, stream: Iterable[_Item]) -> Iterator[_Item]:
        """The same stream; the time it takes to make its items counts for `name`."""
        items = iter(stream)
        while True:
            with self.stage(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def detect_people(
    frames: Iterable[Frame],
    detector: Detector,
    *,
    min_score: float,
    box_overlap: float,
    max_people: int,
    batch: int,
) -> Iterator[tuple[Frame, Detections]]:
    """People in every frame, best first, without boxes that overlap a better one by more than `box_overlap`."""
    stream = iter(frames)
    while group := list(islice(stream, batch)):
        found = detector([frame.image for frame in group])
        for frame, (boxes, scores) in zip(group, found, strict=True):
            boxes, scores = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
            width, height = frame.size
            boxes = np.clip(boxes, 0, [width, height, width, height])
            real = (scores >= min_score) & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= 1)
            people = Detections(boxes[real], scores[real])
            yield frame, people[nms(iou_matrix(people.boxes), people.scores, box_overlap)[:max_people]]


def estimate_poses(
    people: Iterable[tuple[Frame, Detections]], estimator: Estimator, *, batch: int, most_frames: int = 8
) -> Iterator[tuple[Frame, Poses]]:
    """Keypoints of everybody; batches of about `batch` people are cut across frames, `most_frames` at most."""
    waiting: list[tuple[Frame, Detections]] = []
    for frame, detections in people:
        waiting.append((frame, detections))
        if sum(len(found) for _, found in waiting) >= batch or len(waiting) >= most_frames:
            yield from _poses_of(waiting, estimator, batch)
            waiting = []
    yield from _poses_of(waiting, estimator, batch)


def _poses_of(
    group: list[tuple[Frame, Detections]], estimator: Estimator, batch: int
) -> Iterator[tuple[Frame, Poses]]:
    images = [frame.image for frame, found in group for _ in range(len(found))]
    boxes = [box for _, found in group for box in found.boxes]
    # Also nobody is asked for, once a group: only the network knows how many keypoints there are.
    parts = [
        estimator(images[rows], boxes[rows])
        for rows in even_shares(len(images), max(1, math.ceil(len(images) / batch)))
    ]
    keypoints, scores, *looks = (
        np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True)
    )
    appearance = looks[0] if looks else np.zeros((len(boxes), 0))
    start = 0
    for frame, found in group:
        rows = slice(start, start := start + len(found))
        people = found.boxes, found.scores, keypoints[rows], scores[rows].clip(0, 1)
        yield frame, Poses(*people, origins=found.origins, appearance=appearance[rows])


def even_shares(count: int, shares: int) -> list[slice]:
    """`count` things one after the other, in `shares` that differ by one at most."""
    ends = [count * k // shares for k in range(shares + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def drop_weak_keypoints(
    stream: Iterable[tuple[Frame, Poses]], *, min_score: float
) -> Iterator[tuple[Frame, Poses]]:
    """The same poses; the scores of keypoints below `min_score` become 0, which stands for not seen."""
    for frame, poses in stream:
        seen = poses.keypoint_scores >= min_score
        yield frame, replace(poses, keypoint_scores=np.where(seen, poses.keypoint_scores, 0.0))


def drop_duplicates(
    stream: Iterable[tuple[Frame, Poses]], *, sigmas: FloatArray, max_similarity: float
) -> Iterator[tuple[Frame, Poses]]:
    """Poses without those whose OKS with a better one is above `max_similarity` (OKS-NMS)."""
    for frame, poses in stream:
        areas = (poses.boxes[:, 2:] - poses.boxes[:, :2]).prod(axis=1)
        similarity = oks_matrix(poses.keypoints, areas, sigmas)
        yield (
            frame,
            poses[nms(similarity, pose_scores(poses.scores, poses.keypoint_scores), max_similarity)],
        )
