"""One row a person and frame, for pandas, R or a spreadsheet: CSV, or Parquet, which keeps `info` too.

Both keep every column, so they can be read back; a frame without people is a row without an id.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.tracks_reader import TrackedFrame, Tracks, in_order
from posetrack_app.formats.whole import whole_file, write_whole
from posetrack_app.records import ORIGINS, FloatArray, TrackedPoses
from posetrack_app.skeleton import COCO, POSETRACK, Skeleton

_OWN = "keypoint_origins"
"""K origins with spaces between; empty where all keypoints have the person's."""
_BEFORE = ("frame_index", "seconds", "file_name", "id", "origin", _OWN, "score", "x1", "y1", "x2", "y2")
_OF_KEYPOINT = ("x", "y", "score", "smoothed_x", "smoothed_y")


def write_csv(tracks: Tracks, path: Path) -> None:
    """Write a CSV with a header; `info` is left out."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns(tracks.skeleton))
    writer.writerows(_rows(tracks))
    write_whole(path, text.getvalue())


def read_csv(path: Path) -> Tracks:
    """Tracks from a CSV that `write_csv` wrote."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel puts a mark first
            header, *rows = csv.reader(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{path}: not a CSV file of tracks") from error
    return _tracks(path, header, rows, {})


def write_parquet(tracks: Tracks, path: Path) -> None:
    """Write a Parquet file; `info` is in its metadata under "posetrack"."""
    pyarrow, parquet = _pyarrow()
    columns = list(zip(*_rows(tracks), strict=True)) or [()] * len(_columns(tracks.skeleton))
    kinds = {
        "frame_index": pyarrow.int64(),
        "id": pyarrow.int64(),
        "file_name": pyarrow.string(),
        "origin": pyarrow.string(),
        _OWN: pyarrow.string(),
    }
    arrays = [
        pyarrow.array([None if cell == "" else cell for cell in cells], kinds.get(name, pyarrow.float64()))
        for name, cells in zip(_columns(tracks.skeleton), columns, strict=True)
    ]
    table = pyarrow.table(dict(zip(_columns(tracks.skeleton), arrays, strict=True)))
    table = table.replace_schema_metadata({"posetrack": json.dumps(dict(tracks.info))})
    with whole_file(path) as temporary:
        parquet.write_table(table, temporary)


def read_parquet(path: Path) -> Tracks:
    """Tracks from a Parquet file that `write_parquet` wrote."""
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet file") from error
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
    return [*_BEFORE, *(f"{name}_{what}" for name in skeleton.keypoints for what in _OF_KEYPOINT)]


def _rows(tracks: Tracks) -> list[list[Any]]:
    width = len(_columns(tracks.skeleton))
    rows: list[list[Any]] = []
    for frame in tracks.frames:
        start = [frame.index, frame.seconds, frame.file_name]
        poses = frame.tracked
        if not len(poses):
            rows.append([*start, *[""] * (width - len(start))])
        of_keypoint = np.concatenate(
            [poses.keypoints, poses.keypoint_scores[..., None], poses.smoothed_keypoints], axis=2
        )
        for row, track_id in enumerate(poses.ids.tolist()):
            numbers = [poses.scores[row], *poses.boxes[row], *of_keypoint[row].reshape(-1)]
            said = track_id, ORIGINS[poses.origins[row]], _own_origins(poses, row)
            rows.append([*start, *said, *np.asarray(numbers, np.float64).round(6).tolist()])
    return rows


def _own_origins(poses: TrackedPoses, row: int) -> str:
    own = poses.keypoint_origins[row]
    return " ".join(ORIGINS[origin] for origin in own) if (own != poses.origins[row]).any() else ""


def _tracks(path: Path, header: list[str], rows: Sequence[Sequence[Any]], info: dict[str, Any]) -> Tracks:
    if _OWN not in header:  # written before keypoints had origins of their own
        header = [*header[:5], _OWN, *header[5:]]
        rows = [[*row[:5], "", *row[5:]] for row in rows]
    skeletons = [skeleton for skeleton in (POSETRACK, COCO) if _columns(skeleton) == list(header)]
    if not skeletons:
        raise InputError(
            f"{path}: its columns are not those of tracks; start from `posetrack convert --to csv`"
        )
    skeleton = skeletons[0]
    frames: dict[int, tuple[float, str, list[list[int]], list[FloatArray]]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            if len(row) != len(header):
                raise ValueError
            index, seconds, numbers = _whole(row[0]), float(row[1]), np.zeros(0)
            _, _, said, people = frames.setdefault(index, (seconds, str(row[2]), [], []))
            if row[3] != "":
                said.append([_whole(row[3]), *_origins(row[4], str(row[5]), len(skeleton.keypoints))])
                people.append(numbers := np.array(row[6:], np.float64))
            if index < 0 or not np.isfinite([seconds, *numbers]).all():
                raise ValueError
        except (ValueError, OverflowError) as error:
            raise InputError(
                f"{path}: row {number}: a cell is empty, no number as it should be there, or no origin"
            ) from error
        ids = [who[0] for who in said]
        if ids and (not 0 <= ids[-1] < 2**53 or ids[-1] in ids[:-1]):
            what = f"is twice in frame {index}" if ids[-1] in ids[:-1] else "is not from 0 to 2^53"
            raise InputError(f"{path}: row {number}: the id {ids[-1]} {what}; give every person his own")
    read = [
        TrackedFrame(index, seconds, _tracked(said, people, skeleton), name)
        for index, (seconds, name, said, people) in frames.items()
    ]
    return Tracks(path, info, skeleton, in_order(path, read))


def _whole(cell: Any) -> int:
    """The whole number in a cell, which pandas writes as 7.0 where other cells are empty; ValueError if it is none."""
    if isinstance(cell, str) and cell.lstrip("-").isdecimal():
        return int(cell)
    if not float(cell).is_integer():
        raise ValueError
    return int(float(cell))


def _origins(said: str, own: str, count: int) -> list[int]:
    """The person's origin and those of `count` keypoints; ValueError where one is none."""
    origins = [ORIGINS.index(origin) for origin in (said, *(own.split() or [said] * count))]
    if len(origins) != 1 + count:
        raise ValueError
    return origins


def _tracked(said: list[list[int]], people: list[FloatArray], skeleton: Skeleton) -> TrackedPoses:
    """`said` are each person's id, origin, and keypoints' origins."""
    count = len(skeleton.keypoints)
    numbers = np.array(said, np.int64).reshape(len(people), 2 + count)
    table = np.array(people, np.float64).reshape(len(people), 5 + 5 * count)
    of_keypoint = table[:, 5:].reshape(len(people), count, 5)
    return TrackedPoses(
        boxes=table[:, 1:5],
        scores=table[:, 0],
        keypoints=of_keypoint[..., :2],
        keypoint_scores=of_keypoint[..., 2],
        ids=numbers[:, 0],
        smoothed_keypoints=of_keypoint[..., 3:],
        origins=numbers[:, 1].astype(np.int8),
        keypoint_origins=numbers[:, 2:].astype(np.int8),
    )
