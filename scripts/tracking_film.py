"""A made film, pictures and all, for what needs pictures: camera motion, optical flow, propagation.

People are textured bodies walking before a textured wall, filmed by a hand-held camera. The detector misses whom it
likes; the pose network knows the truth, blurred by noise, wherever a box lies on somebody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from tracking_sets import Truth, Video, Walkers, boxes_around, make_video

from posetrack_app.records import Detections, FloatArray, Frame

WIDTH, HEIGHT = 1280, 720
SCALE = 0.5
FILM = Walkers(people=8, frames=120, fps=12.5, miss=0.2, pan=0.01, seed=6)
_LIMBS = ((0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (12, 14))
"""Pairs of the 15 keypoints; the trunk, 8 9 3 2, is drawn whole."""


@dataclass(frozen=True)
class Film:
    """Frames with their pictures, what the detector says, and who really is there."""

    frames: list[Frame]
    detections: list[Detections]
    video: Video

    def people(self) -> Iterator[tuple[Frame, Detections]]:
        """As `detect_people` gives them."""
        return zip(self.frames, self.detections, strict=True)


def make_film(number: int) -> Film:
    """Film `number`; equal numbers give equal films."""
    rng = np.random.default_rng([FILM.seed, number])
    video = make_video(f"film {number}", FILM, rng)
    wall = _texture(rng, 2 * HEIGHT, 2 * WIDTH, 12, 60)
    coats = {person: _texture(rng, 64, 64, 4, 255) for person in range(FILM.people)}
    frames, detections = [], []
    for index, (truth, camera) in enumerate(zip(video.truth, video.camera, strict=True)):
        assert truth is not None
        picture = _wall(wall, camera)
        for row in np.argsort(truth.keypoints[:, 0, 1]):  # who stands lower is nearer
            _draw(picture, truth.keypoints[row], coats[int(truth.ids[row])])
        small = cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
        frames.append(Frame(index, video.seconds[index], np.asarray(small, dtype=np.uint8)))
        poses = video.poses[index]
        detections.append(Detections(poses.boxes * SCALE, poses.scores))
    return Film(frames, detections, _scaled(video))


class KnowingEstimator:
    """A pose network that knows `film`: the true keypoints of whom the box fits best, with noise; else a guess."""

    def __init__(self, film: Film) -> None:
        self._truths = {
            id(frame.image): truth for frame, truth in zip(film.frames, film.video.truth, strict=True)
        }
        self._rng = np.random.default_rng(0)

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, FloatArray]:
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
        return keypoints, scores.clip(0.01, 1)


def _hidden(truth: Truth, person: int) -> NDArray[np.bool_]:
    """(15,) keypoints outside the picture or behind the box of somebody nearer."""
    boxes = boxes_around(truth.keypoints, truth.present)
    nearer = truth.keypoints[:, 0, 1] > truth.keypoints[person, 0, 1]
    points = truth.keypoints[person]
    covered = (points > boxes[nearer, None, :2]) & (points < boxes[nearer, None, 2:])
    hidden: NDArray[np.bool_] = covered.all(axis=2).any(axis=0) | ~np.asarray(truth.present[person], bool)
    return hidden


def _scaled(video: Video) -> Video:
    """The same in pixels of the small pictures."""
    poses = [replace(one, boxes=one.boxes * SCALE, keypoints=one.keypoints * SCALE) for one in video.poses]
    truth = [None if one is None else replace(one, keypoints=one.keypoints * SCALE) for one in video.truth]
    return replace(video, poses=poses, truth=truth)


def _texture(
    rng: np.random.Generator, height: int, width: int, grain: int, contrast: float
) -> NDArray[np.uint8]:
    coarse = rng.uniform(-0.5, 0.5, (height // grain, width // grain, 3)).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray((128 + contrast * fine).clip(0, 255), dtype=np.uint8)


def _wall(wall: NDArray[np.uint8], camera: FloatArray) -> NDArray[np.uint8]:
    shift = np.array([[1.0, 0, camera[0] - WIDTH / 2], [0, 1, camera[1] - HEIGHT / 2]])
    return np.asarray(cv2.warpAffine(wall, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), np.uint8)


def _draw(picture: NDArray[np.uint8], body: FloatArray, coat: NDArray[np.uint8]) -> None:
    """Limbs and trunk, each with its piece of the coat, fixed to the body."""
    width = max(0.07 * float(np.ptp(body[:, 1])), 3.0)
    for limb, (start, end) in enumerate(_LIMBS):
        _patch(picture, _strip(body[start], body[end], width), coat[7 * limb % 48 :][:16, :16])
    _patch(picture, body[[8, 9, 3, 2]], coat[:32, 32:])
    _patch(picture, _strip(body[12], body[14], 2 * width), coat[32:48, 32:48])


def _strip(start: FloatArray, end: FloatArray, width: float) -> FloatArray:
    along = end - start
    across = 0.5 * width * np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
    return np.array([start - across, start + across, end + across, end - across])


def _patch(picture: NDArray[np.uint8], corners: FloatArray, cloth: NDArray[np.uint8]) -> None:
    """Lay `cloth` into the quadrangle `corners` (4, 2) of `picture`."""
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, [WIDTH, HEIGHT])
    if (high - low < 2).any():
        return
    size, place = (high - low).tolist(), picture[low[1] : high[1], low[0] : high[0]]
    rows, columns = cloth.shape[:2]
    edges = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float32)
    inside = (corners - low).astype(np.float32)
    warp = cv2.getPerspectiveTransform(edges, inside)
    laid = cv2.warpPerspective(cloth, warp, size, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(place.shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.round(inside).astype(np.int32), 255)
    place[mask > 0] = laid[mask > 0]


def _iou(boxes: FloatArray, box: FloatArray) -> FloatArray:
    shared = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    common = shared.clip(min=0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    iou: FloatArray = common / np.maximum(areas - common, 1e-9)
    return iou
