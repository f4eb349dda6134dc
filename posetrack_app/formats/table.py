"""A table with a row for each person in each frame, for pandas, R or a spreadsheet: CSV or Parquet.

Both can be read back: they keep every column, and a frame without people is a row without an id. Parquet also keeps
`info`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_file, write_atomic
from posetrack_app.core.records import ORIGINS, FloatArray, FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import COCO, POSETRACK, Skeleton
from posetrack_app.formats.tracks_json.reader import sorted_by_index
from posetrack_app.formats.tracks_json.tracks import TrackedFrame, Tracks, frame_size_of

_KEYPOINT_ORIGINS = "keypoint_origins"
"""K origins separated by spaces; empty if all are the person's."""
_PERSON_COLUMNS = (
    "frame_index",
    "seconds",
    "file_name",
    "id",
    "origin",
    _KEYPOINT_ORIGINS,
    "score",
    "x1",
    "y1",
    "x2",
    "y2",
)
_KEYPOINT_COLUMNS = ("x", "y", "score", "smoothed_x", "smoothed_y")


def write_csv(tracks: Tracks, path: Path) -> None:
    """Write a CSV with a header, without `info`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns(tracks.skeleton))
    writer.writerows(_rows(tracks))
    write_atomic(path, text.getvalue())


def read_csv(path: Path) -> Tracks:
    """The tracks in a CSV that `write_csv` wrote; InputError names the row of a wrong cell."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel writes a byte order mark
            header, *rows = csv.reader(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{path} is not a CSV file with tracks") from error
    return _tracks(path, header, rows, {})


def write_parquet(tracks: Tracks, path: Path) -> None:
    """Write a Parquet file with `info` in its metadata, under "posetrack"."""
    pyarrow, parquet = _pyarrow()
    columns = list(zip(*_rows(tracks), strict=True)) or [()] * len(_columns(tracks.skeleton))
    types = {
        "frame_index": pyarrow.int64(),
        "id": pyarrow.int64(),
        "file_name": pyarrow.string(),
        "origin": pyarrow.string(),
        _KEYPOINT_ORIGINS: pyarrow.string(),
    }
    arrays = [
        pyarrow.array([None if cell == "" else cell for cell in cells], types.get(name, pyarrow.float64()))
        for name, cells in zip(_columns(tracks.skeleton), columns, strict=True)
    ]
    table = pyarrow.table(dict(zip(_columns(tracks.skeleton), arrays, strict=True)))
    table = table.replace_schema_metadata({"posetrack": json.dumps(dict(tracks.info))})
    with atomic_file(path) as temporary:
        parquet.write_table(table, temporary)


def read_parquet(path: Path) -> Tracks:
    """The tracks in a Parquet file that `write_parquet` wrote; InputError names the row of a wrong cell."""
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} is not a readable Parquet file") from error
    info = json.loads((table.schema.metadata or {}).get(b"posetrack", b"{}"))
    columns = [column.to_pylist() for column in table.columns]
    rows = [["" if cell is None else cell for cell in row] for row in zip(*columns, strict=True)]
    return _tracks(path, table.column_names, rows, info)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'posetrack-app[parquet]'") from error
    return pyarrow, pyarrow.parquet


def _columns(skeleton: Skeleton) -> list[str]:
    return [
        *_PERSON_COLUMNS,
        *(f"{name}_{what}" for name in skeleton.keypoints for what in _KEYPOINT_COLUMNS),
    ]


def _rows(tracks: Tracks) -> list[list[Any]]:
    width = len(_columns(tracks.skeleton))
    rows: list[list[Any]] = []
    for frame in tracks.frames:
        start = [frame.info.index, frame.info.seconds, frame.info.file_name]
        poses = frame.people
        if not len(poses):
            rows.append([*start, *[""] * (width - len(start))])
        keypoints = np.concatenate(
            [poses.keypoints, poses.keypoint_scores[..., None], poses.smoothed_keypoints], axis=2
        )
        for row, track_id in enumerate(poses.ids.tolist()):
            numbers = [poses.scores[row], *poses.boxes[row], *keypoints[row].reshape(-1)]
            words = track_id, ORIGINS[poses.origins[row]], _keypoint_origins(poses, row)
            rows.append([*start, *words, *np.asarray(numbers, np.float64).round(6).tolist()])
    return rows


