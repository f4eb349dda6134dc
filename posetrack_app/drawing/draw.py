"""Draw people on frames: limbs, boxes and ids, in one colour per id."""

from __future__ import annotations

import colorsys
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FloatArray, TrackedPoses, is_missing
from posetrack_app.core.skeletons import POSETRACK, Skeleton

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Point = tuple[float, float]
_Item = TypeVar("_Item")

_INVISIBLE_SCORE, _OPAQUE_SCORE = 0.1, 0.6
"""Keypoint scores between which the opacity rises from 0 to 1."""
_LEVELS = 8
"""Steps of opacity."""
_FAR = 20_000
"""Largest coordinate in pixels; beyond it OpenCV's fixed-point lines overflow."""

_TRAIL_SECONDS = 2.0
_GOLDEN_RATIO = 0.6180339887


@dataclass(frozen=True)
class Style:
    """How people are drawn. InputError for names that this version of OpenCV cannot draw."""

    trails: bool = False
    """Draw the paths of the last 2 seconds."""
    only_ids: frozenset[int] | None = None
    """Draw only these ids; None: all."""
    blur_faces: bool = False
    """Blur the faces of all people, drawn or not."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Names to draw in place of ids."""
    side_by_side: bool = False
    """Put the image without drawings to the left of the drawn one; faces are blurred in both."""

    def __post_init__(self) -> None:
        other = [name for name in self.names.values() if not name.isascii()]
        if other and not hasattr(cv2, "FontFace"):
            raise InputError(
                f"the name {other[0]} cannot be drawn, because OpenCV {cv2.__version__} draws ASCII only; "
                "update opencv-python-headless to version 5",
                option="names",
            )


