"""Edits of tracks in memory: named situations, what is refused, and edits that cancel each other."""

from __future__ import annotations

import numpy as np
import pytest
from edit_scenes import columns_of, lanes_of, scene

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import DETECTED, EDITED, is_missing
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.edits_json.edit import OPERATIONS, Edit
from posetrack_app.pipeline.editing.history import apply_edits, edit_problem
from posetrack_app.pipeline.editing.operations import apply_edit
from posetrack_app.pipeline.editing.sightings import record_edit
from posetrack_app.pipeline.editing.table import TrackTable

SITUATIONS = {
    "swap from a frame on": (["111222", "222111"], Edit("swap", (1, 2), 3), ["111111", "222222"]),
    "swap over a span": (["112211", "221122"], Edit("swap", (2, 1), 2, 3), ["111111", "222222"]),
    "swap everywhere": (["1111", "22.."], Edit("swap", (1, 2)), ["2222", "11.."]),
    "swap when one of them has left": (["1122..", "2....."], Edit("swap", (1, 2), 2), ["1111..", "2....."]),
    "merge the parts of a broken track": (["11.22"], Edit("merge", (1, 2)), ["11.11"]),
    "merge keeps the first id": (["11.22"], Edit("merge", (2, 1)), ["22.22"]),
    "merge three parts": (["1.2.3"], Edit("merge", (1, 2, 3)), ["1.1.1"]),
    "merge a span: the rest stays": (["22..22", "..11.."], Edit("merge", (1, 2), 4), ["22..11", "..11.."]),
    "split gives the smallest unused id": (["1111", "3333"], Edit("split", (1,), 2), ["1122", "3333"]),
    "split with a known new id": (["1111"], Edit("split", (1, 7), 2), ["1177"]),
    "split in a gap": (["11..11"], Edit("split", (1,), 3), ["11..22"]),
    "delete a person": (["1111", "2222"], Edit("delete", (2,)), ["1111", "...."]),
    "delete a span": (["1111", "2222"], Edit("delete", (2,), 1, 2), ["1111", "2..2"]),
    "delete two people": (["1111", "2222"], Edit("delete", (1, 2), 2), ["11..", "22.."]),
    "rename": (["1111", "2222"], Edit("rename", (1, 9)), ["9999", "2222"]),
    "rename a span": (["1111"], Edit("rename", (1, 9), None, 1), ["9911"]),
    "confirm changes nothing": (["1122"], Edit("confirm", (1, 2), 2, 2), ["1122"]),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(name: str) -> None:
    before, edit, after = SITUATIONS[name]
    table = TrackTable.of(scene(before))
    edited = apply_edit(table, edit)
    assert lanes_of(edited, len(after)) == after
    assert lanes_of(table, len(before)) == before, "the table before the edit must not change"


REFUSED = {
    "unknown id": (Edit("swap", (1, 9)), "there is no person with id 9; the tracks have 1, 2, 3"),
    "merge of people seen together": (
        Edit("merge", (1, 2)),
        "merge 1 2: 1 and 2 are both seen in 4 frames (0 to 3), so they are two people; "
        "delete or swap one of them there first",
    ),
    "merge of a span seen together": (Edit("merge", (1, 2), 2), "both seen in 2 frames (2 to 3)"),
    "merge with frames apart": (Edit("merge", (1, 3)), "both seen in 2 frames (0, 3)"),
    "split before the first frame": (Edit("split", (1,), 0), "nothing to split"),
    "split after the last frame": (
        Edit("split", (2,), 5),
        "person 2 is not seen there, only in frames 0 to 3",
    ),
    "split into a used id": (Edit("split", (1, 2), 2), "id 2 is another person, seen in frames 0 to 3"),
    "delete where nobody is": (Edit("delete", (3,), 1, 2), "not seen there, only in frames 0 to 3"),
    "rename to a used id": (Edit("rename", (1, 2)), "merge the two, swap them, or choose another id"),
    "frame beyond the end": (Edit("swap", (1, 2), 60), "there is no frame 60; the tracks have frames 0 to 5"),
    "swap where neither is": (Edit("swap", (2, 3), 5), "neither of them is seen there"),
    "unknown keypoint": (
        Edit("hide_keypoint", (1,), keypoint="tail"),
        "no keypoint 'tail'; choose one of nose",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_edit_that_does_not_fit_is_refused_in_one_line(name: str) -> None:
    edit, message = REFUSED[name]
    table = TrackTable.of(scene(["111111", "2222..", "3..3.."]))
    with pytest.raises(InputError) as caught:
        apply_edit(table, edit)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert edit_problem(table, edit) == str(caught.value)


INVALID = {
    "unknown operation": (("glue", (1, 2)), "unknown operation 'glue'; choose one of swap"),
    "one id for a swap": (("swap", (1,)), "swap needs 2 ids, got 1"),
    "three ids for a swap": (("swap", (1, 2, 3)), "swap needs 2 ids, got 3"),
    "one id for a merge": (("merge", (1,)), "merge needs 2 ids or more, got 1"),
    "the same id twice": (("swap", (4, 4)), "the ids must differ, got 4 and 4"),
    "negative id": (("delete", (-1,)), "an id is a number from 0"),
    "negative frame": (("delete", (1,), -3), "frames count from 0, got -3"),
    "backward span": (("delete", (1,), 9, 3), "the first frame (9) is after the last one (3)"),
    "split without a frame": (("split", (1,)), "split needs a frame"),
    "split with a span": (("split", (1,), 2, 4), "no last frame"),
    "keypoint moved over a span": (("move_keypoint", (1,), 2, 4, "nose", (1.0, 2.0)), "in one frame"),
    "keypoint moved nowhere": (("move_keypoint", (1,), 2, 2, "nose"), "needs x and y"),
    "hidden without a name": (("hide_keypoint", (1,), 2, 2), "needs the name of a keypoint"),
    "swap of a keypoint": (("swap", (1, 2), 2, 2, "nose"), "takes no keypoint"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_edit_that_fits_no_tracks_cannot_be_made(name: str) -> None:
    arguments, message = INVALID[name]
    with pytest.raises(InputError) as caught:
        Edit(*arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_every_operation_has_a_situation() -> None:
    covered = {edit.op for _, edit, _ in SITUATIONS.values()}
    assert covered | {"exchange_sides", "move_keypoint", "hide_keypoint"} == set(OPERATIONS)


def test_the_merge_of_a_deleted_span_is_allowed() -> None:
    table = TrackTable.of(scene(["1111..", "..2222"]))
    edited = apply_edits(table, [Edit("delete", (2,), 2, 3), Edit("merge", (1, 2))])
    assert lanes_of(edited, 2) == ["1111..", "....11"]


def test_the_number_of_the_wrong_edit_is_named() -> None:
    table = TrackTable.of(scene(["1111"]))
    with pytest.raises(InputError, match=r"^edit 2: there is no person with id 1"):
        apply_edits(table, [Edit("rename", (1, 5)), Edit("rename", (1, 6))])


def test_left_and_right_are_exchanged_in_the_span() -> None:
    table = TrackTable.of(scene(["1111", "2222"]))
    edited = apply_edit(table, Edit("exchange_sides", (1,), 1, 2))
    mirrored = list(POSETRACK.mirrored)
    for frame in range(4):
        rows = table.rows_of(1, frame, frame)
        old = table.people.keypoints[rows]
        new = edited.people.keypoints[rows]
        np.testing.assert_array_equal(new, old[:, mirrored] if frame in (1, 2) else old)
    assert edited.people.origins[edited.rows_of(1)].tolist() == [DETECTED, EDITED, EDITED, DETECTED]
    np.testing.assert_array_equal(
        edited.people.keypoints[edited.rows_of(2)], table.people.keypoints[table.rows_of(2)]
    )


def test_a_keypoint_is_moved_and_hidden() -> None:
    table = TrackTable.of(scene(["111"]))
    nose = POSETRACK.keypoints.index("nose")
    moved = apply_edit(table, Edit("move_keypoint", (1,), 1, 1, "nose", (7.5, 8.5)))
    assert moved.people.keypoints[1, nose].tolist() == [7.5, 8.5]
    assert moved.people.smoothed_keypoints[1, nose].tolist() == [7.5, 8.5]
    assert moved.people.keypoint_scores[:, nose].tolist() == [0.9, 1.0, 0.9]
    assert moved.people.keypoint_origins[:, nose].tolist() == [DETECTED, EDITED, DETECTED]
    assert (np.delete(moved.people.keypoint_origins, nose, axis=1) == DETECTED).all()
    hidden = apply_edit(moved, Edit("hide_keypoint", (1,), 1, 2, "nose")).people
    assert is_missing(hidden.keypoints, hidden.keypoint_scores)[:, nose].tolist() == [False, True, True]


def test_the_origin_says_which_ids_were_edited() -> None:
    edited = apply_edit(TrackTable.of(scene(["111222", "222111", "333333"])), Edit("swap", (1, 2), 3))
    by_hand = edited.people.origins == EDITED
    assert (by_hand == ((edited.frames >= 3) & (edited.people.ids != 3))).all()
    assert (edited.people.keypoint_origins == DETECTED).all(), "how the pose was obtained stays known"


CANCEL = {
    "swap twice": [Edit("swap", (1, 2), 3), Edit("swap", (2, 1), 3)],
    "swap a span twice": [Edit("swap", (1, 2), 3, 7), Edit("swap", (1, 2), 3, 7)],
    "swap from the start and from the end": [Edit("swap", (1, 2), None, 4), Edit("swap", (1, 2), 5), Edit("swap", (1, 2))],
    "exchange sides twice": [Edit("exchange_sides", (1,), 2, 8), Edit("exchange_sides", (1,), 2, 8)],
    "rename and back": [Edit("rename", (3, 8)), Edit("rename", (8, 3))],
    "split and merge": [Edit("split", (1,), 5), Edit("merge", (1, 4))],
    "swaps of three people in a circle": [
        Edit("swap", (1, 2)), Edit("swap", (2, 3)), Edit("swap", (1, 2)), Edit("swap", (1, 3))
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CANCEL)
@pytest.mark.parametrize("seed", range(3))
def test_edits_that_cancel_each_other(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lanes = ["".join(rng.choice([digit, "."], p=[0.8, 0.2]) for _ in range(10)) for digit in "123"]
    lanes = [digit * 2 + lane + digit * 2 for digit, lane in zip("123", lanes, strict=True)]
    table = TrackTable.of(scene(lanes))
    edited = apply_edits(table, CANCEL[name])
    for column, values in columns_of(table).items():
        np.testing.assert_array_equal(columns_of(edited)[column], values, err_msg=column)


@pytest.mark.parametrize("seed", range(5))
def test_any_edits_keep_each_person_once_a_frame_and_each_pose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = TrackTable.of(scene(["111122223333", "2222....4444", "333333......"]))
    boxes = np.sort(table.people.boxes, axis=0)
    for _ in range(40):
        op = str(rng.choice(["swap", "merge", "split", "rename"]))
        ids = tuple(int(number) for number in rng.choice(9, 1 if op == "split" else 2, replace=False))
        first, last = sorted(int(frame) for frame in rng.integers(0, 12, 2))
        edit = Edit(op, ids, first, None if op == "split" else last)
        if edit_problem(table, edit) is None:
            table = apply_edit(table, edit)
    for frame in table.tracked_frames():
        assert len(set(frame.people.ids.tolist())) == len(frame.people)
    np.testing.assert_array_equal(np.sort(table.people.boxes, axis=0), boxes)


def test_a_recorded_edit_says_where_the_people_were() -> None:
    table = TrackTable.of(scene(["11112222", "22221111"]))
    edit, edited = record_edit(table, Edit("swap", (1, 2), 4))
    assert lanes_of(edited, 2) == ["11111111", "22222222"]
    assert {(seen.id, seen.frame) for seen in edit.seen} == {(a, f) for a in (1, 2) for f in range(8)}
    assert edit.seen[0].box == (20.0, 0.0, 30.0, 60.0)
    assert edit.time.endswith("Z")
    split, _ = record_edit(table, Edit("split", (1,), 4))
    assert split.ids == (1, 3), "later edits name the second part"
