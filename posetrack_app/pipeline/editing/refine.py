"""After edits: fill gaps and smooth again, for the people who changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from posetrack_app.core.config import SecondPassConfig, SmoothingConfig
from posetrack_app.core.records import EDITED, INTERPOLATED, FloatArray, IntArray, TrackedPoses, joined_rows
from posetrack_app.pipeline.editing.table import TrackTable
from posetrack_app.pipeline.second_pass.gaps import fill_gaps, fill_keypoints
from posetrack_app.pipeline.second_pass.smooth_tracks import smooth_track
from posetrack_app.pipeline.second_pass.tracks import Track, concatenated
from posetrack_app.pipeline.smooth import OneEuroSmoother


@dataclass(frozen=True)
class Refinement:
    """How the poses of a file were refined: by a second pass, by smoothing while the video ran, or not at all (None)."""

    second_pass: SecondPassConfig | None = None
    smoothing: SmoothingConfig | None = None


def refine_changed(before: TrackTable, after: TrackTable, how: Refinement) -> TrackTable:
    """`after` with the gaps filled and the keypoints smoothed of everyone whose rows differ from `before`.

    Both tables have the same rows. What a person deleted or hid stays so, and a keypoint that they placed stays where it
    is. After a second pass, poses and keypoints that were interpolated are interpolated anew; people are then sorted by id.
    """
    changed = _changed_ids(before, after)
    table = after
    if how.second_pass is not None and changed:
        table = _filled_again(after, changed, how.second_pass)
    smoothed = np.array(table.people.smoothed_keypoints, dtype=np.float64)
    for number in changed:
        rows = table.rows_of(number)
        people = table.people[rows]
        again = _smoothed(people, _seconds(table)[_places(table, rows)], how)
        by_hand = (people.keypoint_origins == EDITED)[..., None]
        smoothed[rows] = np.where(by_hand, people.keypoints, again)
    return table.with_people(smoothed_keypoints=smoothed)


def _changed_ids(before: TrackTable, after: TrackTable) -> list[int]:
    """The ids in `after` of people who gained, lost or changed a pose."""
    old, new = before.people, after.people
    differs = (old.ids != new.ids) | (before.is_deleted != after.is_deleted)
    differs |= (old.keypoints != new.keypoints).any(axis=(1, 2))
    differs |= (old.keypoint_scores != new.keypoint_scores).any(axis=1)
    touched = set(old.ids[differs].tolist()) | set(new.ids[differs].tolist())
    return [number for number in after.ids if number in touched]


def _smoothed(people: TrackedPoses, seconds: FloatArray, how: Refinement) -> FloatArray:
    """The smoothed keypoints (R, K, 2) of one person in R frames, as the run computed them."""
    if how.second_pass is not None:
        if how.second_pass.smoothing == "none":
            return people.keypoints
        return smooth_track(
            how.second_pass.smoothing,
            seconds,
            people.keypoints,
            people.keypoint_scores,
            how.second_pass.keypoint_score,
        )
    if how.smoothing is None:
        return people.smoothed_keypoints
    settings = asdict(how.smoothing)
    if not settings.pop("enabled"):
        return people.keypoints
    smoother = OneEuroSmoother(**settings)
    steps = [people[row : row + 1] for row in range(len(people))]
    parts = [
        smoother.smooth(one.ids, one.boxes, one.keypoints, one.keypoint_scores, at)
        for one, at in zip(steps, seconds.tolist(), strict=True)
    ]
    return np.concatenate(parts)


def _filled_again(table: TrackTable, changed: Sequence[int], settings: SecondPassConfig) -> TrackTable:
    """The table with the gaps of the `changed` people filled anew; its rows are sorted by frame and id."""
    kept = np.ones(len(table.frames), dtype=bool)
    tracks = []
    for number in changed:
        rows = table.rows_of(number)
        kept[rows] = False
        tracks += _filled(table, rows, settings)
    indices = np.array([info.index for info in table.infos], dtype=np.int64)
    old = table.people[kept]
    added = [_poses(track, len(table.skeleton.keypoints)) for track in tracks]
    people = joined_rows([old, *added])
    frames = np.concatenate([table.frames[kept], *(indices[track.frames] for track in tracks)])
    is_deleted = np.concatenate(
        [table.is_deleted[kept], *(np.zeros(len(part), dtype=bool) for part in added)]
    )
    order = np.lexsort((people.ids, frames))
    return replace(table, frames=frames[order], people=people[order], is_deleted=is_deleted[order])


def _filled(table: TrackTable, rows: IntArray, settings: SecondPassConfig) -> list[Track]:
    """The track in `rows`, filled; in parts between the frames that a person deleted, which stay empty."""
    people = table.people[rows]
    was_filled = np.isin(people.origins, (INTERPOLATED, EDITED))
    was_filled &= (people.keypoint_origins == INTERPOLATED).all(axis=1)
    if not was_filled.all():
        rows, people = rows[~was_filled], people[~was_filled]
    places, seconds = _places(table, rows), _seconds(table)
    number = int(people.ids[0])
    track = Track(
        number,
        places,
        seconds[places],
        people.boxes,
        people.scores,
        people.keypoints,
        people.keypoint_scores,
        people.origins,
        people.keypoint_origins,
        people.appearance,
    )
    gone = table.rows_with_deleted(number)
    gone_places = _places(table, gone[table.is_deleted[gone]])
    parts = np.searchsorted(gone_places, places)
    filled = []
    for part in np.unique(parts):
        one = _keypoints_filled(track.rows(parts == part), settings)
        filled.append(fill_gaps(one, seconds, settings.fill_seconds))
    return [concatenated(filled)]


def _keypoints_filled(track: Track, settings: SecondPassConfig) -> Track:
    """`fill_keypoints` anew: interpolated keypoints count as unknown, and those edited by hand stay as they are."""
    stale = track.keypoint_origins == INTERPOLATED
    unknown = replace(track, keypoint_scores=np.where(stale, 0.0, track.keypoint_scores))
    filled = fill_keypoints(unknown, settings.fill_seconds, settings.keypoint_score)
    untouched = (stale & (filled.keypoint_scores == 0)) | (track.keypoint_origins == EDITED)
    return replace(
        track,
        keypoints=np.where(untouched[..., None], track.keypoints, filled.keypoints),
        keypoint_scores=np.where(untouched, track.keypoint_scores, filled.keypoint_scores),
        keypoint_origins=np.where(untouched, track.keypoint_origins, filled.keypoint_origins),
    )


def _poses(track: Track, keypoints: int) -> TrackedPoses:
    count = len(track.frames)
    return TrackedPoses(
        boxes=track.boxes,
        scores=track.scores,
        origins=track.origins,
        keypoints=track.keypoints,
        keypoint_scores=track.keypoint_scores,
        keypoint_origins=track.keypoint_origins.reshape(count, keypoints),
        appearance=track.appearance,
        ids=np.full(count, track.id, dtype=np.int64),
        smoothed_keypoints=track.keypoints,
    )


def _seconds(table: TrackTable) -> FloatArray:
    """(F,) times of all frames."""
    return np.array([info.seconds for info in table.infos], dtype=np.float64)


def _places(table: TrackTable, rows: IntArray) -> IntArray:
    """The places of these rows' frames in `table.infos`."""
    indices = np.array([info.index for info in table.infos], dtype=np.int64)
    return np.searchsorted(indices, table.frames[rows])
