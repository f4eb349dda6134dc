"""Small pictures of id switches and of the worst frames: keypoints as SVG, on the image if there is one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from html import escape

import numpy as np

from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.evaluation.posetrack.frame_errors import WorstFrame
from posetrack_app.evaluation.posetrack.scene import People, Scene
from posetrack_app.evaluation.posetrack.score import PoseTrackScores
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS

Box = tuple[float, float, float, float]
"""x1 y1 x2 y2 in pixels of the frame."""
Crop = Callable[[str, Box], bytes | None]
"""Gives the part of a frame (its name in the data set) as JPEG, or None if there is no image."""

_MAX_SWITCHES = 12
_MAX_FRAMES = 8
_WIDTH = 220.0
_COLOURS = (
    "#4fc3f7", "#ffb74d", "#aed581", "#f06292", "#ba68c8", "#fff176", "#4db6ac", "#ff8a65", "#90a4ae", "#7986cb"
)  # fmt: skip
_LIMBS = [
    (SCORED_KEYPOINTS.index(POSETRACK.keypoints[a]), SCORED_KEYPOINTS.index(POSETRACK.keypoints[b]))
    for a, b in POSETRACK.limbs
    if {POSETRACK.keypoints[a], POSETRACK.keypoints[b]} <= set(SCORED_KEYPOINTS)
]


def switch_thumbnails(scores: PoseTrackScores, crop: Crop | None) -> Iterator[str]:
    """The frames before and after each switch, those with the most keypoints first; tracks have colours."""
    if scores.tracking is None:
        return
    scene, events = scores.scene, scores.tracking.events
    key = np.stack([events.truth, events.previous_track, scene.predicted.track[events.predicted]])
    switches, count = np.unique(key, axis=1, return_counts=True)
    for k in np.argsort(-count, kind="stable")[:_MAX_SWITCHES].tolist():
        person, before, after = switches[:, k].tolist()
        yield _switch(scene, person, before, after, int(count[k]), crop)


def _switch(scene: Scene, person: int, before: int, after: int, keypoints: int, crop: Crop | None) -> str:
    truth = scene.truth
    earlier = np.flatnonzero((truth.track == truth.track[person]) & (truth.frame < truth.frame[person]))
    rows = [*earlier[-1:].tolist(), person]
    box = _square(np.concatenate([truth.keypoints[row] for row in rows]), 0.35)
    pictures = "".join(
        _picture(scene, int(truth.frame[row]), box, crop, {before, after}, truth_row=row) for row in rows
    )
    ids = scene.predicted.track_ids
    frame = int(truth.frame[person])
    caption = (
        f"{scene.names[scene.frame_video[frame]]}, frame {scene.frame_number[frame]}: person "
        f"{truth.track_ids[truth.track[person]]}, track {ids[before]} → {ids[after]} ({keypoints} keypoints)"
    )
    return f'<figure><div class="pair">{pictures}</div><figcaption>{escape(caption)}</figcaption></figure>'


def frame_thumbnails(
    scores: PoseTrackScores, frames: list[WorstFrame], missed: BoolArray, crop: Crop | None
) -> Iterator[str]:
    """The worst frames: missed keypoints as red circles, false positives as yellow dots."""
    if scores.tracking is None:
        return
    scene = scores.scene
    wrong = scene.predicted.present & ~scores.tracking.found_predicted
    for worst in frames[:_MAX_FRAMES]:
        frame = worst.scene_frame
        people = [
            side.keypoints[side.frame == frame].reshape(-1, 2) for side in (scene.truth, scene.predicted)
        ]
        picture = _picture(
            scene, frame, _box(np.concatenate(people), 0.06), crop, missed=missed, wrong=wrong, wide=True
        )
        caption = (
            f"{worst.sequence}, frame {worst.frame}: {worst.misses} missed, {worst.false_positives} false positives, "
            f"{worst.switches} switches"
        )
        yield f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _box(points: FloatArray, margin: float) -> Box:
    points = points[~np.isnan(points).any(axis=1)]
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (np.zeros(2), np.full(2, 100.0))
    side = np.maximum(high - low, 20.0)
    low, high = low - margin * side, high + margin * side
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _square(points: FloatArray, margin: float) -> Box:
    x1, y1, x2, y2 = _box(points, margin)
    half, x, y = max(x2 - x1, y2 - y1) / 2, (x1 + x2) / 2, (y1 + y2) / 2
    return x - half, y - half, x + half, y + half


def _picture(
    scene: Scene,
    frame: int,
    box: Box,
    crop: Crop | None,
    tracks: set[int] | None = None,
    truth_row: int | None = None,
    missed: BoolArray | None = None,
    wrong: BoolArray | None = None,
    wide: bool = False,
) -> str:
    """One frame as SVG.

    Args:
        scene: the people.
        frame: index of the frame in the scene.
        box: the part of the frame to show.
        crop: gives the image.
        tracks: predicted tracks to show with their ids; None: all.
        truth_row: the true person to show, dashed; None: all.
        missed: (N, 15) true keypoints to mark.
        wrong: (N, 15) predicted keypoints to mark.
        wide: as wide as a pair of pictures.
    """
    width = _WIDTH * (2 if wide else 1)
    scale = width / (box[2] - box[0])
    height = min(width * 1.2, scale * (box[3] - box[1]))
    origin = np.array(box[:2])
    jpeg = None if crop is None else crop(scene.frame_names[frame], box)
    parts = [f'<svg class="thumb" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="frame">']
    if jpeg is not None:
        data = base64.b64encode(jpeg).decode("ascii")
        parts.append(
            f'<image width="{width:.0f}" height="{scale * (box[3] - box[1]):.0f}" preserveAspectRatio="none" '
            f'href="data:image/jpeg;base64,{data}"/>'
        )
    parts.append(f'<rect class="dim" width="{width:.0f}" height="{height:.0f}"/>')
    truth, predicted = scene.truth, scene.predicted
    true_rows = np.flatnonzero(truth.frame == frame) if truth_row is None else np.array([truth_row])
    for row in true_rows.tolist():
        parts.append(_limbs((truth.keypoints[row] - origin) * scale, 'class="truth"'))
    for row in np.flatnonzero(predicted.frame == frame).tolist():
        track = int(predicted.track[row])
        if tracks is None or track in tracks:
            parts.append(_person(predicted, row, origin, scale))
    if missed is not None:
        parts.append(_dots(truth, true_rows, missed, origin, scale, 'class="missed" r="3.5"'))
    if wrong is not None:
        rows = np.flatnonzero(predicted.frame == frame)
        parts.append(_dots(predicted, rows, wrong, origin, scale, 'class="wrong" r="2"'))
    return "".join(parts) + "</svg>"


def _person(people: People, row: int, origin: FloatArray, scale: float) -> str:
    """A predicted person in the colour of their track, with its id above the head."""
    points = (people.keypoints[row] - origin) * scale
    track_id = int(people.track_ids[people.track[row]])
    colour = _COLOURS[track_id % len(_COLOURS)]
    limbs = _limbs(points, f'stroke="{colour}"')
    known = points[~np.isnan(points).any(axis=1)]
    if not len(known):
        return limbs
    x, y = float(known[:, 0].mean()), float(known[:, 1].min())
    return f'{limbs}<text x="{x:.0f}" y="{max(9.0, y - 4):.0f}" text-anchor="middle">{track_id}</text>'


def _limbs(points: FloatArray, attributes: str) -> str:
    known: list[bool] = [not np.isnan(point).any() for point in points]
    lines = (
        f'<line {attributes} x1="{points[a, 0]:.1f}" y1="{points[a, 1]:.1f}" '
        f'x2="{points[b, 0]:.1f}" y2="{points[b, 1]:.1f}"/>'
        for a, b in _LIMBS
        if known[a] and known[b]
    )
    return "".join(lines)


def _dots(
    people: People, rows: IntArray, marked: BoolArray, origin: FloatArray, scale: float, attributes: str
) -> str:
    points = (people.keypoints[rows][marked[rows]] - origin) * scale
    return "".join(f'<circle {attributes} cx="{x:.1f}" cy="{y:.1f}"/>' for x, y in points.tolist())
