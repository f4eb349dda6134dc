"""A list of edits, applied in order."""

from __future__ import annotations

from collections.abc import Iterable

from posetrack_app.core.errors import InputError
from posetrack_app.formats.edits_json.edit import Edit
from posetrack_app.pipeline.editing.operations import apply_edit
from posetrack_app.pipeline.editing.table import TrackTable


def apply_edits(table: TrackTable, edits: Iterable[Edit]) -> TrackTable:
    """The table after all edits. Raises InputError that names the first edit that does not fit, counted from 1."""
    for k, edit in enumerate(edits, start=1):
        try:
            table = apply_edit(table, edit)
        except InputError as error:
            raise InputError(f"edit {k}: {error}") from error
    return table


def edit_problem(table: TrackTable, edit: Edit) -> str | None:
    """Why the edit does not fit the tracks, one line; None if it does."""
    try:
        apply_edit(table, edit)
    except InputError as error:
        return str(error)
    return None
