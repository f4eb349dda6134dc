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
from posetrack_app.formats.tracks_reader import TrackedFrame, Tracks
from posetrack_app.formats.whole import whole_file, write_whole
from posetrack_app.records import ORIGINS, FloatArray, TrackedPoses
from posetrack_app.skeleton import COCO, POSETRACK, Skeleton

_BEFORE = ("frame_index", "seconds", "file_name", "id", "origin", "score", "x1", "y1", "x2", "y2")
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
        with path.open(newline="", encoding="utf-8") as file:
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
            said = track_id, ORIGINS[poses.origins[row]]
            rows.append([*start, *said, *np.asarray(numbers, np.float64).round(6).tolist()])
    return rows


def _tracks(path: Path, header: list[str], rows: Sequence[Sequence[Any]], info: dict[str, Any]) -> Tracks:
    skeletons = [skeleton for skeleton in (POSETRACK, COCO) if _columns(skeleton) == list(header)]
    if not skeletons:
        raise InputError(
            f"{path}: its columns are not those of tracks; start from `posetrack convert --to csv`"
        )
    skeleton = skeletons[0]
    frames: dict[int, tuple[float, str, list[tuple[int, int]], list[FloatArray]]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            if len(row) != len(header):
                raise ValueError
            _, _, said, people = frames.setdefault(int(row[0]), (float(row[1]), str(row[2]), [], []))
            if row[3] != "":
                said.append((int(row[3]), ORIGINS.index(row[4])))
                people.append(np.array(row[5:], np.float64))
        except ValueError as error:
            raise InputError(f"{path}: row {number}: a cell is empty, no number or no origin") from error
    return Tracks(
        path,
        info,
        skeleton,
        [
            TrackedFrame(index, seconds, _tracked(said, people, skeleton), name)
            for index, (seconds, name, said, people) in sorted(frames.items())
        ],
    )


def _tracked(said: list[tuple[int, int]], people: list[FloatArray], skeleton: Skeleton) -> TrackedPoses:
    """`said` are each person's id and origin."""
    ids, origins = np.array(said, np.int64).reshape(-1, 2).T
    count = len(skeleton.keypoints)
    table = np.array(people, np.float64).reshape(len(people), 5 + 5 * count)
    of_keypoint = table[:, 5:].reshape(len(people), count, 5)
    return TrackedPoses(
        boxes=table[:, 1:5],
        scores=table[:, 0],
        keypoints=of_keypoint[..., :2],
        keypoint_scores=of_keypoint[..., 2],
        ids=ids,
        smoothed_keypoints=of_keypoint[..., 3:],
        origins=origins.astype(np.int8),
    )