def _keypoint_origins(poses: TrackedPoses, row: int) -> str:
    origins = poses.keypoint_origins[row]
    return " ".join(ORIGINS[origin] for origin in origins) if (origins != poses.origins[row]).any() else ""


def _tracks(path: Path, header: list[str], rows: Sequence[Sequence[Any]], info: dict[str, Any]) -> Tracks:
    if _KEYPOINT_ORIGINS not in header:  # a file of an older version
        header = [*header[:5], _KEYPOINT_ORIGINS, *header[5:]]
        rows = [[*row[:5], "", *row[5:]] for row in rows]
    skeletons = [skeleton for skeleton in (POSETRACK, COCO) if _columns(skeleton) == list(header)]
    if not skeletons:
        raise InputError(
            f"{path}: its columns are not those of a tracks table; give a file that was converted from tracks"
        )
    skeleton = skeletons[0]
    frames: dict[int, tuple[float, str, list[list[int]], list[FloatArray]]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            if len(row) != len(header):
                raise ValueError
            index, seconds, numbers = _integer(row[0]), float(row[1]), np.zeros(0)
            _, _, labels, people = frames.setdefault(index, (seconds, str(row[2]), [], []))
            if row[3] != "":
                labels.append([_integer(row[3]), *_origins(row[4], str(row[5]), len(skeleton.keypoints))])
                people.append(numbers := np.array(row[6:], np.float64))
            if index < 0 or not np.isfinite([seconds, *numbers]).all():
                raise ValueError
        except (ValueError, OverflowError) as error:
            raise InputError(
                f"{path}: row {number}: a cell is empty, is not the number that belongs there, or is not an origin"
            ) from error
        ids = [label[0] for label in labels]
        if ids and (not 0 <= ids[-1] < 2**53 or ids[-1] in ids[:-1]):
            what = f"occurs twice in frame {index}" if ids[-1] in ids[:-1] else "is not from 0 to 2^53"
            raise InputError(f"{path}: row {number}: the id {ids[-1]} {what}; give every person their own id")
    read = [
        TrackedFrame(FrameInfo(index, seconds, frame_size_of(info), name), _tracked(labels, people, skeleton))
        for index, (seconds, name, labels, people) in frames.items()
    ]
    return Tracks(path, info, skeleton, sorted_by_index(path, read))


def _integer(cell: Any) -> int:
    """The integer in a cell, which pandas writes as 7.0 if other cells of the column are empty; ValueError for others."""
    if isinstance(cell, str) and cell.lstrip("-").isdecimal():
        return int(cell)
    if not float(cell).is_integer():
        raise ValueError
    return int(float(cell))


def _origins(person: str, keypoints: str, count: int) -> list[int]:
    """Origins of the person and of `count` keypoints; ValueError if one is unknown."""
    origins = [ORIGINS.index(origin) for origin in (person, *(keypoints.split() or [person] * count))]
    if len(origins) != 1 + count:
        raise ValueError
    return origins


def _tracked(labels: list[list[int]], people: list[FloatArray], skeleton: Skeleton) -> TrackedPoses:
    """People from their id, origin and keypoint origins (`labels`), and their other cells."""
    count = len(skeleton.keypoints)
    integers = np.array(labels, np.int64).reshape(len(people), 2 + count)
    numbers = np.array(people, np.float64).reshape(len(people), 5 + 5 * count)
    keypoints = numbers[:, 5:].reshape(len(people), count, 5)
    return TrackedPoses(
        boxes=numbers[:, 1:5],
        scores=numbers[:, 0],
        keypoints=keypoints[..., :2],
        keypoint_scores=keypoints[..., 2],
        ids=integers[:, 0],
        smoothed_keypoints=keypoints[..., 3:],
        origins=integers[:, 1].astype(np.int8),
        keypoint_origins=integers[:, 2:].astype(np.int8),
        appearance=np.zeros((len(people), 0)),
    )
