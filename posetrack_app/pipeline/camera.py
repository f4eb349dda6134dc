"""Camera motion between frames, and cuts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
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


def follow_camera(stream: Iterable[tuple[Frame, _People]]) -> Iterator[tuple[Frame, _People]]:
    """Every frame with its `camera_motion`, or `is_cut` where a new shot starts."""
    camera = CameraMotion()
    for frame, people in stream:
        motion = camera.follow(frame.image, people.boxes)
        info = replace(frame.info, camera_motion=motion, is_cut=motion is None)
        yield Frame(info, frame.image), people


class CameraMotion:
    """Follows the camera of one video by sparse optical flow of the background, on small grey images.

    Shi-Tomasi corners outside the boxes of people, Lucas-Kanade flow, and RANSAC for a map of translation, rotation and
    scale, as in BoT-SORT (arXiv 2206.14651).
    """

    def __init__(self) -> None:
        self._grey: NDArray[np.uint8] | None = None
        self._colours: FloatArray | None = None
        self._boxes: FloatArray = np.zeros((0, 4))

    def follow(self, image: NDArray[np.uint8], boxes: FloatArray) -> FloatArray | None:
        """Affine map (2, 3) from pixels of the previous frame to pixels of `image` (H, W, 3); None at a cut.

        `boxes` (N, 4) are the people in this frame. The map is the identity for the first frame, for an image without
        enough corners, and where fewer than half of the points agree.
        """
        scale = min(1.0, _LONG_SIDE / max(image.shape[:2]))
        resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = np.asarray(resized, dtype=np.uint8)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        colours = _colour_histogram(small)
        before, colours_before, boxes_before = self._grey, self._colours, self._boxes * scale
        self._grey, self._colours, self._boxes = grey, colours, np.array(boxes, dtype=np.float64)
        identity = np.eye(2, 3)
        if before is None or colours_before is None or before.shape != grey.shape:
            return identity
        shared_colours = float(np.minimum(colours, colours_before).sum())
        start, end, followed = _flow(before, grey, boxes_before)
        if shared_colours < _CUT_COLOURS and followed < _CUT_FOLLOWED:
            return None
        if len(start) < _MIN_POINTS:
            return identity
        affine, agree = cv2.estimateAffinePartial2D(
            start, end, method=cv2.RANSAC, ransacReprojThreshold=1.5, maxIters=500
        )
        if affine is None or agree.mean() < 0.5:
            return identity
        motion: FloatArray = affine.astype(np.float64)
        motion[:, 2] /= scale
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
