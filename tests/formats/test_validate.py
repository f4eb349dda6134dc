"""`posetrack validate` names every fault and its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from posetrack_app.cli import posetrack
from posetrack_app.formats import Tracks
from posetrack_app.formats.edits_json.file import schema as edits_schema
from posetrack_app.formats.tracks_json.validate import find_faults, schema


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
