"""Read PoseTrack18 and PoseTrack21 annotation files: like COCO, with a file for each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.core.skeletons import POSETRACK
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


def posetrack18_sequence(path: Path, content: Mapping[str, Any], fixed_order: bool = False) -> PoseSequence:
    """The people in a parsed PoseTrack18 file.

    The names in `categories` say which keypoint is which; with `fixed_order` they are not read, and the 17 keypoints
    are in the order of PoseTrack18 (the rule of PoseTrack21). Raises InputError naming the file, the frame and the
    person if something cannot be scored.
    """
    _check_objects(path, content)
    names = POSETRACK.keypoints if fixed_order else _keypoint_names(path, content)
    columns = [names.index(name) for name in SCORED_KEYPOINTS]
    images = content["images"]
    frame_names = _frame_names(path, images)
    rows, people = _people_in_frame_order(path, content, frame_names)
    ids = integer_ids([person.get("track_id") for person in people])
    if ids is None:
        rows.fail_first(
            people,
            lambda person: integer_ids([person.get("track_id")]) is not None,
            "has no integer 'track_id'; every person needs one, even to score poses alone",
        )
    keypoints = _numbers(rows, people, "keypoints", 3 * len(names))
    keypoints = keypoints.reshape(len(people), len(names), 3)[:, columns]
    has_people = frames_with_people(rows)
    return PoseSequence(
        rows=rows,
        layout="posetrack18",
        image_ids=np.array([image["id"] for image in images], np.int64),
        labelled=np.array(
            [bool(image.get("is_labeled", has_people[k])) for k, image in enumerate(images)], bool
        ),
        ids=ids,
        person_ids=_person_ids(people),
        keypoints=np.ascontiguousarray(keypoints[..., :2]),
        present=(keypoints != 0).any(axis=2),
        scores=_scores(rows, people, len(names))[:, columns],
        head_boxes=_head_boxes(rows, people),
        has_points=np.ones(len(people), bool),
        integer_frame=_integer_frame(rows, people) if fixed_order else np.zeros(len(people), bool),
        ignore_regions=_ignore_regions(rows, images),
    )


def _person_ids(people: Sequence[Person]) -> IntArray:
    """(N,) `person_id` of PoseTrack21, -1 for all if it is missing anywhere."""
    ids = integer_ids([person.get("person_id") for person in people])
    return np.full(len(people), -1) if ids is None else ids


def _check_objects(path: Path, content: Mapping[str, Any]) -> None:
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        for k, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict):
                raise InputError(f"{path}: {key}[{k}] must be an object, got {str(entry)[:40]}")


def _keypoint_names(path: Path, content: Mapping[str, Any]) -> Sequence[str]:
    categories = content.get("categories")
    if not isinstance(categories, list) or len(categories) != 1 or "keypoints" not in categories[0]:
        raise InputError(
            f"{path}: 'categories' must have exactly one entry, with a list 'keypoints' of their names"
        )
    names: list[str] = categories[0]["keypoints"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: 'keypoints' in 'categories' must be a list of names")
    missing = [name for name in SCORED_KEYPOINTS if name not in names]
    if missing:
        raise InputError(
            f"{path}: 'categories' does not name the keypoints {', '.join(missing)}; PoseTrack scores these 15: "
            f"{', '.join(SCORED_KEYPOINTS)}"
        )
    return names


def _frame_names(path: Path, images: Sequence[Mapping[str, Any]]) -> list[str]:
    """The file names of the frames. InputError if the file mixes videos, of which poseval would score only the first."""
    if integer_ids([image.get("id") for image in images]) is None or not all(
        isinstance(image.get("file_name"), str) for image in images
    ):
        wrong = (
            k
            for k, image in enumerate(images)
            if integer_ids([image.get("id")]) is None or not isinstance(image.get("file_name"), str)
        )
        k = next(wrong, 0)
        raise InputError(f"{path}: images[{k}] needs an integer 'id' and a 'file_name'")
    if len({image["id"] for image in images}) != len(images):
        raise InputError(f"{path}: two entries of 'images' have the same id; every frame needs its own")
    names = [image["file_name"] for image in images]
    folders = list(dict.fromkeys(name.rpartition("/")[0] for name in names))
    if len(folders) > 1:
        raise InputError(
            f"{path} contains frames of {len(folders)} videos ({folders[0]}, {folders[1]}, ...); "
            "write one file for each video"
        )
    return names


def _people_in_frame_order(
    path: Path, content: Mapping[str, Any], frame_names: list[str]
) -> tuple[Rows, list[Person]]:
    """The annotations of the listed images in frame order; within a frame, in the order of the file."""
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        raise InputError(f"{path} is not a PoseTrack18 file: it has no list 'annotations'")
    frame_of = {image["id"]: k for k, image in enumerate(content["images"])}
    for k, person in enumerate(annotations):
        if not isinstance(person.get("image_id"), int | float):
            raise InputError(f"{path}: annotations[{k}] needs a number as 'image_id', the 'id' of its image")
    frame = np.array([frame_of.get(person["image_id"], -1) for person in annotations], np.int64)
    order = np.argsort(frame, kind="stable")
    order = order[frame[order] >= 0]
    rows = rows_in_frame_order(path, frame_names, frame[order])
    return rows, [annotations[k] for k in order.tolist()]


def _numbers(rows: Rows, people: Sequence[Person], key: str, length: int) -> FloatArray:
    """(N, length) from the list `key` of every person; InputError names the first person whose list is wrong."""

    def is_valid(person: Person) -> bool:
        values = person.get(key)
        return (
            isinstance(values, list)
            and len(values) == length
            and all(isinstance(value, (int, float)) and np.isfinite(value) for value in values)
        )

    try:
        numbers = np.fromiter(chain.from_iterable([person[key] for person in people]), np.float64)
        are_valid = all(len(person[key]) == length for person in people) and bool(np.isfinite(numbers).all())
    except (KeyError, TypeError, ValueError, OverflowError):
        are_valid = False
    if not are_valid:
        rows.fail_first(people, is_valid, f"needs '{key}' as a list of {length} finite numbers")
    return numbers.reshape(len(people), length)


def _scores(rows: Rows, people: Sequence[Person], keypoint_count: int) -> FloatArray:
    """(N, K); NO_SCORE for people whose `scores` are missing or empty."""
    scored = np.array([bool(person.get("scores")) for person in people], bool)
    scores = np.full((len(people), keypoint_count), NO_SCORE)
    subset = [people[k] for k in np.flatnonzero(scored).tolist()]
    scores[scored] = _numbers(rows[scored], subset, "scores", keypoint_count)
    return scores


def _integer_frame(rows: Rows, people: Sequence[Person]) -> BoolArray:
    """(N,): every keypoint number of the person's frame, of all its people, is a JSON integer."""
    is_integer = [all(isinstance(value, int) for value in person["keypoints"]) for person in people]
    others = np.bincount(rows.frame[~np.array(is_integer, bool)], minlength=len(rows.frame_names))
    found: BoolArray = others[rows.frame] == 0
    return found


