"""Read tracks.json or any PoseTrack18 file into records; errors name the wrong entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json
from posetrack_app.core.records import ORIGINS, FloatArray, FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import COCO, POSETRACK, Skeleton
from posetrack_app.formats.tracks_json.tracks import TrackedFrame, Tracks, frame_size_of, size_in
from posetrack_app.formats.tracks_json.validate import find_info_faults
from posetrack_app.formats.tracks_json.version import SCHEMA_VERSION, upgraded


def read_tracks(path: Path) -> Tracks:
    """The tracks in a file that `posetrack run` wrote, or in a plain PoseTrack18 file.

    In a plain file, frames count from 0 at 25 per second, and missing scores are 1.
    Raises InputError naming the file, the frame and the person.
    """
    return parse_tracks(path, load_json(path))


def parse_tracks(path: Path, content: Any, *, with_ids: bool = True) -> Tracks:
    """The tracks in a parsed file; without `with_ids`, `track_id` is ignored and all ids are 0."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise InputError(f"{path} is not a tracks file: it has no list 'images'")
    if not isinstance(content.get("annotations"), list):
        raise InputError(f"{path} is not a tracks file: it has no list 'annotations'")
    info = content.get("info", {})
    if not isinstance(info, dict):
        raise InputError(f"{path}: 'info' must be an object")
    version = info.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version!r}; this posetrack reads up to {SCHEMA_VERSION}, so update posetrack"
        )
    info = upgraded(info)
    for fault in find_info_faults(info):  # `info` is copied into files that are written from this one
        raise InputError(f"{path}: {fault}")
    skeleton = _skeleton(path, content.get("categories"))
    rate = frame_rate_of(info) or 25.0
    people: dict[int, list[Mapping[str, Any]]] = {}
    size = frame_size_of(info)
    images = [_image(path, k, entry, rate, size) for k, entry in enumerate(content["images"])]
    for number, _ in images:
        if number in people:
            raise InputError(f"{path}: two images have the id {number}")
        people[number] = []
    for k, person in enumerate(content["annotations"]):
        if not isinstance(person, dict) or _integer_or_none(person.get("image_id")) not in people:
            raise InputError(f"{path}: annotations[{k}]: its 'image_id' is not the id of an image")
        people[person["image_id"]].append(person)
    frames = [
        TrackedFrame(image, _tracked(path, image.index, people[number], skeleton, with_ids))
        for number, image in images
    ]
    return Tracks(path, info, skeleton, sorted_by_index(path, frames))


def sorted_by_index(path: Path, frames: Iterable[TrackedFrame]) -> list[TrackedFrame]:
    """The frames of a file, sorted by index.

    Raises InputError if an index occurs twice, or if a frame is not later than the one before. Times are compared as
    they are written, in microseconds.
    """
    rising = sorted(frames, key=lambda frame: frame.info.index)
    for one, other in pairwise(rising):
        if one.info.index == other.info.index:
            raise InputError(f"{path}: two images have the frame_index {one.info.index}")
        if round(other.info.seconds, 6) <= round(one.info.seconds, 6):
            raise InputError(
                f"{path}: frame {other.info.index}: its 'seconds' ({other.info.seconds:g}) must be later than those of "
                f"frame {one.info.index} ({one.info.seconds:g})"
            )
    return rising


def frame_rate_of(info: Mapping[str, Any]) -> float | None:
    """Frames per second from `info.video`; None if it does not say."""
    video = info.get("video")
    rate = video.get("frame_rate") if isinstance(video, dict) else None
    return float(rate) if _is_number(rate) and rate > 0 else None


def _skeleton(path: Path, categories: Any) -> Skeleton:
    first = categories[0] if isinstance(categories, list) and categories else None
    names = first.get("keypoints") if isinstance(first, dict) else None
    for known in (POSETRACK, COCO):
        if names == list(known.keypoints):
            return known
    raise InputError(
        f"{path}: 'categories' must have one entry with the 17 'keypoints' of PoseTrack18 or COCO in their order"
    )


def _image(path: Path, k: int, image: Any, rate: float, size: tuple[int, int]) -> tuple[int, FrameInfo]:
    """The id and the frame of entry `k` of `images`."""
    where = f"{path}: images[{k}]"
    if not isinstance(image, dict) or not _is_integer(image.get("id")):
        raise InputError(f"{where} needs an integer 'id'")
    index = image.get("frame_index", k)
    if not _is_integer(index) or index < 0:
        raise InputError(f"{where}: 'frame_index' must be an integer of 0 or more, got {index!r}")
    seconds = image.get("seconds", index / rate)
    if not _is_number(seconds):
        raise InputError(f"{where} (frame {index}): 'seconds' must be a number, got {seconds!r}")
    motion, is_cut = image.get("camera_motion"), image.get("cut", False)
    if motion is not None and not (
        isinstance(motion, list) and len(motion) == 6 and all(_is_number(x) for x in motion)
    ):
        raise InputError(f"{where} (frame {index}): 'camera_motion' must be a list of 6 numbers")
    if not isinstance(is_cut, bool):
        raise InputError(f"{where} (frame {index}): 'cut' must be true or false, got {is_cut!r}")
    return image["id"], FrameInfo(
        index,
        float(seconds),
        size_in(image) if size_in(image) != (0, 0) else size,
        str(image.get("file_name", f"{index:06d}.jpg")),
        None if motion is None else np.array(motion, np.float64).reshape(2, 3),
        is_cut,
    )


