"""Read tracks.json (or any PoseTrack18 file) back into records; every fault is named with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import load_json
from posetrack_app.formats.tracks import SCHEMA_VERSION
from posetrack_app.formats.validate import find_info_faults
from posetrack_app.records import ORIGINS, FloatArray, TrackedPoses
from posetrack_app.skeleton import COCO, POSETRACK, Skeleton


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """One frame of a tracks file: its index and time in the video, and its people.

    `camera_motion` and `is_cut` are as in `records.Frame`.
    """

    index: int
    seconds: float
    tracked: TrackedPoses
    file_name: str
    camera_motion: FloatArray | None = None
    is_cut: bool = False


@dataclass(frozen=True)
class Tracks:
    """A whole tracks file; `frames` are in order of their index, empty ones too."""

    path: Path
    info: Mapping[str, Any]
    skeleton: Skeleton
    frames: Sequence[TrackedFrame]

    @property
    def ids(self) -> list[int]:
        """Every identity, rising."""
        return sorted({int(track_id) for frame in self.frames for track_id in frame.tracked.ids})


def read_tracks(path: Path) -> Tracks:
    """The tracks in a file that `posetrack run` wrote, or in a plain PoseTrack18 file.

    In a plain file the frames count from 0 at 25 a second, and missing scores are 1.
    Raises InputError naming the file, the frame and the person for what is wrong.
    """
    return tracks_of(path, load_json(path))


def tracks_of(path: Path, content: Any, *, with_ids: bool = True) -> Tracks:
    """The tracks in a parsed file; without `with_ids` every id is 0, whatever `track_id` says or lacks."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise InputError(f"{path}: not a tracks file: it has no list 'images'")
    if not isinstance(content.get("annotations"), list):
        raise InputError(f"{path}: not a tracks file: it has no list 'annotations'")
    info = content.get("info", {})
    if not isinstance(info, dict):
        raise InputError(f"{path}: 'info' must be an object")
    version = info.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: has schema version {version!r}, this posetrack reads {SCHEMA_VERSION} or older; update it"
        )
    for fault in find_info_faults(info):  # written files carry it on
        raise InputError(f"{path}: {fault}")
    skeleton = _skeleton(path, content.get("categories"))
    rate = frame_rate_of(info) or 25.0
    people: dict[int, list[Mapping[str, Any]]] = {}
    images = [_image(path, place, entry, rate) for place, entry in enumerate(content["images"])]
    for image in images:
        if image.id in people:
            raise InputError(f"{path}: two images have the id {image.id}")
        people[image.id] = []
    for place, person in enumerate(content["annotations"]):
        if not isinstance(person, dict) or _hashable(person.get("image_id")) not in people:
            raise InputError(f"{path}: annotations[{place}]: its 'image_id' is not the id of an image")
        people[person["image_id"]].append(person)
    frames = [
        TrackedFrame(
            image.index,
            image.seconds,
            _tracked(path, image.index, people[image.id], skeleton, with_ids),
            image.file_name,
            image.camera_motion,
            image.is_cut,
        )
        for image in images
    ]
    return Tracks(path, info, skeleton, in_order(path, frames))


def in_order(path: Path, frames: Iterable[TrackedFrame]) -> list[TrackedFrame]:
    """The frames of a file by rising index.

    Raises InputError where an index comes twice, or a frame is not later than the one before; times within a
    microsecond, which is all that is written of them, are one.
    """
    rising = sorted(frames, key=lambda frame: frame.index)
    for one, other in pairwise(rising):
        if one.index == other.index:
            raise InputError(f"{path}: two images have the frame_index {one.index}")
        if round(other.seconds, 6) <= round(one.seconds, 6):
            raise InputError(
                f"{path}: frame {other.index}: its 'seconds' ({other.seconds:g}) are not later than those of "
                f"frame {one.index} ({one.seconds:g}); correct them"
            )
    return rising


def frame_rate_of(info: Mapping[str, Any]) -> float | None:
    """Frames a second by `info.video`, None where it does not say."""
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
        f"{path}: 'categories' must hold one entry with the 17 'keypoints' of PoseTrack18 or COCO in order"
    )


@dataclass(frozen=True, eq=False)
class _Image:
    """An entry of `images`."""

    id: int
    index: int
    seconds: float
    file_name: str
    camera_motion: FloatArray | None
    is_cut: bool


def _image(path: Path, place: int, image: Any, rate: float) -> _Image:
    where = f"{path}: images[{place}]"
    if not isinstance(image, dict) or not _is_integer(image.get("id")):
        raise InputError(f"{where} needs an integer 'id'")
    index = image.get("frame_index", place)
    if not _is_integer(index) or index < 0:
        raise InputError(f"{where}: 'frame_index' must be an integer from 0, got {index!r}")
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
    return _Image(
        image["id"],
        index,
        float(seconds),
        str(image.get("file_name", f"{index:06d}.jpg")),
        None if motion is None else np.array(motion, np.float64).reshape(2, 3),
        is_cut,
    )


def _tracked(
    path: Path, index: int, people: Sequence[Mapping[str, Any]], skeleton: Skeleton, with_ids: bool
) -> TrackedPoses:
    """One frame's annotations as columns."""
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
    # A PoseTrack18 file of ground truth has no scores: what is labelled counts fully.
    given = column(
        lambda person: _numbers(person, "scores", count) if person.get("scores") else [np.nan] * count, count
    )
    scores = np.where(np.isnan(given), (triples[..., 2] > 0).astype(np.float64), given)
    scores[(triples == 0).all(axis=2)] = 0.0  # absent, whatever score a file gives it
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
    )


def _track_id(person: Mapping[str, Any]) -> int:
    track_id = person.get("track_id")
    if not _is_integer(track_id) or not 0 <= track_id < 2**53:
        raise ValueError(f"'track_id' must be an integer from 0, got {track_id!r}")
    return int(track_id)


def _origin(person: Mapping[str, Any]) -> int:
    origin = person.get("origin", ORIGINS[0])
    if origin not in ORIGINS:
        raise ValueError(f"'origin' must be one of {', '.join(ORIGINS)}, got {origin!r}")
    return ORIGINS.index(origin)


def _keypoint_origins(person: Mapping[str, Any], count: int) -> Sequence[int]:
    """One a keypoint; the person's where the file does not say."""
    origins = person.get("keypoint_origins")
    if origins is None:
        return [_origin(person)] * count
    if not isinstance(origins, list) or len(origins) != count or not all(name in ORIGINS for name in origins):
        raise ValueError(f"'keypoint_origins' must be a list of {count}, each of {', '.join(ORIGINS)}")
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
    """The box as x1 y1 x2 y2; around the labelled keypoints where the file gives none."""
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


def _hashable(value: Any) -> Any:
    return value if _is_integer(value) else None
