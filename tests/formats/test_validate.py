"""`posetrack validate` names every fault and its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.formats import Tracks
from posetrack_app.formats.edits_json.file import schema as edits_schema
from posetrack_app.formats.tracks_json import scan
from posetrack_app.formats.tracks_json.scan import UnusualFileError, entries
from posetrack_app.formats.tracks_json.validate import find_faults, schema
from posetrack_app.formats.tracks_json.validate_file import file_faults, summary


def command(*arguments: object) -> Result:
    return CliRunner().invoke(posetrack, [str(argument) for argument in arguments])


FAULTS: list[tuple[list[Any], Any, str]] = [
    (["info", "missing_frames"], [[4, 5], [7]], "info.missing_frames[1]: must have 2 items, got 1"),
    (["info", "span"], {"start": None, "stride": 0}, "info.span.stride: must be 1 or more, got 0"),
    (["info", "device"], 0, "info.device: must be a string, got 0"),
    (["info", "precision"], None, "info.precision: must be a string, got null"),
    (["info", "coordinates"], [], "info.coordinates: must be a string"),
    (["info", "config"], "fast", "info.config: must be an object, got \"fast\""),
    (["info", "weights"], {"pose": {"sha256": 7}}, "info.weights.pose.sha256: must be a string, got 7"),
    (["info", "possible_id_switches"], [{"frame": 1, "ids": [], "reason": "", "score": 1}],
     "info.possible_id_switches[0].ids: must have 1 items, got 0"),
    (["info", "possible_id_switches"], [{"frame": 1, "ids": [1], "score": 2}],
     "info.possible_id_switches[0]: has no 'reason'"),
    (["categories", 0, "id"], 2, "categories[0].id: must be 1, got 2"),
    (["annotations", 1, "category_id"], 2, "annotations[1].category_id (frame 4, person 2): must be 1, got 2"),
    (["info", "schema_version"], 3, "info.schema_version: must be 2, got 3"),
    (["info", "video", "rotation"], 45, "info.video.rotation: must be one of"),
    (["info", "video", "frame_rate"], 0, "info.video.frame_rate: must be more than 0"),
    (["info"], None, "info: must be an object, got null"),
    (["categories", 0, "keypoints"], ["nose"], "categories[0].keypoints: must have 17 items, got 1"),
    (["categories", 0, "skeleton", 0, 1], 18, "categories[0].skeleton[0][1]: must be 17 or less, got 18"),
    (["images", 1, "seconds"], "x", "images[1].seconds (frame 5): must be a number, got \"x\""),
    (["images", 1, "seconds"], 0.1, "images[1] (frame 5): its 'seconds' (0.1) must be later"),
    (["images", 1, "id"], 4, "images[1] (frame 5): has the same 'id' as images[0]: 4"),
    (["images", 2], 7, "images[2]: must be an object, got 7"),
    (["annotations", 1, "keypoints", 7], True, "annotations[1].keypoints[7] (frame 4, person 2): must be a number"),
    (["annotations", 2, "track_id"], -1, "annotations[2].track_id (frame 7, person -1): must be 0 or more"),
    (["annotations", 2, "track_id"], 30, "annotations[3] (frame 7, person 30): has the same 'track_id'"),
    (["annotations", 2, "image_id"], 6, "annotations[2] (frame unknown, person 2): its 'image_id' (6)"),
    (["annotations", 4, "bbox", 2], -1, "annotations[4] (frame 8, person 1): its 'bbox'"),
    (["annotations", 4, "id"], 1, "annotations[4] (frame 8, person 1): has the same 'id' as annotations[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value", "fault"), FAULTS)
def test_validate_names_the_place(
    tmp_path: Path, tracks: Tracks, where: list[Any], value: Any, fault: str
) -> None:
    content = json.loads(tracks.path.read_text())
    entry = content
    for key in where[:-1]:
        entry = entry[key]
    entry[where[-1]] = value
    faults = find_faults(content)
    assert any(line.startswith(fault) for line in faults), faults
    # Read entry by entry, in any layout and order of keys, the file has the same faults.
    path = tmp_path / "changed.json"
    backwards = dict(reversed(content.items()))
    for text in (json.dumps(content), json.dumps(content, indent=2), json.dumps(backwards, indent=0)):
        path.write_text(text)
        assert sorted(file_faults(path, all_lines=True).lines) == sorted(faults)


def test_validate_names_every_fault(tmp_path: Path, tracks: Tracks) -> None:
    content = json.loads(tracks.path.read_text())
    del content["annotations"][0]["score"]
    content["annotations"][3]["bbox"] = [1, 2, 3]
    content["images"][0]["file_name"] = 7
    tracks.path.write_text(json.dumps(content))
    result = command("validate", tracks.path)
    assert result.exit_code != 0
    assert "3 faults" in str(result.exception)
    assert "annotations[0] (frame 4, person 1): has no 'score'" in result.output
    assert "annotations[3].bbox (frame 7, person 30): must have 4 items, got 3" in result.output
    assert "images[0].file_name (frame 4): must be a string, got 7" in result.output


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        3,
        {},
        {"images": 3},
        {"images": [None], "annotations": {}},
        {"images": 3, "annotations": [{}]},
        {"images": [{"id": []}], "annotations": [{"image_id": []}]},
    ],
)
def test_content_of_any_shape_is_checked(content: Any) -> None:
    assert find_faults(content)


def test_the_images_are_read_once_for_many_faults(tracks: Tracks) -> None:
    class Counted(list[Any]):
        readings = 0

        def __iter__(self) -> Iterator[Any]:
            self.readings += 1
            return super().__iter__()

    content = json.loads(tracks.path.read_text())
    images = content["images"] = Counted(content["images"])
    content["annotations"][0]["keypoints"] = [None] * 51
    assert len(find_faults(content)) == 51
    assert images.readings < 5


def test_faults_of_one_kind_are_one_line(tmp_path: Path, tracks: Tracks) -> None:
    content = json.loads(tracks.path.read_text())
    for person in content["annotations"]:
        person["score"] = str(person["id"])
    content["images"][0]["file_name"] = 7
    tracks.path.write_text(json.dumps(content))
    result = command("validate", tracks.path)
    people = len(content["annotations"])
    lines = result.output.splitlines()
    assert lines[0] == f"{tracks.path}: images[0].file_name (frame 4): must be a string, got 7"
    assert lines[1].endswith(f'must be a number, got "1" (and {people - 1} more of this kind)')
    assert len(lines) == 2
    assert f"{people + 1} faults of 2 kinds" in str(result.exception)
    assert len(command("validate", tracks.path, "--all").output.splitlines()) == people + 1


def test_only_the_first_kinds_are_listed(tmp_path: Path, tracks: Tracks) -> None:
    content = json.loads(tracks.path.read_text())
    content["info"]["missing_frames"] = [1.5]
    content["annotations"][0]["origin"] = "x"
    for person in content["annotations"]:
        person.pop("bbox")
    categories = dict.fromkeys(("id", "name", "keypoints", "skeleton"), 7)
    content["categories"] = [categories]
    text = {
        "device": 1,
        "precision": 1,
        "coordinates": 1,
        "decoder": 1,
        "losses": 1,
        "config": 1,
        "tracks": "x",
    }
    content["info"] |= text
    tracks.path.write_text(json.dumps(content))
    faults = file_faults(tracks.path, all_lines=False)
    assert summary(faults, 3)[3:] == [f"and {len(faults.kinds) - 3} more kinds of fault"]
    assert not faults.lines


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_entries_cut_by_a_chunk_are_read(
    tmp_path: Path, tracks: Tracks, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_CHUNK", chunk)
    content = json.loads(tracks.path.read_text())
    content["annotations"][0]["attributes"] = {"seen by": ["a", {"b": "}"}]}
    content["info"]["note"] = "{"
    path = tmp_path / "cut.json"
    path.write_text("\n " + json.dumps(content, ensure_ascii=False) + "\n")
    try:
        read: dict[str, Any] = {"images": [], "annotations": []}
        for key, _, text in entries(path):
            if key in scan.LISTS:
                read[key].append(json.loads(text))
            else:
                read[key] = json.loads(text)
        assert read == content
    except (ValueError, UnusualFileError):
        pass  # a bracket in a string: a JSON parser reads the file
    assert not file_faults(path, all_lines=True).lines


@pytest.mark.parametrize(
    "text",
    ['{"images": [], "annotations": []', '{"images": [}]', '{"images": [], "annotations": []} x', "{", "",
     '{"info": {"a": "\\ud800\xff"}}', '{"images": [{"id": 1} {"id": 2}]}'],
)  # fmt: skip
def test_what_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="is not a valid JSON file"):
        file_faults(path, all_lines=True)


COCO_PERSON = {
    "id": 1,
    "image_id": 0,
    "category_id": 1,
    "bbox": [0, 0, 1, 1],
    "keypoints": [0] * 51,
    "area": 1,
}
OTHERS: list[tuple[str, Any, str]] = [
    ("results.json", [{**COCO_PERSON, "score": 1}], "a list of COCO keypoint results; posetrack link"),
    ("boxes.json", [{"image_id": 0, "bbox": [0, 0, 1, 1], "score": 1}], "a list of COCO boxes; posetrack benchmark"),
    ("gt.json", {"images": [{"id": 0}], "annotations": [COCO_PERSON], "categories": []}, "a COCO annotation file"),
    ("pt17.json", {"annolist": []}, "a PoseTrack17 file; posetrack evaluate"),
    ("mpii.json", {"joint_missing": []}, "a file of MPII joints; posetrack evaluate"),
    ("scores.json", {"format": "posetrack-evaluation/1", "totals": {}}, "a file of scores that posetrack evaluate"),
    ("tracks.run.json", {"machine": {}, "versions": {}}, "the manifest of a run"),
    ("det.txt", "\ufeff1,1,10,20,30,40,1,-1,-1,-1\r\n", "MOTChallenge text, .*; posetrack evaluate scores it"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), OTHERS, ids=[name for name, _, _ in OTHERS])
def test_other_formats_are_named(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for arguments in (["validate", path], ["convert", path, "--to", "csv", "--out", tmp_path / "x.csv"]):
        with pytest.raises(InputError, match=f"{name} is {message}"):
            CliRunner().invoke(posetrack, list(map(str, arguments)), catch_exceptions=False)


def test_a_written_file_is_valid(tracks: Tracks) -> None:
    result = command("validate", tracks.path)
    assert result.exit_code == 0
    assert result.output == f"{tracks.path}: valid\n"


@pytest.mark.parametrize("described", [schema(), edits_schema()], ids=["tracks", "edits"])
def test_a_schema_uses_only_keywords_that_are_checked(described: dict[str, Any]) -> None:
    """`schema_faults` knows only a part of JSON Schema, and would ignore other keywords."""
    known = {
        "type",
        "const",
        "enum",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "minItems",
        "maxItems",
        "items",
    }
    known |= {"required", "properties", "$ref", "description", "$schema", "$id", "title", "$defs"}

    def keywords(rule: dict[str, Any]) -> set[str]:
        found = set(rule)
        for part in [*rule.get("properties", {}).values(), *rule.get("$defs", {}).values()]:
            found |= keywords(part)
        return found | (keywords(rule["items"]) if "items" in rule else set())

    assert keywords(described) <= known
