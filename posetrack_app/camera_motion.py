"""How the camera moved between two frames, and where the film was cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.records import Detections, FloatArray, Frame, Poses

_People = TypeVar("_People", Detections, Poses)
_LONG_SIDE = 320
_MAX_POINTS, _MIN_POINTS = 150, 12
_WINDOW = (11, 11)
"""A quarter of the area of OpenCV's default costs a third of the time and is no less exact on pictures this small."""
_CUT_LIKENESS = 0.5
"""Share of the colours two neighbouring frames have in common below which they may be of different shots."""
_CUT_FOLLOWED = 0.3
"""Share of the points that could be followed below which they are."""


def follow_camera(stream: Iterable[tuple[Frame, _People]]) -> Iterator[tuple[Frame, _People]]:
    """Every frame with how the camera moved since the one before it, or that it is the first after a cut."""
    camera = CameraMotion()
    for frame, people in stream:
        motion = camera.follow(frame.image, people.boxes)
        yield replace(frame, camera_motion=motion, is_cut=motion is None), people


class CameraMotion:
    """Follows one video's camera by sparse optical flow of the background, on small grey pictures.

    Corners (Shi-Tomasi) outside people's boxes, Lucas-Kanade flow, and a shift, turn and zoom that most of them
    agree on (RANSAC), as in BoT-SORT (arXiv 2206.14651).
    """

    def __init__(self) -> None:
        self._grey: NDArray[np.uint8] | None = None
        self._colours: FloatArray | None = None
        self._boxes: FloatArray = np.zeros((0, 4))

    def follow(self, image: NDArray[np.uint8], boxes: FloatArray) -> FloatArray | None:
        """Affine map (2, 3) of the previous frame's pixels to this `image`'s (H, W, 3); None at a cut.

        `boxes` (N, 4) are the people in this frame. The first frame, a picture without anything to follow, and
        motion that most points disagree on give the map that leaves all in place.
        """
        scale = min(1.0, _LONG_SIDE / max(image.shape[:2]))
        resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = np.asarray(resized, dtype=np.uint8)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        colours = _colours(small)
        before, colours_before, boxes_before = self._grey, self._colours, self._boxes * scale
        self._grey, self._colours, self._boxes = grey, colours, np.array(boxes, dtype=np.float64)
        still = np.eye(2, 3)
        if before is None or colours_before is None or before.shape != grey.shape:
            return still
        likeness = float(np.minimum(colours, colours_before).sum())
        start, end, followed = _flow(before, grey, boxes_before)
        if likeness < _CUT_LIKENESS and followed < _CUT_FOLLOWED:
            return None
        if len(start) < _MIN_POINTS:
            return still
        affine, agree = cv2.estimateAffinePartial2D(
            start, end, method=cv2.RANSAC, ransacReprojThreshold=1.5, maxIters=500
        )
        if affine is None or agree.mean() < 0.5:
            return still
        motion: FloatArray = affine.astype(np.float64)
        motion[:, 2] /= scale
        return motion


def _flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8], boxes: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Background points (P, 2) in both pictures, and the share of all corners that could be followed."""
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
    good = np.linalg.norm(back - start, axis=2)[:, 0] < 0.5
    return start[good, 0], moved[good, 0], float(good.mean())


def _colours(image: NDArray[np.uint8]) -> FloatArray:
    """Share of the pixels in each of 8 x 8 x 8 colours."""
    bins = (image >> 5).astype(np.intp)
    counts = np.bincount((bins[..., 0] * 64 + bins[..., 1] * 8 + bins[..., 2]).ravel(), minlength=512)
    share: FloatArray = counts / counts.sum()
    return share