def _head_boxes(rows: Rows, people: Sequence[Person]) -> FloatArray:
    """(N, 4) x1 y1 x2 y2; NaN for people without `bbox_head`."""
    boxed = np.array(["bbox_head" in person for person in people], bool)
    subset = [people[k] for k in np.flatnonzero(boxed).tolist()]
    xywh = _numbers(rows[boxed], subset, "bbox_head", 4)
    boxes = np.full((len(people), 4), np.nan)
    boxes[boxed] = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return boxes


def _ignore_regions(rows: Rows, images: Sequence[Mapping[str, Any]]) -> dict[int, list[FloatArray]]:
    regions: dict[int, list[FloatArray]] = {}
    for k, image in enumerate(images):
        xs, ys = image.get("ignore_regions_x") or [], image.get("ignore_regions_y") or []
        try:
            if [len(x) for x in xs] != [len(y) for y in ys]:
                rows.fail_frame(k, "ignore_regions_x and ignore_regions_y differ in length")
            polygons: list[FloatArray] = [np.array([x, y], np.float64).T for x, y in zip(xs, ys, strict=True)]
        except (TypeError, ValueError, OverflowError):
            rows.fail_frame(k, "ignore_regions_x and ignore_regions_y must be lists of lists of numbers")
        if polygons:
            regions[k] = polygons
    check_regions(rows, regions)
    return regions
