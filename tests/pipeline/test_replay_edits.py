"""Edits of one run replayed on the tracks of another: people are found by place and time."""

from __future__ import annotations

import pytest
from edit_scenes import lanes_of, scene

from posetrack_app.formats.edits_json.edit import Edit
from posetrack_app.pipeline.editing.replay import replay_edits
from posetrack_app.pipeline.editing.sightings import record_edit
from posetrack_app.pipeline.editing.table import TrackTable

# Old lanes, edit; new lanes, then either the new lanes after the replay, or why nothing was done.
SITUATIONS = {
    "same mistake, other ids": (
        ["11112222", "22221111"], Edit("swap", (1, 2), 4), ["55557777", "77775555"], ["55555555", "77777777"],
    ),
    "same mistake, one frame later": (
        ["11112222", "22221111"], Edit("swap", (1, 2), 4), ["55555777", "77777555"], ["55557555", "77775777"],
    ),
    "no mistake any more": (
        ["11112222", "22221111"], Edit("swap", (1, 2), 4), ["55555555", "77777777"], "not needed, the ids already",
    ),
    "a swapped span": (
        ["111222111", "222111222"], Edit("swap", (1, 2), 3, 5), ["444555444", "555444555"], ["444444444", "555555555"],
    ),
    "of a swapped span only the start is wrong now": (
        ["111222111", "222111222"], Edit("swap", (1, 2), 3, 5), ["444555555", "555444444"], ["444444444", "555555555"],
    ),
    "of a swapped span only the end is wrong now": (
        ["111222111", "222111222"], Edit("swap", (1, 2), 3, 5), ["444444555", "555555444"], ["444444444", "555555555"],
    ),
    "swap of people who are gone": (
        ["11112222", "22221111", "33333333"], Edit("swap", (1, 2), 4),
        ["........", "........", "33333333"], "no longer fits, people 1 and 2 are not found",
    ),
    "other frames": (["1111"], Edit("delete", (1,)), ["...."], "not needed, nobody is found there"),
    "split": (["1111", "2222"], Edit("split", (1,), 2), ["6666", "1111"], ["6622", "1111"]),
    "split is not needed": (["1111"], Edit("split", (1,), 2), ["6677"], "not needed, the two parts"),
    "merge": (["11.22"], Edit("merge", (1, 2)), ["33.44"], ["33.33"]),
    "merge is not needed": (["11.22"], Edit("merge", (1, 2)), ["33333"], "not needed, they already have the same id"),
    "merge with a missing person": (["11.22"], Edit("merge", (1, 2)), ["33..."], "no longer fits, person 2 is not found"),
    "merge of people who are seen together now": (
        ["11..22"], Edit("merge", (1, 2)), ["3333..", "....44"], "no longer fits, person 2 is not found",
    ),
    "delete": (["1111", "2222"], Edit("delete", (2,)), ["9999", "3333"], ["9999", "...."]),
    "delete leaves what a longer track does elsewhere": (
        ["111.......", "2222222222"], Edit("delete", (1,)), ["3333333333", "2222222222"], ["...3333333", "2222222222"],
    ),
    "rename": (["1111"], Edit("rename", (1, 8)), ["3333"], ["8888"]),
    "rename to an id that another person has now": (
        ["1111", "2222"], Edit("rename", (1, 8)), ["3333", "8888"], ["8888", "3333"],
    ),
    "rename is not needed": (["1111"], Edit("rename", (1, 8)), ["8888"], "not needed, the person already has this id"),
    "move a keypoint": (
        ["1111"], Edit("move_keypoint", (1,), 2, 2, "nose", (3.0, 4.0)), ["7777"], ["7777"],
    ),
    "confirm": (["1122"], Edit("confirm", (1, 2), 2, 2), ["3344"], ["3344"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(name: str) -> None:
    old, edit, new, expected = SITUATIONS[name]
    stored, _ = record_edit(TrackTable.of(scene(old)), edit)
    (result,), table = replay_edits(TrackTable.of(scene(new)), [stored])
    if isinstance(expected, str):
        assert result.new is None
        assert expected in str(result)
        assert result.fits == ("not needed" in expected)
    else:
        assert result.new is not None, str(result)
        assert lanes_of(table, len(expected)) == expected


def test_later_edits_see_the_earlier_ones() -> None:
    old = TrackTable.of(scene(["111122223333"]))
    one, old = record_edit(old, Edit("merge", (1, 2)))
    two, old = record_edit(old, Edit("merge", (1, 3)))
    assert lanes_of(old, 1) == ["1" * 12]
    results, table = replay_edits(TrackTable.of(scene(["444455556666"])), [one, two])
    assert [str(result.new) for result in results] == ["merge 4 5", "merge 4 6"]
    assert lanes_of(table, 1) == ["4" * 12]


def test_left_and_right_are_exchanged_only_where_they_are_still_wrong() -> None:
    old = TrackTable.of(scene(["1111"]))
    edit, right = record_edit(old, Edit("exchange_sides", (1,), 1, 2))
    (again,), _ = replay_edits(old, [edit])
    assert again.new is not None
    (result,), _ = replay_edits(right, [edit])
    assert (
        str(result) == "exchange_sides 1 from 1 to 2: not needed, left and right are already exchanged there"
    )


def test_an_edit_without_sightings_cannot_be_replayed() -> None:
    (result,), _ = replay_edits(TrackTable.of(scene(["1122"])), [Edit("split", (1,), 2)])
    assert not result.fits
    assert "does not say where the people were" in result.note