def colour_of(track_id: int) -> Colour:
    """The RGB colour of an id.

    Hues step by the golden ratio, so that consecutive ids differ; three shades separate similar hues.
    """
    saturation, value = ((0.85, 1.0), (0.6, 1.0), (0.9, 0.8))[track_id % 3]
    red, green, blue = colorsys.hsv_to_rgb(track_id * _GOLDEN_RATIO % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_poses(
    image: Image, tracked: TrackedPoses, skeleton: Skeleton = POSETRACK, style: Style | None = None
) -> Image:
    """A copy of `image` (H, W, 3) RGB with the people drawn on it.

    Smoothed keypoints are drawn. Left limbs are lighter, right limbs darker. The opacity of a limb rises with the lower
    score of its two keypoints, from 0 at score 0.1 to 1 at 0.6. `style.trails` and `style.side_by_side` are left to
    `OverlayWriter`.
    """
    style = style or Style()
    canvas = image.copy()
    if style.blur_faces:
        for row in range(len(tracked)):
            _blur_head(canvas, tracked, row, skeleton)
    if style.only_ids is not None:
        tracked = tracked[np.isin(tracked.ids, list(style.only_ids))]
    # People with the lowest feet are closest to the camera; draw them last, on top.
    for row in np.argsort(tracked.boxes[:, 3], kind="stable").tolist():
        _draw_person(canvas, tracked, row, skeleton)
    for row in range(len(tracked)):
        track_id = int(tracked.ids[row])
        _draw_label(canvas, tracked.boxes[row], track_id, style.names.get(track_id, str(track_id)))
    return canvas


class Trails:
    """The paths of the last 2 seconds, at the feet (middle of the lower edge of the box), of all people in one video."""

    def __init__(self) -> None:
        self._paths: dict[int, deque[tuple[float, Point]]] = {}

    def draw(
        self, image: Image, seconds: float, tracked: TrackedPoses, only_ids: frozenset[int] | None
    ) -> None:
        """Add the people of this frame and draw all paths, which fade with age, onto `image`."""
        boxes = tracked.boxes.clip(-_FAR, _FAR)
        for track_id, (x1, _, x2, y2) in zip(tracked.ids.tolist(), boxes.tolist(), strict=True):
            if only_ids is None or track_id in only_ids:
                self._paths.setdefault(track_id, deque()).append((seconds, ((x1 + x2) / 2, y2)))
        for track_id in list(self._paths):
            path = self._paths[track_id]
            while path and path[0][0] < seconds - _TRAIL_SECONDS:
                path.popleft()
            if not path:
                del self._paths[track_id]
        width = max(2, round(min(image.shape[:2]) / 300))
        for track_id, path in self._paths.items():
            steps = [
                (1 - (seconds - time) / _TRAIL_SECONDS, (start, end))
                for (time, start), (_, end) in pairwise(path)
            ]
            for opacity, lines in _by_opacity(steps):
                _strokes(image, [_Stroke(line, colour_of(track_id), width) for line in lines], opacity)


@dataclass(frozen=True)
class _Stroke:
    """A line between two points, or a dot, `width` pixels wide, with a `rim` of another colour or none."""

    points: tuple[Point, ...]
    colour: Colour
    width: int
    rim: Colour | None = None


def _draw_person(image: Image, tracked: TrackedPoses, row: int, skeleton: Skeleton) -> None:
    box, points = tracked.boxes[row].clip(-_FAR, _FAR), tracked.smoothed_keypoints[row].clip(-_FAR, _FAR)
    opacity = np.clip(
        (tracked.keypoint_scores[row] - _INVISIBLE_SCORE) / (_OPAQUE_SCORE - _INVISIBLE_SCORE), 0, 1
    )
    colour = colour_of(int(tracked.ids[row]))
    size = float(max(box[2] - box[0], box[3] - box[1]))
    limb = max(1, round(min(size / 60, min(image.shape[:2]) / 150)))
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, max(1, limb // 2), cv2.LINE_AA)
    shades = {"left": _mix(colour, 255, 0.45), "right": _mix(colour, 0, 0.4)}
    sides = [shades.get(name.partition("_")[0], colour) for name in skeleton.keypoints]
    ends: list[Point] = [(float(x), float(y)) for x, y in points.tolist()]
    opacities: list[float] = opacity.tolist()
    strokes = []
    for a, b in skeleton.limbs:
        side = sides[a] if sides[a] == sides[b] else colour
        # A dark rim keeps bright limbs visible on a bright background.
        stroke = _Stroke((ends[a], ends[b]), side, limb, _mix(side, 0, 0.75) if limb > 1 else None)
        strokes.append((min(opacities[a], opacities[b]), stroke))
    if limb > 1:
        dots = [
            _Stroke((end,), side, limb - 1, (255, 255, 255)) for end, side in zip(ends, sides, strict=True)
        ]
        strokes += zip(opacities, dots, strict=True)
    for level, group in _by_opacity(strokes):
        _strokes(image, group, level)


def _mix(colour: Colour, grey: int, share: float) -> Colour:
    red, green, blue = (round(channel * (1 - share) + grey * share) for channel in colour)
    return red, green, blue


def _by_opacity(items: Iterable[tuple[float, _Item]]) -> Iterator[tuple[float, list[_Item]]]:
    """The visible items in groups of about the same opacity, the faintest first; each group is blended in one step."""
    levels: dict[int, list[_Item]] = {}
    for opacity, item in items:
        levels.setdefault(math.ceil(opacity * _LEVELS), []).append(item)
    for level in sorted(levels):
        if level > 0:
            yield level / _LEVELS, levels[level]


def _strokes(image: Image, strokes: Sequence[_Stroke], opacity: float) -> None:
    """Draw `strokes` on a copy of the area around them, and blend that into `image`."""
    height, width = image.shape[:2]
    xs, ys = zip(*(point for stroke in strokes for point in stroke.points), strict=True)
    margin = max(stroke.width for stroke in strokes) + 2
    left, top = max(0, math.floor(min(xs)) - margin), max(0, math.floor(min(ys)) - margin)
    right = min(width, math.ceil(max(xs)) + margin + 1)
    bottom = min(height, math.ceil(max(ys)) + margin + 1)
    if left >= right or top >= bottom:
        return
    part = image[top:bottom, left:right]
    patch = part if opacity >= 1 else part.copy()
    for stroke in strokes:
        points = [(round(x) - left, round(y) - top) for x, y in stroke.points]
        for colour, extra in ((stroke.rim, 1), (stroke.colour, 0)):
            if colour is None:
                continue
            if len(points) == 1:
                cv2.circle(patch, points[0], stroke.width + extra, colour, -1, cv2.LINE_AA)
            else:
                cv2.line(patch, points[0], points[1], colour, stroke.width + 2 * extra, cv2.LINE_AA)
    if opacity < 1:
        cv2.addWeighted(patch, opacity, part, 1 - opacity, 0, dst=part)


def _draw_label(image: Image, box: FloatArray, track_id: int, text: str) -> None:
    """Draw `text` in a tag of the id's colour above the box, moved inside the image where needed."""
    height, width = image.shape[:2]
    scale = max(0.4, min(height, width) / 1300)
    stroke = max(1, round(scale * 1.6))
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    pad = max(2, text_height // 4)
    x = int(np.clip(round(float(box[0])), 0, max(0, width - text_width - 2 * pad)))
    y = int(np.clip(round(float(box[1])) - text_height - 2 * pad, 0, max(0, height - text_height - 2 * pad)))
    colour = colour_of(track_id)
    cv2.rectangle(image, (x, y), (x + text_width + 2 * pad, y + text_height + 2 * pad), colour, -1)
    bright = colour[0] * 0.299 + colour[1] * 0.587 + colour[2] * 0.114 > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    baseline = (x + pad, y + pad + text_height)
    cv2.putText(image, text, baseline, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, stroke, cv2.LINE_AA)


_HEAD = ("nose", "head_bottom", "head_top", "left_eye", "right_eye", "left_ear", "right_ear")


def _blur_head(canvas: Image, tracked: TrackedPoses, row: int, skeleton: Skeleton) -> None:
    """Blur a disc around the keypoints of the head, whatever their scores: a visible face is worse than a blurred wall.

    If all scores are low or all keypoints are missing, the head may be elsewhere; then the top of the box is blurred too.
    """
    of_head = [i for i, name in enumerate(skeleton.keypoints) if name in _HEAD]
    missing = is_missing(tracked.keypoints[row, of_head], tracked.keypoint_scores[row, of_head])
    head = np.array(of_head)[~missing]
    points = np.concatenate([tracked.keypoints[row, head], tracked.smoothed_keypoints[row, head]])
    box = tracked.boxes[row]
    height = float(box[3] - box[1])
    if len(points):
        centre = points.mean(axis=0)
        reach = float(np.linalg.norm(points - centre, axis=1).max())
        _blur_disc(canvas, centre, max(reach * 1.25, height * 0.07, 4.0))
    if tracked.keypoint_scores[row, head].max(initial=0.0) < _OPAQUE_SCORE:
        _blur_disc(canvas, np.array([(box[0] + box[2]) / 2, box[1] + height * 0.09]), max(height * 0.13, 4.0))


def _blur_disc(canvas: Image, centre: FloatArray, radius: float) -> None:
    height, width = canvas.shape[:2]
    left, top = np.clip(np.floor(centre - radius).astype(int), 0, (width, height)).tolist()
    right, bottom = np.clip(np.ceil(centre + radius).astype(int), 0, (width, height)).tolist()
    if left >= right or top >= bottom:
        return
    part = canvas[top:bottom, left:right]  # not the original image: what another disc blurred stays blurred
    # Averaging to at most 6 x 6 cells removes the detail; a plain blur could be partly undone.
    cells = cv2.resize(part, (min(6, right - left), min(6, bottom - top)), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    ys, xs = np.ogrid[top:bottom, left:right]
    inside = (xs - centre[0]) ** 2 + (ys - centre[1]) ** 2 <= radius**2
    canvas[top:bottom, left:right][inside] = smooth[inside]
