"""`posetrack edit`: corrections from the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from edit_scenes import lanes_of, scene

from posetrack_app import (
    Edit,
    InputError,
    add_edit,
    apply_edits,
    edit_tracks,
    read_edits,
    read_tracks,
    undo_edit,
)
from posetrack_app.cli import posetrack
from posetrack_app.formats import Tracks
from posetrack_app.formats.convert import write_tracks
from posetrack_app.formats.tracks_json.validate import find_faults
from posetrack_app.pipeline.editing.table import TrackTable

WRONG = ["1111122222", "2222211111", "333333.333"]


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    write_tracks(scene(WRONG), tmp_path / "tracks.json")
    return tmp_path / "tracks.json"


def edit(*arguments: object) -> str:
    """What `posetrack edit` prints."""
    texts = ["edit", *map(str, arguments)]
    return CliRunner().invoke(posetrack, texts, catch_exceptions=False).output


def lanes(path: Path) -> list[str]:
    return lanes_of(TrackTable.of(read_tracks(path)), 3)


def test_the_command(tracks: Path) -> None:
    original = tracks.read_bytes()
    assert edit(tracks, "--swap", 1, 2, "--from", 5, "--reason", "they met") == "swap 1 2 from 5\n"
    assert edit(tracks, "--split", 3, "--from", 7) == "split 3 4 from 7\n"
    assert edit(tracks, "--delete", 1, "--frame", 0) == "delete 1 in frame 0\n"
    listed = edit(tracks, "--list").splitlines()
    assert listed[0].startswith("1  20")
    assert listed[0].endswith("Z  swap 1 2 from 5  (they met)")
    assert len(listed) == 3
    assert edit(tracks, "--undo") == "undone: delete 1 in frame 0\n"
    out = tracks.with_name("corrected.json")
    assert edit("apply", tracks, "--out", out) == f"{out}: 2 edits applied\n"
    assert lanes(out) == ["1111111111", "2222222222", "333333.444"]
    assert tracks.read_bytes() == original


OPTIONS: dict[str, tuple[list[Any], str]] = {
    "swap": (["--swap", 1, 2, "--from", 2, "--to", 4], "swap 1 2 from 2 to 4"),
    "merge a span": (["--merge", 3, 1, "--frame", 6], "merge 3 1 in frame 6"),
    "split in a frame": (["--split", 1, "--frame", 4], "split 1 4 from 4"),
    "delete": (["--delete", 3], "delete 3"),
    "rename": (["--rename", 3, 12], "rename 3 12"),
    "exchange sides": (["--exchange-sides", 1, "--to", 3], "exchange_sides 1 to 3"),
    "move": (
        ["--move-keypoint", 1, "nose", 3.5, -4, "--frame", 2],
        "move_keypoint 1 nose to 3.5 -4 in frame 2",
    ),
    "hide": (["--hide-keypoint", 1, "nose", "--from", 2], "hide_keypoint 1 nose from 2"),
    "confirm": (["--confirm", "1,2", "--frame", 5], "confirm 1 2 in frame 5"),
    "the word add": (["--delete", 3, "--reason", "a tree"], "delete 3"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_operation_has_an_option(name: str, tracks: Path) -> None:
    options, printed = OPTIONS[name]
    assert edit(*(["add"] if name == "the word add" else []), tracks, *options) == f"{printed}\n"
    assert str(read_edits(tracks)[0]) == printed


BAD: dict[str, tuple[list[Any], str]] = {
    "nothing": ([], "give one of --swap, --merge,"),
    "two operations": (["--delete", 3, "--split", 1], "got 2"),
    "frame and span": (["--delete", 3, "--frame", 1, "--to", 2], "--frame is one frame"),
    "words as ids": (["--confirm", "1,b", "--frame", 1], "--confirm: give ids separated by commas"),
    "no frame": (["--split", 1], "split needs a frame"),
    "people seen together": (["--merge", 1, 3], "so they are two people"),
    "an unknown id": (["--delete", 77], "there is no person with id 77"),
    "nothing to undo": (["--undo"], "there is no edit to undo"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_change_nothing(name: str, tracks: Path) -> None:
    options, message = BAD[name]
    result = CliRunner().invoke(posetrack, ["edit", str(tracks), *map(str, options)])
    assert message in result.output + str(result.exception)
    assert isinstance(result.exception, (InputError, SystemExit))
    assert not tracks.with_name("tracks.edits.json").exists()


def test_the_corrected_file_says_what_was_edited(tracks: Path) -> None:
    add_edit(tracks, Edit("swap", (1, 2), 5, reason="they met"))
    out = tracks.with_name("out.json")
    apply_edits(tracks, out)
    content = json.loads(out.read_text())
    assert find_faults(content) == []
    assert content["info"]["edited_from"] == "tracks.json"
    (done,) = content["info"]["edits"]
    assert (done["op"], done["ids"], done["from"], done["reason"]) == ("swap", [1, 2], 5, "they met")
    assert "seen" not in done
    for person in content["annotations"]:
        by_hand = person["track_id"] != 3 and person["image_id"] >= 5
        assert person["origin"] == ("edited" if by_hand else "detected")
        assert set(person.get("keypoint_origins", ["detected"])) == {"detected"}
    add_edit(out, Edit("delete", (3,)))
    apply_edits(out, tracks.with_name("again.json"))
    assert len(read_tracks(tracks.with_name("again.json")).info["edits"]) == 2


def test_python_and_the_file_agree(tracks: Path) -> None:
    stored = add_edit(tracks, Edit("swap", (1, 2), 5))
    assert read_edits(tracks) == read_edits(tracks.with_name("tracks.edits.json")) == [stored]
    in_memory: Tracks = edit_tracks(read_tracks(tracks), [Edit("swap", (1, 2), 5)])
    apply_edits(tracks, tracks.with_name("out.json"))
    assert lanes(tracks.with_name("out.json")) == lanes_of(TrackTable.of(in_memory), 3)
    assert undo_edit(tracks) == stored
    assert read_edits(tracks) == []


def test_files_are_never_overwritten_by_accident(tracks: Path) -> None:
    out = tracks.with_name("out.json")
    with pytest.raises(InputError, match="the tracks have no edits"):
        apply_edits(tracks, out)
    add_edit(tracks, Edit("delete", (3,)))
    with pytest.raises(InputError, match="is the tracks file, which is never changed"):
        apply_edits(tracks, tracks, force=True)
    with pytest.raises(InputError, match="is the edits file"):
        apply_edits(tracks, tracks.with_name("tracks.edits.json"), force=True)
    apply_edits(tracks, out)
    with pytest.raises(InputError, match="already exists"):
        apply_edits(tracks, out)
    apply_edits(tracks, out, force=True)


def test_edits_of_another_run_are_replayed(tracks: Path) -> None:
    edit(tracks, "--swap", 1, 2, "--from", 5)
    edit(tracks, "--delete", 3)
    new = tracks.with_name("new.json")
    write_tracks(scene(["4444466666", "6666644444", "7777......"]), new)
    edits, out = tracks.with_name("tracks.edits.json"), tracks.with_name("out.json")
    assert edit("apply", new, "--edits", edits, "--out", out) == (
        f"{out}: 1 edit applied, 1 not needed, 0 no longer fit\n  delete 3: not needed, nobody is found there\n"
    )
    assert lanes(out) == ["4444444444", "6666666666", "7777......"]
    assert edit(new, "--replay", edits).startswith("1 edit applied, 1 not needed")
    assert [str(each) for each in read_edits(new)] == ["swap 4 6 from 5"]


def test_edits_of_tracks_that_were_overwritten_are_not_applied_blindly(tracks: Path) -> None:
    add_edit(tracks, Edit("swap", (1, 2), 5))
    write_tracks(scene(["4444466666", "6666644444", "7777777777"]), tracks)
    out = tracks.with_name("out.json")
    for attempt in (lambda: apply_edits(tracks, out), lambda: undo_edit(tracks)):
        with pytest.raises(InputError, match=r"belongs to another version of tracks\.json"):
            attempt()
    apply_edits(tracks, out, edits=tracks.with_name("tracks.edits.json"))
    assert lanes(out) == ["4444444444", "6666666666", "7777777777"]


def test_confirmed_switches_leave_the_list(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    write_tracks(scene(["11111....22222"]), path)
    out = tmp_path / "out.json"
    add_edit(path, Edit("rename", (2, 5)))
    apply_edits(path, out)
    assert read_tracks(out).info["possible_id_switches"][0]["ids"] == [1, 5]
    add_edit(path, Edit("confirm", (1, 5), 9, 9))
    add_edit(path, Edit("rename", (5, 6)))
    apply_edits(path, out, force=True)
    assert read_tracks(out).info["possible_id_switches"] == []
