"""Replay edits on tracks of a new run: ids have changed, so people are found by place and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from posetrack_app.core.errors import InputError
from posetrack_app.core.similarity import iou_matrix
from posetrack_app.formats.edits_json.edit import Edit, Sighting
from posetrack_app.pipeline.editing.sightings import record_edit
from posetrack_app.pipeline.editing.table import TrackTable

MIN_IOU = 0.4
"""Least box IoU of a person in the old and in the new tracks."""


@dataclass(frozen=True)
class Replayed:
    """What became of one edit: `new` is the edit of the new tracks, or None for the reason in `note`.

    `fits` is False if a person must look at it again; an edit that is not needed any more fits.
    """

    old: Edit
    new: Edit | None
    fits: bool = True
    note: str = ""

    def __str__(self) -> str:
        if self.new is not None:
            return f"{self.old}: now {self.new}"
        return f"{self.old}: {'not needed' if self.fits else 'no longer fits'}, {self.note}"


class _NotNeededError(Exception):
    """The new tracks are already as the edit would make them."""


def replay_edits(table: TrackTable, edits: Iterable[Edit]) -> tuple[list[Replayed], TrackTable]:
    """What becomes of each edit in the tracks of a new run, and the table after those that apply.

    A person is found where most boxes stored with the edit overlap theirs (IoU of `MIN_IOU` or more, at most one person
    for each box). A swap or split is not needed where the ids already change as it would make them.
    """
    results = []
    for edit in edits:
        try:
            new, table = record_edit(table, replace(_matched(table, edit), seen=()))
            results.append(Replayed(edit, new))
        except _NotNeededError as reason:
            results.append(Replayed(edit, None, note=str(reason)))
        except InputError as error:
            results.append(Replayed(edit, None, fits=False, note=str(error)))
    return results, table


def _matched(table: TrackTable, edit: Edit) -> Edit:
    """The edit with the ids of `table`. Raises InputError if the people are not found."""
    if not edit.seen:
        raise InputError("it does not say where the people were, so they cannot be found")
    frames = {info.index for info in table.infos}
    if not any(sighting.frame in frames for sighting in edit.seen):
        raise InputError("none of its frames is in these tracks")
    if edit.op == "swap" and (edit.first is not None or edit.last is not None):
        return _matched_swap(table, edit)
    if edit.op == "split":
        return _matched_split(table, edit)
    found = _people_at(table, edit.seen)
    match edit.op:
        case "delete":
            return _matched_delete(table, edit, found)
        case "merge":
            return _matched_merge(edit, found)
        case "rename":
            return _matched_rename(table, edit, found)
        case "exchange_sides":
            return _matched_exchange(table, edit, found)
    return replace(edit, ids=tuple(_found(found, number) for number in edit.ids))


def _matched_swap(table: TrackTable, edit: Edit) -> Edit:
    """At each end of the span, the two ids either still have to change over, or do so already."""
    ids: tuple[int, ...] = ()
    starts: list[int] = []
    ends = [edit.first, None if edit.last is None else edit.last + 1]
    for start in ends:
        if start is None:
            continue
        before, after = _before_and_after(table, edit, start)
        one, other = edit.ids
        kept = _same(before, after, one, one) or _same(before, after, other, other)
        crossed = _same(before, after, one, other) or _same(before, after, other, one)
        if kept == crossed:
            raise InputError(f"people {one} and {other} are not found on both sides of frame {start}")
        if kept:
            starts.append(start)
            ids = ids or tuple(_found({**after, **before}, number) for number in edit.ids)
    if not starts:
        raise _NotNeededError("the ids already change over there")
    last = edit.last if len(starts) == 2 or edit.first is None else None
    first = None if edit.first is None and edit.last is not None else starts[0]
    return replace(edit, ids=ids, first=first, last=last)


def _matched_split(table: TrackTable, edit: Edit) -> Edit:
    number, start = edit.ids[0], edit.first
    assert start is not None
    before, after = _before_and_after(table, edit, start)
    if number not in before and number not in after:
        raise InputError(f"person {number} is not found")
    if not _same(before, after, number, number):
        raise _NotNeededError("the two parts already have different ids")
    return replace(edit, ids=(before[number],))


def _matched_delete(table: TrackTable, edit: Edit, found: dict[int, int]) -> Edit:
    """Only poses in the old frames, unless most of the new track lies in them."""
    people = sorted(set(found.values()))
    if not people:
        raise _NotNeededError("nobody is found there")
    first: int | None = min(seen.frame for seen in edit.seen)
    last: int | None = max(seen.frame for seen in edit.seen)
    if edit.first is None and edit.last is None:
        most = all(
            2 * len(table.rows_of(number, first, last)) >= len(table.rows_of(number)) for number in people
        )
        first, last = (None, None) if most else (first, last)
    return replace(edit, ids=tuple(people), first=first, last=last)


def _matched_merge(edit: Edit, found: dict[int, int]) -> Edit:
    people = list(dict.fromkeys(_found(found, number) for number in edit.ids))
    if len(people) == 1:
        raise _NotNeededError("they already have the same id")
    return replace(edit, ids=tuple(people))


def _matched_rename(table: TrackTable, edit: Edit, found: dict[int, int]) -> Edit:
    old, new = edit.ids
    person = _found(found, old)
    if person == new:
        raise _NotNeededError("the person already has this id")
    if edit.first is None and edit.last is None and new in table.ids:
        return Edit(
            "swap", (person, new), time=edit.time, reason=edit.reason
        )  # the other one gets the free id
    return replace(edit, ids=(person, new))


def _matched_exchange(table: TrackTable, edit: Edit, found: dict[int, int]) -> Edit:
    """Compare with the keypoints before the edit: are left and right still where they were?"""
    number = edit.ids[0]
    person = _found(found, number)
    mirrored = list(table.skeleton.mirrored)
    same = exchanged = 0.0
    for seen in edit.seen:
        rows = table.rows_of(person, seen.frame, seen.frame)
        if len(rows) and len(seen.keypoints) == 2 * len(mirrored):
            old = np.array(seen.keypoints).reshape(-1, 2)
            new = table.people.keypoints[rows[0]]
            same += float(np.linalg.norm(new - old, axis=1).sum())
            exchanged += float(np.linalg.norm(new - old[mirrored], axis=1).sum())
    if exchanged < same:
        raise _NotNeededError("left and right are already exchanged there")
    return replace(edit, ids=(person,))


def _before_and_after(table: TrackTable, edit: Edit, start: int) -> tuple[dict[int, int], dict[int, int]]:
    """Who the people are before frame `start`, and from it on."""
    other_end = edit.last + 1 if edit.last is not None and start == edit.first else None
    begin = edit.first if edit.last is not None and start == edit.last + 1 else None
    before = [seen for seen in edit.seen if seen.frame < start and (begin is None or seen.frame >= begin)]
    after = [
        seen for seen in edit.seen if seen.frame >= start and (other_end is None or seen.frame < other_end)
    ]
    return _people_at(table, before), _people_at(table, after)


def _same(before: dict[int, int], after: dict[int, int], one: int, other: int) -> bool:
    return one in before and before[one] == after.get(other)


def _found(found: dict[int, int], number: int) -> int:
    if found.get(number) is None:
        raise InputError(f"person {number} is not found")
    return found[number]


def _people_at(table: TrackTable, seen: Sequence[Sighting]) -> dict[int, int]:
    """Old id -> new id, for those found in at least half of their boxes."""
    votes: dict[int, Counter[int]] = {}
    boxes: Counter[int] = Counter()
    for frame in sorted({sighting.frame for sighting in seen} & {info.index for info in table.infos}):
        here = [sighting for sighting in seen if sighting.frame == frame]
        boxes.update(sighting.id for sighting in here)
        start, stop = np.searchsorted(table.frames, [frame, frame + 1])
        rows = start + np.flatnonzero(~table.is_deleted[start:stop])
        old = np.array([sighting.box for sighting in here])
        old[:, 2:] += old[:, :2]
        overlaps = iou_matrix(old, table.people.boxes[rows])
        for k, row in zip(*linear_sum_assignment(-overlaps), strict=True):
            if overlaps[k, row] >= MIN_IOU:
                new = int(table.people.ids[rows[row]])
                votes.setdefault(here[k].id, Counter())[new] += 1
    best = {number: count.most_common(1)[0] for number, count in votes.items()}
    return {number: new for number, (new, count) in best.items() if 2 * count >= boxes[number]}
