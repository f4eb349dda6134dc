"""Camera motion between frames, and cuts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import Detections, FloatArray, Frame, Poses

_People = TypeVar("_People", Detections, Poses)
_LONG_SIDE = 320
"""Pixels of the image on which the motion is estimated."""
_MAX_POINTS, _MIN_POINTS = 150, 12
_WINDOW = (11, 11)
"""Pixels; OpenCV's default is 21 x 21, which takes three times as long and is no more accurate on images this small."""
_CUT_COLOURS = 0.5
_CUT_FOLLOWED = 0.3
"""A cut: two frames share less than `_CUT_COLOURS` of their colours, and less than `_CUT_FOLLOWED` of the corners of the
first are found in the second.
"""
_BLANK = 4.0
"""Standard deviation of the grey values, of 255, below which an image is blank."""
_FLASH_FRAMES = 3
"""A flash is at most this long."""
_IDENTITY: FloatArray = np.eye(2, 3)


def follow_camera(stream: Iterable[tuple[Frame, _People]]) -> Iterator[tuple[Frame, _People]]:
    """Every frame with its `camera_motion`, or `is_cut` where a new shot starts.

    An interruption is no cut: blank images (a fade, a lost signal) say nothing about the scene, and if the scene is back
    within `_FLASH_FRAMES` frames, the images between were a flash. So a frame may come out that many frames late.
    """
    waiting: deque[tuple[Frame, _People, View]] = deque()
    scene: View | None = None

    def settled(lookahead: int) -> Iterator[tuple[Frame, _People]]:
        """The waiting frames that can be decided; a possible cut needs `lookahead` frames after it."""
        nonlocal scene
        while waiting:
            frame, people, view = waiting[0]
            motion = camera_motion(scene, view)
            if motion is None:
                later = [item[2] for item in islice(waiting, 1, 1 + _FLASH_FRAMES)]
                is_flash = any(not one.is_blank and camera_motion(scene, one) is not None for one in later)
                if not is_flash and len(later) < lookahead:
                    return
                motion = _IDENTITY if is_flash else None
                scene = scene if is_flash else view
            elif not view.is_blank:
                scene = view
            waiting.popleft()
            is_cut = frame.info.is_cut or motion is None  # the size of the images has changed, or the scene
            info = replace(frame.info, camera_motion=None if is_cut else motion, is_cut=is_cut)
            yield Frame(info, frame.image), people

    for frame, people in stream:
        waiting.append((frame, people, View.of(frame.image, people.boxes)))
        yield from settled(_FLASH_FRAMES)
    yield from settled(0)


@dataclass(frozen=True, eq=False)
class View:
    """What is compared of an image: a small grey copy, its colours, and where the people are.

    `scale` is small pixels per pixel; `boxes` (N, 4) are in small pixels.
    """

    grey: NDArray[np.uint8]
    colours: FloatArray
    boxes: FloatArray
    scale: float

    @classmethod
    def of(cls, image: NDArray[np.uint8], boxes: FloatArray) -> View:
        """The view of `image` (H, W, 3); `boxes` (N, 4) are the people in it."""
        scale = min(1.0, _LONG_SIDE / max(image.shape[:2]))
        resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = np.asarray(resized, dtype=np.uint8)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        return cls(grey, _colour_histogram(small), np.asarray(boxes, dtype=np.float64) * scale, scale)

    @cached_property
    def is_blank(self) -> bool:
        """The image has no content, as in a fade to black."""
        return float(self.grey.std()) < _BLANK


def camera_motion(before: View | None, after: View) -> FloatArray | None:
    """Affine map (2, 3) from pixels of the image before to pixels of the one after; None if they show different scenes.

    Shi-Tomasi corners outside the boxes of people, Lucas-Kanade flow, and RANSAC for a map of translation, rotation and
    scale, as in BoT-SORT (arXiv 2206.14651). The map is the identity without a view before, for a blank image, for an
    image without enough corners, and where fewer than half of the points agree.
    """
    if before is None or after.is_blank or before.grey.shape != after.grey.shape:
        return _IDENTITY
    start, end, followed = _flow(before.grey, after.grey, before.boxes)
    shared_colours = float(np.minimum(before.colours, after.colours).sum())
    if shared_colours < _CUT_COLOURS and followed < _CUT_FOLLOWED:
        return None
    if len(start) < _MIN_POINTS:
        return _IDENTITY
    affine, agree = cv2.estimateAffinePartial2D(
        start, end, method=cv2.RANSAC, ransacReprojThreshold=1.5, maxIters=500
    )
    if affine is None or agree.mean() < 0.5:
        return _IDENTITY
    motion: FloatArray = affine.astype(np.float64)
    motion[:, 2] /= after.scale
    return motion


def _flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8], boxes: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Background points (P, 2) in both images, and the share of all corners that were followed."""
    background = np.full(before.shape, 255, dtype=np.uint8)
    for left, top, right, bottom in np.round(boxes).astype(int):
        background[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 0
    corners = cv2.goodFeaturesToTrack(
        before, maxCorners=_MAX_POINTS, qualityLevel=0.01, minDistance=7, mask=background
    )
    nothing = np.zeros((0, 2))
    if corners is None:
        return nothing, nothing, 0.0
    start = np.asarray(corners)
    moved, *_ = cv2.calcOpticalFlowPyrLK(before, after, start, np.zeros_like(start), winSize=_WINDOW)
    back, *_ = cv2.calcOpticalFlowPyrLK(after, before, moved, np.zeros_like(start), winSize=_WINDOW)
    consistent = np.linalg.norm(back - start, axis=2)[:, 0] < 0.5
    return start[consistent, 0], moved[consistent, 0], float(consistent.mean())


def _colour_histogram(image: NDArray[np.uint8]) -> FloatArray:
    """(512,) share of the pixels in each of 8 x 8 x 8 colours."""
    bins = (image >> 5).astype(np.intp)
    counts = np.bincount((bins[..., 0] * 64 + bins[..., 1] * 8 + bins[..., 2]).ravel(), minlength=512)
    share: FloatArray = counts / counts.sum()
    return share
