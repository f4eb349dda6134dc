"""The operations: each takes a table of tracks and gives a new one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import EDITED, IntArray
from posetrack_app.core.words import counted
from posetrack_app.formats.edits_json.edit import Edit
from posetrack_app.pipeline.editing.table import TrackTable


def apply_edit(table: TrackTable, edit: Edit) -> TrackTable:
    """The table after one edit; `table` stays as it is.

    Smoothed keypoints follow at once, but smoothing and gap filling run again only in `refine_changed`. Raises
    InputError, one line, if the edit does not fit the tracks.
    """
    _check_frames(table, edit)
    return _OPERATIONS[edit.op](table, edit)


def smallest_unused_id(table: TrackTable) -> int:
    """The smallest id from 1 that no row has, not even a deleted one."""
    used = set(np.unique(table.people.ids).tolist())
    return next(number for number in range(1, len(used) + 2) if number not in used)


def _swap(table: TrackTable, edit: Edit) -> TrackTable:
    one, other = edit.ids
    for number in edit.ids:
        _check_known(table, number)
    rows = [table.rows_with_deleted(number, edit.first, edit.last) for number in edit.ids]
    if not len(rows[0]) and not len(rows[1]):
        raise InputError(f"{edit}: neither of them is seen there; choose frames in which one of them is")
    return _with_ids(_with_ids(table, rows[0], other), rows[1], one)


def _merge(table: TrackTable, edit: Edit) -> TrackTable:
    kept = edit.ids[0]
    _check_known(table, kept)
    for number in edit.ids[1:]:
        _rows_in(table, edit, number)
        _check_apart(table, edit, kept, number)
        table = _with_ids(table, table.rows_with_deleted(number, edit.first, edit.last), kept)
    return table


def _split(table: TrackTable, edit: Edit) -> TrackTable:
    number, start = edit.ids[0], edit.first
    assert start is not None
    _rows_in(table, edit, number)
    if not len(table.rows_of(number, last=start - 1)):
        raise InputError(
            f"{edit}: person {number} is not seen before frame {start}, so there is nothing to split"
        )
    new = edit.ids[1] if len(edit.ids) > 1 else smallest_unused_id(table)
    _check_unused(table, edit, new)
    return _with_ids(table, table.rows_with_deleted(number, start), new)


def _delete(table: TrackTable, edit: Edit) -> TrackTable:
    is_deleted = table.is_deleted.copy()
    for number in edit.ids:
        is_deleted[_rows_in(table, edit, number)] = True
    return replace(table, is_deleted=is_deleted)


def _rename(table: TrackTable, edit: Edit) -> TrackTable:
    old, new = edit.ids
    _rows_in(table, edit, old)
    _check_unused(table, edit, new)
    return _with_ids(table, table.rows_with_deleted(old, edit.first, edit.last), new)


def _exchange_sides(table: TrackTable, edit: Edit) -> TrackTable:
    rows = _rows_in(table, edit, edit.ids[0])
    other = list(table.skeleton.mirrored)
    changed = {}
    for name in ("keypoints", "keypoint_scores", "keypoint_origins", "smoothed_keypoints"):
        column = getattr(table.people, name).copy()
        column[rows] = column[rows][:, other]
        changed[name] = column
    return table.with_people(**changed, origins=_edited(table, rows))


def _move_keypoint(table: TrackTable, edit: Edit) -> TrackTable:
    assert edit.xy is not None
    return _place_keypoint(table, edit, edit.xy, 1.0)


def _hide_keypoint(table: TrackTable, edit: Edit) -> TrackTable:
    return _place_keypoint(table, edit, (0.0, 0.0), 0.0)


def _confirm(table: TrackTable, edit: Edit) -> TrackTable:
    for number in edit.ids:
        _check_known(table, number)
    return table


_OPERATIONS = {
    "swap": _swap,
    "merge": _merge,
    "split": _split,
    "delete": _delete,
    "rename": _rename,
    "exchange_sides": _exchange_sides,
    "move_keypoint": _move_keypoint,
    "hide_keypoint": _hide_keypoint,
    "confirm": _confirm,
}


def _place_keypoint(table: TrackTable, edit: Edit, xy: tuple[float, float], score: float) -> TrackTable:
    """Put a keypoint at `xy` with `score`; score 0 at 0, 0 is a missing keypoint."""
    rows = _rows_in(table, edit, edit.ids[0])
    if edit.keypoint not in table.skeleton.keypoints:
        names = ", ".join(table.skeleton.keypoints)
        raise InputError(f"{edit}: there is no keypoint '{edit.keypoint}'; choose one of {names}")
    keypoint = table.skeleton.keypoints.index(edit.keypoint)
    values: dict[str, Any] = {
        "keypoints": xy, "smoothed_keypoints": xy, "keypoint_scores": score, "keypoint_origins": EDITED
    }  # fmt: skip
    changed = {}
    for name, value in values.items():
        column = getattr(table.people, name).copy()
        column[rows, keypoint] = value
        changed[name] = column
    return table.with_people(**changed, origins=_edited(table, rows))


def _with_ids(table: TrackTable, rows: IntArray, number: int) -> TrackTable:
    ids = table.people.ids.copy()
    ids[rows] = number
    return table.with_people(ids=ids, origins=_edited(table, rows))


def _edited(table: TrackTable, rows: IntArray) -> IntArray:
    origins = table.people.origins.copy()
    origins[rows] = EDITED
    return origins


def _rows_in(table: TrackTable, edit: Edit, number: int) -> IntArray:
    """The rows of a person in the span of the edit; InputError if there are none."""
    _check_known(table, number)
    rows = table.rows_of(number, edit.first, edit.last)
    if not len(rows):
        seen = table.frames[table.rows_of(number)]
        raise InputError(f"{edit}: person {number} is not seen there, only in frames {seen[0]} to {seen[-1]}")
    return rows


def _check_known(table: TrackTable, number: int) -> None:
    if not len(table.rows_of(number)):
        raise InputError(f"there is no person with id {number}; the tracks have {_some(table.ids)}")


def _check_unused(table: TrackTable, edit: Edit, number: int) -> None:
    if len(rows := table.rows_of(number)):
        seen = table.frames[rows]
        raise InputError(
            f"{edit}: id {number} is another person, seen in frames {seen[0]} to {seen[-1]}; "
            "merge the two, swap them, or choose another id"
        )


def _check_apart(table: TrackTable, edit: Edit, kept: int, number: int) -> None:
    """Two people who are seen in the same frame cannot be one."""
    one = table.frames[table.rows_of(kept)]
    other = table.frames[table.rows_of(number, edit.first, edit.last)]
    both = np.intersect1d(one, other)
    if len(both):
        raise InputError(
            f"{edit}: {kept} and {number} are both seen in {counted(len(both), 'frame')} ({_spans(both)}), "
            "so they are two people; delete or swap one of them there first"
        )


def _check_frames(table: TrackTable, edit: Edit) -> None:
    if not table.infos:
        raise InputError(f"{edit}: the tracks have no frames")
    start, end = table.infos[0].index, table.infos[-1].index
    for frame in (edit.first, edit.last):
        if frame is not None and not start <= frame <= end:
            raise InputError(f"{edit}: there is no frame {frame}; the tracks have frames {start} to {end}")


def _spans(frames: IntArray) -> str:
    """Such as "12 to 15, 40": at most three runs of consecutive frames."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    texts = [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:3]]
    return ", ".join(texts) + (", ..." if len(runs) > 3 else "")


def _some(ids: list[int]) -> str:
    return "no people" if not ids else f"{', '.join(map(str, ids[:20]))}{', ...' if len(ids) > 20 else ''}"
