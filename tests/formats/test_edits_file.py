"""tracks.edits.json: every edit survives, wrong files are refused, and there is one writer at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_tracks import make_tracks

from posetrack_app.core.errors import InputError
from posetrack_app.formats.edits_json.edit import OPERATIONS, Edit, Sighting, edit_from
from posetrack_app.formats.edits_json.file import edits_file, open_edits, read_edits, schema
from posetrack_app.formats.json_schema import schema_faults

SEEN = (Sighting(1, 4, (1.0, 2.0, 3.5, 4.0)), Sighting(2, 4, (1.0, 2.0, 3.0, 4.0), (0.5, 1.5)))
EDITS = [
    Edit("swap", (1, 2), 5, 7, time="2026-11-28T17:05:00Z", reason="they met", seen=SEEN),
    Edit("merge", (1, 2, 3)),
    Edit("split", (1, 9), 5),
    Edit("delete", (2,), None, 5),
    Edit("rename", (30, 3)),
    Edit("exchange_sides", (1,), 4),
    Edit("move_keypoint", (1,), 4, 4, "left_knee", (10.5, 0.0)),
    Edit("hide_keypoint", (1,), 4, 8, "nose"),
    Edit("confirm", (1, 2), 8, 8),
]


def test_edits_survive_the_file(tmp_path: Path) -> None:
    make_tracks(tmp_path / "t.json")
    with open_edits(tmp_path / "t.json", 4) as file:
        assert file.path == tmp_path / "t.edits.json"
        assert not file.path.exists(), "a file without edits is not written"
        for edit in EDITS:
            file.append(edit)
            assert read_edits(file.path)[1] == list(file.edits)
    described, edits = read_edits(tmp_path / "t.edits.json")
    assert edits == EDITS
    assert (described["file"], described["frames"]) == ("t.json", 4)
    with open_edits(tmp_path / "t.json", 4) as file:
        assert file.remove_last() == EDITS[-1]
    assert read_edits(tmp_path / "t.edits.json")[1] == EDITS[:-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.edits.json", "t.json"]


def test_there_is_nothing_to_undo(tmp_path: Path) -> None:
    make_tracks(tmp_path / "t.json")
    with open_edits(tmp_path / "t.json", 4) as file, pytest.raises(InputError, match="no edit to undo"):
        file.remove_last()


def test_the_schema_describes_what_is_written() -> None:
    content: dict[str, Any] = {
        "schema_version": 1,
        "tracks": {"file": "t", "sha256": ""},
        "edits": [e.as_dict() for e in EDITS],
    }
    assert not list(schema_faults(content, schema(), schema()))
    assert [edit_from(entry) for entry in content["edits"]] == EDITS
    assert schema()["properties"]["edits"]["items"]["properties"]["op"]["enum"] == list(OPERATIONS)


def _file(**changes: Any) -> dict[str, Any]:
    return {"schema_version": 1, "tracks": {"file": "t.json", "sha256": ""}, "edits": []} | changes


WRONG: dict[str, tuple[Any, str]] = {
    "a list": ([], "the file must be an object, got []"),
    "newer": (
        _file(schema_version=2),
        "has schema version 2; this posetrack reads up to 1, so update posetrack",
    ),
    "no tracks": ({"schema_version": 1, "edits": []}, "the file has no 'tracks'"),
    "no op": (_file(edits=[{"ids": [1]}]), "edits[0] has no 'op'"),
    "unknown op": (_file(edits=[{"op": "glue", "ids": [1]}]), "edits[0].op must be one of ['swap',"),
    "text as id": (_file(edits=[{"op": "swap", "ids": [1, "2"]}]), "edits[0].ids[1] must be an integer"),
    "text as frame": (
        _file(edits=[{"op": "delete", "ids": [1], "from": "5"}]),
        'edits[0].from must be an integer or null, got "5"',
    ),
    "negative frame": (
        _file(edits=[{"op": "delete", "ids": [1], "to": -5}]),
        "edits[0].to must be 0 or more",
    ),
    "backward span": (
        _file(edits=[{"op": "delete", "ids": [1], "from": 5, "to": 4}]),
        "edits[0]: delete: the first frame (5) is after the last one (4)",
    ),
    "x without y": (
        _file(edits=[{"op": "move_keypoint", "ids": [1], "from": 5, "to": 5, "keypoint": "nose", "x": 3}]),
        "edits[0]: move_keypoint needs both x and y",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused(name: str, tmp_path: Path) -> None:
    content, message = WRONG[name]
    path = tmp_path / "t.edits.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_edits(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_edits_of_changed_tracks_are_refused(tmp_path: Path) -> None:
    make_tracks(tmp_path / "t.json")
    with open_edits(tmp_path / "t.json", 4) as file:
        file.append(EDITS[0])
    text = (tmp_path / "t.json").read_text()
    (tmp_path / "t.json").write_text(text + "\n")
    with (
        pytest.raises(InputError, match=r"belongs to another version of t\.json"),
        open_edits(tmp_path / "t.json", 4),
    ):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks on Windows")
def test_one_process_at_a_time(tmp_path: Path) -> None:
    make_tracks(tmp_path / "t.json")
    program = (
        "from pathlib import Path; from posetrack_app.formats.edits_json.file import open_edits\n"
        f"with open_edits(Path({str(tmp_path / 't.json')!r}), 4): pass"
    )
    with open_edits(tmp_path / "t.json", 4):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "is being edited by another posetrack process; close it first" in done.stderr
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_name_of_the_edits_file() -> None:
    assert edits_file(Path("a/b.c.json")) == Path("a/b.c.edits.json")
