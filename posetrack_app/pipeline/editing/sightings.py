"""Record an edit: where its people were, so that they are found again in tracks of a new run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from posetrack_app.core.records import IntArray
from posetrack_app.formats.edits_json.edit import Edit, Sighting
from posetrack_app.pipeline.editing.operations import apply_edit, smallest_unused_id
from posetrack_app.pipeline.editing.table import TrackTable

_SAMPLES = 5
"""Boxes stored for each person, on each side of the frames where ids change."""
_NEAR_SECONDS = 1.0
"""How far from these frames they are at most."""


def record_edit(table: TrackTable, edit: Edit) -> tuple[Edit, TrackTable]:
    """The edit as it is stored, with its time, the id of a split's second part and sightings; and the table after it.

    `table` is the state before the edit. Raises InputError if the edit does not fit the tracks.
    """
    if edit.op == "split" and len(edit.ids) == 1:
        edit = replace(edit, ids=(*edit.ids, smallest_unused_id(table)))
    changed = apply_edit(table, edit)
    time = edit.time or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return replace(edit, time=time, seen=tuple(_sightings(table, edit))), changed


def _sightings(table: TrackTable, edit: Edit) -> Iterator[Sighting]:
    for number in edit.ids[:1] if edit.op in ("split", "rename") else edit.ids:
        if edit.op in ("swap", "split", "confirm"):
            rows = _near_changes(table, edit, number)
        elif edit.op == "merge" and number == edit.ids[0]:
            rows = _spread(table.rows_of(number))
        else:
            rows = _spread(table.rows_of(number, edit.first, edit.last))
        for row in rows:
            x1, y1, x2, y2 = np.asarray(table.people.boxes[row], np.float64).round(2).tolist()
            box = (x1, y1, round(x2 - x1, 2), round(y2 - y1, 2))
            points: list[float] = []
            if edit.op == "exchange_sides":
                points = np.asarray(table.people.keypoints[row], np.float64).round(1).ravel().tolist()
            yield Sighting(number, int(table.frames[row]), box, tuple(points))


def _near_changes(table: TrackTable, edit: Edit, number: int) -> IntArray:
    """Rows of a person just before and just after the frames where ids change."""
    seconds = {info.index: info.seconds for info in table.infos}
    starts = [edit.first, None if edit.last is None or edit.op == "confirm" else edit.last + 1]
    found: list[IntArray] = [np.zeros(0, np.int64)]
    for start in starts:
        if start is None:
            continue
        before, after = table.rows_of(number, last=start - 1), table.rows_of(number, start)
        for rows, nearest in ((before, -1), (after, 0)):
            if len(rows):
                edge = seconds[int(table.frames[rows[nearest]])]
                at = np.array([seconds[int(frame)] for frame in table.frames[rows]])
                found.append(_spread(rows[np.abs(at - edge) <= _NEAR_SECONDS]))
    if edit.first is None and edit.last is None:
        found.append(_spread(table.rows_of(number)))
    return np.unique(np.concatenate(found))


def _spread(rows: IntArray) -> IntArray:
    """At most `_SAMPLES` rows, evenly over all of them, with the first and the last."""
    if len(rows) <= _SAMPLES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _SAMPLES).round().astype(np.int64)]
