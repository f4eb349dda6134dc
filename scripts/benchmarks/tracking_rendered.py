"""Synthetic videos with images, for the stages that need them: camera motion, optical flow, propagation.

Textured bodies walk in front of a textured wall, filmed by a hand-held camera. The detector misses people at random.
The pose estimator returns the true keypoints plus noise wherever a box fits a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from tracking_sets import Truth, Video, Walkers, boxes_around, make_video

from posetrack_app.core.records import Detections, FloatArray, Frame

WIDTH, HEIGHT = 1280, 720
SCALE = 0.5
"""The images are drawn at 1280 x 720 and reduced by this factor."""
SETTING = Walkers(people=8, frames=120, fps=12.5, miss=0.2, pan=0.01, seed=6)
_LIMBS = ((0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (12, 14))
"""Pairs of the 15 keypoints; the trunk (8 9 3 2) is drawn as one piece."""


@dataclass(frozen=True)
class RenderedVideo:
    """Frames, the detections in them, and the true people."""

    frames: list[Frame]
    detections: list[Detections]
    video: Video

    def people(self) -> Iterator[tuple[Frame, Detections]]:
        """As `detect_people` yields them."""
        return zip(self.frames, self.detections, strict=True)


def render_video(number: int) -> RenderedVideo:
    """Synthetic video `number`; the same number gives the same video."""
    rng = np.random.default_rng([SETTING.seed, number])
    video = make_video(f"rendered {number}", SETTING, rng)
    wall = _texture(rng, 2 * HEIGHT, 2 * WIDTH, 12, 60)
    clothes = {person: _texture(rng, 64, 64, 4, 255) for person in range(SETTING.people)}
    frames, detections = [], []
    for index, (truth, camera) in enumerate(zip(video.truth, video.camera, strict=True)):
        assert truth is not None
        image = _background(wall, camera)
        for row in np.argsort(truth.keypoints[:, 0, 1]):  # a person lower in the image is nearer
            _draw_body(image, truth.keypoints[row], clothes[int(truth.ids[row])])
        small = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
        frames.append(Frame.of(index, video.seconds[index], np.asarray(small, dtype=np.uint8)))
        poses = video.poses[index]
        detections.append(Detections.detected(poses.boxes * SCALE, poses.scores))
    return RenderedVideo(frames, detections, _scaled(video))


class OracleEstimator:
    """A pose estimator that returns the true keypoints, with noise, of the person that fits a box best.

    A box that fits no person gets random keypoints with low scores.
    """

    def __init__(self, rendered: RenderedVideo) -> None:
        self._truths = {
            id(frame.image): truth for frame, truth in zip(rendered.frames, rendered.video.truth, strict=True)
        }
        self._rng = np.random.default_rng(0)

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        keypoints, scores = np.zeros((len(boxes), 15, 2)), np.zeros((len(boxes), 15))
        for row, (image, box) in enumerate(zip(images, boxes, strict=True)):
            truth = self._truths[id(image)]
            assert truth is not None
            true_boxes = boxes_around(truth.keypoints, truth.present)
            overlap = _iou(true_boxes, box) if len(true_boxes) else np.zeros(1)
            person = int(overlap.argmax())
            height = box[3] - box[1]
            if overlap[person] < 0.3:
                keypoints[row] = box[:2] + self._rng.uniform(0, 1, (15, 2)) * (box[2:] - box[:2])
                scores[row] = self._rng.uniform(0.0, 0.2, 15)
                continue
            hidden = _hidden(truth, person)
            noise = np.where(hidden, 0.05, 0.01)[:, None] * height
            keypoints[row] = truth.keypoints[person] + self._rng.normal(size=(15, 2)) * noise
            scores[row] = np.where(hidden, 0.25, 0.8) + self._rng.normal(0, 0.05, 15)
        return keypoints, scores.clip(0.01, 1), np.zeros((len(boxes), 0))


def _hidden(truth: Truth, person: int) -> NDArray[np.bool_]:
    """(15,) keypoints outside the image or behind the box of a nearer person."""
    boxes = boxes_around(truth.keypoints, truth.present)
    nearer = truth.keypoints[:, 0, 1] > truth.keypoints[person, 0, 1]
    points = truth.keypoints[person]
    covered = (points > boxes[nearer, None, :2]) & (points < boxes[nearer, None, 2:])
    hidden: NDArray[np.bool_] = covered.all(axis=2).any(axis=0) | ~truth.present[person]
    return hidden


def _scaled(video: Video) -> Video:
    """The same video in pixels of the reduced images."""
    poses = [replace(one, boxes=one.boxes * SCALE, keypoints=one.keypoints * SCALE) for one in video.poses]
    truth = [None if one is None else replace(one, keypoints=one.keypoints * SCALE) for one in video.truth]
    return replace(video, poses=poses, truth=truth)


def _texture(
    rng: np.random.Generator, height: int, width: int, grain: int, contrast: float
) -> NDArray[np.uint8]:
    coarse = rng.uniform(-0.5, 0.5, (height // grain, width // grain, 3)).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray((128 + contrast * fine).clip(0, 255), dtype=np.uint8)


def _background(wall: NDArray[np.uint8], camera: FloatArray) -> NDArray[np.uint8]:
    shift = np.array([[1.0, 0, camera[0] - WIDTH / 2], [0, 1, camera[1] - HEIGHT / 2]])
    return np.asarray(cv2.warpAffine(wall, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), np.uint8)


def _draw_body(image: NDArray[np.uint8], body: FloatArray, cloth: NDArray[np.uint8]) -> None:
    """Limbs and trunk, each with its own part of `cloth`, which moves with the body."""
    width = max(0.07 * float(np.ptp(body[:, 1])), 3.0)
    for limb, (start, end) in enumerate(_LIMBS):
        _draw_patch(image, _strip(body[start], body[end], width), cloth[7 * limb % 48 :][:16, :16])
    _draw_patch(image, body[[8, 9, 3, 2]], cloth[:32, 32:])
    _draw_patch(image, _strip(body[12], body[14], 2 * width), cloth[32:48, 32:48])


def _strip(start: FloatArray, end: FloatArray, width: float) -> FloatArray:
    """Corners (4, 2) of a rectangle along the line from `start` to `end`."""
    along = end - start
    across = 0.5 * width * np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
    return np.array([start - across, start + across, end + across, end - across])


def _draw_patch(image: NDArray[np.uint8], corners: FloatArray, cloth: NDArray[np.uint8]) -> None:
    """Warp `cloth` into the quadrilateral `corners` (4, 2) of `image`."""
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, [WIDTH, HEIGHT])
    if (high - low < 2).any():
        return
    size, region = (high - low).tolist(), image[low[1] : high[1], low[0] : high[0]]
    rows, columns = cloth.shape[:2]
    edges = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float32)
    inside = (corners - low).astype(np.float32)
    warp = cv2.getPerspectiveTransform(edges, inside)
    warped = cv2.warpPerspective(cloth, warp, size, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(region.shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.round(inside).astype(np.int32), 255)
    region[mask > 0] = warped[mask > 0]


def _iou(boxes: FloatArray, box: FloatArray) -> FloatArray:
    overlap = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    intersection = overlap.clip(min=0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    iou: FloatArray = intersection / np.maximum(areas - intersection, 1e-9)
    return iou
