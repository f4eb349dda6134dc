"""Read PoseTrack17 annotation files (`annolist`), in which every scalar is a list of one element."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.formats.posetrack.sequence import (
    NO_SCORE,
    SCORED_KEYPOINTS,
    PoseSequence,
    Rows,
    check_regions,
    frames_with_people,
    integer_ids,
    rows_in_frame_order,
)

Person = Mapping[str, Any]


def posetrack17_sequence(path: Path, content: Mapping[str, Any]) -> PoseSequence:
    """The people in a parsed PoseTrack17 file. Raises InputError naming the file, the frame and the person."""
    frames = content["annolist"]
    try:
        frame_names = [frame["image"][0]["name"] for frame in frames]
        people = [person for frame in frames for person in frame["annorect"]]
        counts = [len(frame["annorect"]) for frame in frames]
        if not all(isinstance(frame["annorect"], list) for frame in frames):
            raise TypeError
    except (KeyError, IndexError, TypeError):
        raise InputError(
            f"{path}: every entry of 'annolist' needs 'image[0].name' and a list 'annorect'"
        ) from None
    rows = rows_in_frame_order(path, frame_names, np.repeat(np.arange(len(frames)), counts))
    points = [_points(rows, row, person) for row, person in enumerate(people)]
    has_points = np.array([listed is not None for listed in points], bool)
    keypoints, present, scores = _keypoints(rows, points)
    has_people = frames_with_people(rows)
    regions = _ignore_regions(rows, frames)
    return PoseSequence(
        rows=rows,
        layout="posetrack17",
        image_ids=np.zeros(0, np.int64),
        labelled=np.array([_labelled(frame, bool(has_people[k])) for k, frame in enumerate(frames)], bool),
        ids=_ids(rows, people, has_points),
        person_ids=np.full(len(people), -1),
        keypoints=keypoints,
        present=present,
        scores=scores,
        head_boxes=_head_boxes(rows, people),
        has_points=has_points,
        integer_frame=np.zeros(len(people), bool),
        ignore_regions=regions,
    )


def _points(rows: Rows, row: int, person: Any) -> list[Any] | None:
    """The points of a person; None if they have no such list, as then poseval drops the person."""
    if not isinstance(person, dict):
        rows.fail(row, "must be an object")
    listed = person.get("annopoints")
    if not listed:
        return None
    if not isinstance(listed, list) or not isinstance(listed[0] or {}, dict):
        rows.fail(row, "needs 'annopoints' as a list of one object")
    points = listed[0]["point"] if listed[0] and "point" in listed[0] else None
    if not isinstance(points, list | None):
        rows.fail(row, "needs 'point' in 'annopoints' as a list")
    return points


def _keypoints(rows: Rows, points: list[list[Any] | None]) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Keypoints (N, 15, 2), present (N, 15) and scores (N, 15). Of several points with one id, the first is used."""
    count = len(SCORED_KEYPOINTS)
    keypoints = np.zeros((len(points), count, 2))
    present = np.zeros((len(points), count), bool)
    scores = np.full((len(points), count), NO_SCORE)
    target: list[int] = []
    values: list[tuple[float, float, float]] = []
    for row, listed in enumerate(points):
        seen = set()
        for point in listed or ():
            try:
                joint = operator.index(point["id"][0])
                if 0 <= joint < count and joint not in seen:
                    seen.add(joint)
                    target.append(row * count + joint)
                    score = point["score"][0] if point.get("score") else NO_SCORE
                    values.append((point["x"][0], point["y"][0], score))
            except (KeyError, IndexError, TypeError):
                rows.fail(row, "has a point without 'id', 'x' or 'y' (each a list of one number)")
    try:
        table = np.array(values, np.float64).reshape(len(values), 3)
    except (TypeError, ValueError):
        table = np.full((len(values), 3), np.nan)
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        row = next(k for k in range(len(points)) if (k + 1) * count > target[bad[0]])
        rows.fail(row, "has a point whose x, y or score is not a finite number")
    present.reshape(-1)[target] = True
    keypoints.reshape(-1, 2)[target] = table[:, :2]
    scores.reshape(-1)[target] = table[:, 2]
    return keypoints, present, scores


def _ids(rows: Rows, people: list[Person], has_points: BoolArray) -> IntArray:
    """(N,) track ids; -1 for people without points and id, who are not scored."""

    def value(person: Person) -> Any:
        listed = person.get("track_id")
        return listed[0] if isinstance(listed, list) and listed else None

    values = [value(person) for person in people]
    values = [-1 if v is None and not has else v for v, has in zip(values, has_points.tolist(), strict=True)]
    ids = integer_ids(values)
    if ids is None:
        row = next(k for k, v in enumerate(values) if integer_ids([v]) is None)
        rows.fail(row, "has no integer 'track_id'; every person needs one, even to score poses alone")
    return ids


def _head_boxes(rows: Rows, people: list[Person]) -> FloatArray:
    """(N, 4) x1 y1 x2 y2; NaN for people without a head box."""
    boxes = np.full((len(people), 4), np.nan)
    for row, person in enumerate(people):
        try:
            boxes[row] = [person[key][0] for key in ("x1", "y1", "x2", "y2")]
        except KeyError:
            continue  # as in predictions; a missing box is reported where it is needed
        except (IndexError, TypeError, ValueError):
            rows.fail(row, "needs the head box as x1, y1, x2, y2, each a list of one number")
    return boxes


def _labelled(frame: Mapping[str, Any], has_people: bool) -> bool:
    label = frame.get("is_labeled")
    if label is None or label == []:
        return has_people
    return bool(label[0] if isinstance(label, list) else label)


def _ignore_regions(rows: Rows, frames: list[Mapping[str, Any]]) -> dict[int, list[FloatArray]]:
    regions: dict[int, list[FloatArray]] = {}
    for k, frame in enumerate(frames):
        listed = frame.get("ignore_regions") or []
        try:
            polygons: list[FloatArray] = [
                np.array([(point["x"][0], point["y"][0]) for point in region["point"]], np.float64).reshape(
                    -1, 2
                )
                for region in listed
            ]
        except (KeyError, IndexError, TypeError, ValueError):
            rows.fail_frame(k, "an ignore region needs a list 'point' of x and y, each a list of one number")
        if polygons:
            regions[k] = polygons
    check_regions(rows, regions)
    return regions