def _tracked(
    path: Path, index: int, people: Sequence[Mapping[str, Any]], skeleton: Skeleton, with_ids: bool
) -> TrackedPoses:
    """The annotations of one frame as columns."""
    count = len(skeleton.keypoints)

    def column(read: Callable[[Mapping[str, Any]], Sequence[float]], width: int) -> FloatArray:
        rows: list[Sequence[float]] = []
        for person in people:
            try:
                rows.append(read(person))
            except ValueError as error:
                name = person.get("track_id", "without id")
                raise InputError(f"{path}: frame {index}, person {name}: {error}") from error
        return np.array(rows, np.float64).reshape(len(people), width)

    ids = np.zeros(len(people), np.int64)
    if with_ids:
        ids = column(lambda person: [_track_id(person)], 1)[:, 0].astype(np.int64)
    unique, counts = np.unique(ids, return_counts=True)
    if with_ids and (counts > 1).any():
        raise InputError(f"{path}: frame {index}: two people have the track_id {unique[counts > 1][0]}")
    keypoints = column(lambda person: _numbers(person, "keypoints", 3 * count), 3 * count)
    triples = keypoints.reshape(len(people), count, 3)
    smoothed = column(
        lambda person: _numbers(
            person, "keypoints_smoothed" if "keypoints_smoothed" in person else "keypoints", 3 * count
        ),
        3 * count,
    ).reshape(len(people), count, 3)
    # PoseTrack18 ground truth has no scores: a labelled keypoint gets 1.
    stored = column(
        lambda person: _numbers(person, "scores", count) if person.get("scores") else [np.nan] * count, count
    )
    scores = np.where(np.isnan(stored), (triples[..., 2] > 0).astype(np.float64), stored)
    scores[(triples == 0).all(axis=2)] = 0.0  # missing, even if the file has a score for it
    boxes = column(lambda person: _xyxy(person, count), 4)
    return TrackedPoses(
        boxes=boxes,
        scores=column(lambda person: [_number(person, "score", 1.0)], 1)[:, 0],
        keypoints=triples[..., :2],
        keypoint_scores=scores,
        ids=ids,
        smoothed_keypoints=smoothed[..., :2],
        origins=column(lambda person: [_origin(person)], 1)[:, 0].astype(np.int8),
        keypoint_origins=column(lambda person: _keypoint_origins(person, count), count).astype(np.int8),
        appearance=np.zeros((len(people), 0)),
    )


def _track_id(person: Mapping[str, Any]) -> int:
    track_id = person.get("track_id")
    if not _is_integer(track_id) or not 0 <= track_id < 2**53:
        raise ValueError(f"'track_id' must be an integer from 0 to 2^53, got {track_id!r}")
    return int(track_id)


def _origin(person: Mapping[str, Any]) -> int:
    origin = person.get("origin", ORIGINS[0])
    if origin not in ORIGINS:
        raise ValueError(f"'origin' must be one of {', '.join(ORIGINS)}, got {origin!r}")
    return ORIGINS.index(origin)


def _keypoint_origins(person: Mapping[str, Any], count: int) -> Sequence[int]:
    """The origin of each keypoint; that of the person if the file does not say."""
    origins = person.get("keypoint_origins")
    if origins is None:
        return [_origin(person)] * count
    if not isinstance(origins, list) or len(origins) != count or not all(name in ORIGINS for name in origins):
        raise ValueError(f"'keypoint_origins' must be a list of {count}, each one of {', '.join(ORIGINS)}")
    return [ORIGINS.index(name) for name in origins]


def _numbers(person: Mapping[str, Any], key: str, length: int) -> Sequence[float]:
    values = person.get(key)
    if not isinstance(values, list) or len(values) != length or not all(map(_is_number, values)):
        raise ValueError(f"'{key}' must be a list of {length} numbers")
    return values


def _number(person: Mapping[str, Any], key: str, default: float) -> float:
    value = person.get(key, default)
    if not _is_number(value):
        raise ValueError(f"'{key}' must be a number, got {value!r}")
    return float(value)


def _xyxy(person: Mapping[str, Any], count: int) -> list[float]:
    """The box as x1 y1 x2 y2; if the file has none, that around the labelled keypoints."""
    if "bbox" in person:
        x, y, width, height = _numbers(person, "bbox", 4)
        if width < 0 or height < 0:
            raise ValueError("'bbox' (x y width height) has a negative size")
        return [x, y, x + width, y + height]
    triples = np.array(_numbers(person, "keypoints", 3 * count)).reshape(count, 3)
    points = triples[triples[:, 2] > 0, :2]
    if not len(points):
        return [0.0, 0.0, 0.0, 0.0]
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _integer_or_none(value: Any) -> int | None:
    return value if _is_integer(value) else None
