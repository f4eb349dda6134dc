"""After edits, gaps are filled and keypoints smoothed again as they were in the file, for the people who changed."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from edit_scenes import columns_of, lanes_of, scene

from posetrack_app.core.config import Config, SecondPassConfig, SmoothingConfig
from posetrack_app.core.records import EDITED, INTERPOLATED, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import TrackedFrame, Tracks
from posetrack_app.formats.edits_json.edit import Edit
from posetrack_app.jobs.edit import edit_tracks
from posetrack_app.pipeline.editing.history import apply_edits
from posetrack_app.pipeline.editing.refine import Refinement, refine_changed
from posetrack_app.pipeline.editing.table import TrackTable
from posetrack_app.pipeline.link import build_tracker
from posetrack_app.pipeline.second_pass.second_pass import second_pass

NOSE = POSETRACK.keypoints.index("nose")
SECOND = SecondPassConfig(join_seconds=0.0, swap_penalty=1000.0, smoothing="butterworth")
"""Without joining and the repair of limbs, the second pass only fills and smooths."""


def with_noise(tracks: Tracks) -> Tracks:
    """Every pose gets its own keypoint noise, so that smoothing changes something."""
    rng = np.random.default_rng(0)
    frames = []
    for frame in tracks.frames:
        noise = rng.normal(0, 2, frame.people.keypoints.shape)
        frames.append(replace(frame, people=replace(frame.people, keypoints=frame.people.keypoints + noise)))
    return replace(tracks, frames=frames)


def after_second_pass(tracks: Tracks) -> Tracks:
    seconds = np.array([frame.info.seconds for frame in tracks.frames])
    people = second_pass(seconds, [frame.people for frame in tracks.frames], POSETRACK, SECOND)
    frames = [replace(frame, people=part) for frame, part in zip(tracks.frames, people, strict=True)]
    return replace(tracks, frames=frames, info={**tracks.info, "second_pass": asdict(SECOND)})


def after_online_smoothing(tracks: Tracks) -> Tracks:
    _, smoother = build_tracker(Config())
    assert smoother is not None
    frames = []
    for frame in tracks.frames:
        one: TrackedPoses = frame.people
        smoothed = smoother.smooth(one.ids, one.boxes, one.keypoints, one.keypoint_scores, frame.info.seconds)
        frames.append(TrackedFrame(frame.info, one.with_ids(one.ids, np.asarray(smoothed))))
    return replace(tracks, frames=frames, info={"config": {"smoothing": asdict(SmoothingConfig())}})


@pytest.mark.parametrize("refine", [after_second_pass, after_online_smoothing])
def test_corrected_tracks_are_those_of_a_run_without_the_mistake(refine: object) -> None:
    wrong = with_noise(scene(["1" * 20 + "2" * 20, "2" * 20 + "1" * 20, "3" * 40]))
    right = with_noise(scene(["1" * 40, "2" * 40, "3" * 40]))
    assert callable(refine)
    corrected = edit_tracks(refine(wrong), [Edit("swap", (1, 2), 20)])
    expected = columns_of(TrackTable.of(refine(right)))
    for name, values in columns_of(TrackTable.of(corrected)).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-9, err_msg=name)


def test_the_gap_between_two_merged_parts_is_filled() -> None:
    tracks = after_second_pass(scene(["1111111....2222222", "333333333333333333"]))
    assert lanes_of(TrackTable.of(tracks), 2)[0] == "1111111....2222222"
    corrected = TrackTable.of(edit_tracks(tracks, [Edit("merge", (1, 2))]))
    assert lanes_of(corrected, 2) == ["1" * 18, "3" * 18]
    rows = corrected.rows_of(1)
    origins = corrected.people.origins[rows]
    assert origins[7:11].tolist() == [INTERPOLATED] * 4
    assert origins[11:].tolist() == [EDITED] * 7
    np.testing.assert_allclose(corrected.people.boxes[rows, 0], 20 + 3 * np.arange(18), atol=0.1)


def test_what_was_filled_for_the_wrong_person_is_gone() -> None:
    tracks = after_second_pass(scene(["111111...1111111"]))
    assert lanes_of(TrackTable.of(tracks), 1) == ["1" * 16]
    corrected = TrackTable.of(edit_tracks(tracks, [Edit("split", (1,), 8)]))
    assert lanes_of(corrected, 1) == ["111111...2222222"]


def test_a_deleted_span_is_not_filled_again() -> None:
    tracks = after_second_pass(scene(["1111111111..1111"]))
    corrected = TrackTable.of(edit_tracks(tracks, [Edit("delete", (1,), 4, 6)]))
    assert lanes_of(corrected, 1) == ["1111...111111111"]


@pytest.mark.parametrize("refine", [after_second_pass, after_online_smoothing])
def test_a_keypoint_placed_by_hand_stays_there(refine: object) -> None:
    assert callable(refine)
    tracks = refine(with_noise(scene(["1" * 20])))
    edits = [
        Edit("move_keypoint", (1,), 9, 9, "nose", (5.0, 6.0)),
        Edit("hide_keypoint", (1,), 12, 13, "nose"),
    ]
    people = TrackTable.of(edit_tracks(tracks, edits)).people
    assert people.smoothed_keypoints[9, NOSE].tolist() == [5.0, 6.0]
    assert people.keypoints[9, NOSE].tolist() == [5.0, 6.0]
    assert people.keypoint_scores[12:14, NOSE].tolist() == [0.0, 0.0]
    assert not people.smoothed_keypoints[12:14, NOSE].any()


def test_other_people_stay_as_they_are() -> None:
    tracks = after_second_pass(with_noise(scene(["1111122222", "2222211111", "33333.3333"])))
    table = TrackTable.of(tracks)
    edited = apply_edits(table, [Edit("swap", (1, 2), 5)])
    refined = refine_changed(table, edited, Refinement(SECOND))
    for name in ("keypoints", "smoothed_keypoints", "origins"):
        old, new = getattr(table.people, name), getattr(refined.people, name)
        np.testing.assert_array_equal(new[refined.rows_of(3)], old[table.rows_of(3)])


def test_tracks_that_were_never_smoothed_stay_so() -> None:
    table = TrackTable.of(with_noise(scene(["1111122222", "2222211111"])))
    edited = apply_edits(table, [Edit("swap", (1, 2), 5)])
    refined = refine_changed(table, edited, Refinement())
    np.testing.assert_array_equal(refined.people.smoothed_keypoints, table.people.smoothed_keypoints)
