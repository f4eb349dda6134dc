"""Converters: what a format can hold comes back equal; `posetrack validate` names the place of every fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from posetrack_app.cli import posetrack
from posetrack_app.errors import InputError
from posetrack_app.formats import Tracks, TracksWriter, read_tracks
from posetrack_app.formats.convert import WRITERS, read_any, with_smoothed_keypoints
from posetrack_app.formats.openpose import BODY_25
from posetrack_app.formats.pose_sequence import SCORED_KEYPOINTS
from posetrack_app.formats.posetrack import read_posetrack
from posetrack_app.formats.validate import find_faults
from posetrack_app.records import TrackedPoses
from posetrack_app.skeleton import COCO, POSETRACK, Skeleton

FRAMES = [(4, 0.16, [1, 2]), (5, 0.207, []), (7, 0.28, [2, 30]), (8, 0.32, [1])]


def some_people(ids: list[int], seed: int) -> TrackedPoses:
    random = np.random.default_rng(seed)
    count = len(ids)
    corner = random.uniform(-20, 900, (count, 2)).round(2)
    keypoints = random.uniform(1, 2000, (count, 17, 2)).round(2)
    return TrackedPoses(
        boxes=np.concatenate([corner, corner + random.uniform(1, 300, (count, 2)).round(2)], axis=1),
        scores=random.uniform(0, 1, count).round(4),
        keypoints=keypoints,
        keypoint_scores=random.uniform(0, 1, (count, 17)).round(4),
        ids=np.array(ids, np.int64),
        smoothed_keypoints=(keypoints + random.normal(0, 3, keypoints.shape)).round(2),
        origins=np.arange(count) % 3,
        keypoint_origins=(np.arange(count)[:, None] + (random.random((count, 17)) < 0.1)) % 3,
    )


def make(path: Path, skeleton: Skeleton = POSETRACK) -> Tracks:
    video = {"file": "in.mp4", "width": 1920, "height": 1080, "rotation": 90, "frame_rate": 25.0}
    info = {"video": video, "decoder": "none"}
    with TracksWriter(path, skeleton=skeleton, info=info) as writer:
        for seed, (index, seconds, ids) in enumerate(FRAMES):
            writer.write(index, seconds, some_people(ids, seed))
    return read_tracks(path)


@pytest.fixture
def tracks(tmp_path: Path) -> Tracks:
    return make(tmp_path / "tracks.json")


def assert_same(one: Tracks, other: Tracks) -> None:
    assert [(f.index, f.seconds, f.file_name) for f in one.frames] == [
        (f.index, f.seconds, f.file_name) for f in other.frames
    ]
    assert one.skeleton is other.skeleton
    for mine, theirs in zip(one.frames, other.frames, strict=True):
        for name in (
            "boxes",
            "scores",
            "keypoints",
            "keypoint_scores",
            "ids",
            "smoothed_keypoints",
            "origins",
            "keypoint_origins",
        ):
            expected, got = getattr(mine.tracked, name), getattr(theirs.tracked, name)
            assert expected.shape == got.shape
            assert np.allclose(expected, got, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("skeleton", [POSETRACK, COCO])
@pytest.mark.parametrize(("name", "ending"), [("tracks", "json"), ("csv", "csv"), ("parquet", "parquet")])
def test_lossless_formats_come_back_whole(tmp_path: Path, name: str, ending: str, skeleton: Skeleton) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    tracks = make(tmp_path / "in.json", skeleton)
    WRITERS[name](tracks, tmp_path / f"out.{ending}")
    back = read_any(tmp_path / f"out.{ending}")
    assert_same(tracks, back)
    if name != "csv":
        assert dict(back.info) == dict(tracks.info)
    WRITERS["tracks"](back, tmp_path / "again.json")
    assert_same(tracks, read_tracks(tmp_path / "again.json"))


def test_a_csv_from_before_keypoints_had_origins_is_still_read(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["csv"](tracks, tmp_path / "new.csv")
    rows = [line.split(",") for line in (tmp_path / "new.csv").read_text().splitlines()]
    at = rows[0].index("keypoint_origins")
    old = "\n".join(",".join(row[:at] + row[at + 1 :]) for row in rows)
    (tmp_path / "old.csv").write_text(old + "\n")
    for frame, before in zip(read_any(tmp_path / "old.csv").frames, tracks.frames, strict=True):
        np.testing.assert_array_equal(frame.tracked.keypoints, before.tracked.keypoints)
        expected = np.repeat(before.tracked.origins[:, None], 17, axis=1)
        np.testing.assert_array_equal(frame.tracked.keypoint_origins, expected)


def test_posetrack17_is_read_by_the_evaluation(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["posetrack17"](tracks, tmp_path / "out.json")
    sequence = read_posetrack(tmp_path / "out.json")
    assert sequence.layout == "posetrack17"
    assert sequence.ids is not None
    assert sequence.ids.tolist() == [1, 2, 2, 30, 1]
    assert sequence.rows.frame.tolist() == [0, 0, 2, 2, 3]
    columns = [POSETRACK.keypoints.index(name) for name in SCORED_KEYPOINTS]
    expected = np.concatenate([frame.tracked.keypoints[:, columns] for frame in tracks.frames])
    assert np.allclose(sequence.keypoints, expected)
    scores = np.concatenate([frame.tracked.keypoint_scores[:, columns] for frame in tracks.frames])
    assert np.allclose(sequence.scores, scores)


def test_coco_results(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["coco"](tracks, tmp_path / "out.json")
    people = json.loads((tmp_path / "out.json").read_text())
    assert [(person["image_id"], person["track_id"]) for person in people] == [
        (4, 1), (4, 2), (7, 2), (7, 30), (8, 1),
    ]  # fmt: skip
    first, poses = people[0], tracks.frames[0].tracked
    triples = np.array(first["keypoints"]).reshape(17, 3)
    for name in ("nose", "left_ear", "right_ankle"):
        ours = POSETRACK.keypoints.index(name)
        expected = [*poses.keypoints[0, ours], poses.keypoint_scores[0, ours]]
        assert np.allclose(triples[COCO.keypoints.index(name)], expected)
    assert (triples[COCO.keypoints.index("left_eye")] == 0).all()
    x, y, width, height = first["bbox"]
    assert np.allclose([x, y, x + width, y + height], poses.boxes[0], atol=0.011)


def test_coco_results_of_a_coco_skeleton_keep_every_keypoint(tmp_path: Path) -> None:
    tracks = make(tmp_path / "in.json", COCO)
    WRITERS["coco"](tracks, tmp_path / "out.json")
    first = json.loads((tmp_path / "out.json").read_text())[0]
    expected = np.concatenate(
        [tracks.frames[0].tracked.keypoints[0], tracks.frames[0].tracked.keypoint_scores[0][:, None]], axis=1
    )
    assert np.allclose(np.array(first["keypoints"]).reshape(17, 3), expected)


def test_mot(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["mot"](tracks, tmp_path / "out.txt")
    table = np.loadtxt(tmp_path / "out.txt", delimiter=",")
    assert table[:, :2].tolist() == [[5, 1], [5, 2], [8, 2], [8, 30], [9, 1]]
    boxes = np.concatenate([frame.tracked.boxes for frame in tracks.frames])
    assert np.allclose(table[:, 2:4], boxes[:, :2])
    assert np.allclose(table[:, 2:4] + table[:, 4:6], boxes[:, 2:], atol=0.011)
    assert np.allclose(table[:, 6], np.concatenate([frame.tracked.scores for frame in tracks.frames]))
    assert (table[:, 7:] == -1).all()


def test_openpose(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["openpose"](tracks, tmp_path / "poses")
    names = sorted(file.name for file in (tmp_path / "poses").iterdir())
    assert names == [f"poses_{index:012d}_keypoints.json" for index, _, _ in FRAMES]
    assert json.loads((tmp_path / "poses" / names[1]).read_text())["people"] == []
    people = json.loads((tmp_path / "poses" / names[2]).read_text())["people"]
    assert [person["person_id"] for person in people] == [[2], [30]]
    triples = np.array(people[1]["pose_keypoints_2d"]).reshape(25, 3)
    poses = tracks.frames[2].tracked
    knee = POSETRACK.keypoints.index("right_knee")
    assert np.allclose(triples[BODY_25.index("right_knee"), :2], poses.keypoints[1, knee])
    shoulders = [POSETRACK.keypoints.index(f"{side}_shoulder") for side in ("left", "right")]
    assert np.allclose(
        triples[BODY_25.index("neck"), :2], poses.keypoints[1, shoulders].mean(axis=0), atol=1e-3
    )
    assert (triples[BODY_25.index("left_big_toe")] == 0).all()


def test_trc(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["trc"](tracks, tmp_path / "markers")
    assert sorted(file.name for file in (tmp_path / "markers").iterdir()) == [
        "id_1.trc",
        "id_2.trc",
        "id_30.trc",
    ]
    lines = (tmp_path / "markers" / "id_1.trc").read_text().split("\n")
    assert lines[2].split("\t")[:5] == ["25", "25", "4", "17", "px"]
    assert [name for name in lines[3].split("\t")[2:] if name] == list(POSETRACK.keypoints)
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    assert len({len(line.split("\t")) for line in lines[3:5] + lines[6:10]}) == 1
    rows = [line.split("\t") for line in lines[6:10]]
    assert [row[0] for row in rows] == ["5", "6", "8", "9"]
    assert rows[1][2:] == rows[2][2:] == [""] * 51, "not seen: empty cells"
    places = np.array(rows[3][2:], float).reshape(17, 3)
    assert np.allclose(places * (1, -1, 1), np.pad(tracks.frames[3].tracked.keypoints[0], ((0, 0), (0, 1))))


def test_trc_for_c3d(tmp_path: Path) -> None:
    """Uneven times come onto even ones; a short step is bridged, a long one is left empty."""
    with TracksWriter(
        tmp_path / "t.json", skeleton=POSETRACK, info={"video": {"frame_rate": 25.0}}
    ) as writer:
        for index, (seconds, ids) in enumerate(
            [(0, [1]), (0.05, [1]), (0.12, [1, 2]), (0.4, [1]), (0.44, []), (0.48, [])]
        ):
            person = some_people(ids, 0)
            points = np.full((len(ids), 17, 2), (100 * seconds, 200 * seconds))
            writer.write(index, seconds, replace(person, keypoints=points, smoothed_keypoints=points))
    WRITERS["trc-c3d"](read_tracks(tmp_path / "t.json"), tmp_path / "markers")
    files = {file.name: file.read_text().split("\n") for file in (tmp_path / "markers").iterdir()}
    assert sorted(files) == ["id_1.trc", "id_2.trc"]
    lines = files["id_1.trc"]
    assert lines[2].split("\t") == ["25", "25", "13", "17", "mm", "25", "1", "13"]
    rows = [line.split("\t") for line in lines[6:19]]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 14)]
    assert np.allclose([float(row[1]) for row in rows], np.arange(13) / 25)
    assert [row[2:4] for row in rows[1:5]] == [
        ["4.00", "-8.00"], ["8.00", "-16.00"], ["12.00", "-24.00"], ["", ""],
    ]  # fmt: skip
    assert rows[10][2:4] == ["40.00", "-80.00"]
    assert rows[11][2] == ""
    assert len({len(line.split("\t")) for line in lines[3:5] + lines[6:19]}) == 1
    seen = [line.split("\t")[0] for line in files["id_2.trc"][6:19] if line.split("\t")[2]]
    assert seen == ["4"]


def test_trc_for_c3d_of_every_tenth_frame(tmp_path: Path) -> None:
    with TracksWriter(
        tmp_path / "t.json", skeleton=POSETRACK, info={"video": {"frame_rate": 25.0}}
    ) as writer:
        for index in range(0, 50, 10):
            writer.write(index, index / 25, some_people([1], index))
    WRITERS["trc-c3d"](read_tracks(tmp_path / "t.json"), tmp_path / "markers")
    lines = (tmp_path / "markers" / "id_1.trc").read_text().split("\n")
    assert lines[2].split("\t")[:3] == ["2.5", "2.5", "5"]
    assert all(line.split("\t")[2] for line in lines[6:11])


def test_times_that_are_wrong_make_no_endless_trc(tmp_path: Path) -> None:
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}) as writer:
        for index, seconds in enumerate([0, 0.04, 0.08, 1e9]):
            writer.write(index, seconds, some_people([1], 0))
    with pytest.raises(InputError, match="too far apart"):
        WRITERS["trc-c3d"](read_tracks(tmp_path / "t.json"), tmp_path / "markers")
    assert not (tmp_path / "markers").exists()


def test_posetrack21_is_read_by_its_kit(tmp_path: Path, tracks: Tracks) -> None:
    """Its kit takes the 17 keypoints in order, finds frames by id, and counts what is right of and below 0."""
    WRITERS["posetrack21"](tracks, tmp_path / "000342_mpii_test.json")
    sequence = read_posetrack(tmp_path / "000342_mpii_test.json", fixed_order=True)
    assert sequence.image_ids.tolist() == [10003420004, 10003420005, 10003420007, 10003420008]
    assert sequence.ids.tolist() == [1, 2, 2, 30, 1]
    columns = [POSETRACK.keypoints.index(name) for name in SCORED_KEYPOINTS]
    expected = np.concatenate([frame.tracked.keypoints[:, columns] for frame in tracks.frames])
    assert np.allclose(sequence.keypoints[sequence.present], expected[sequence.present])
    assert sequence.present.mean() > 0.99
    content = json.loads((tmp_path / "000342_mpii_test.json").read_text())
    assert [image["has_labeled_person"] for image in content["images"]] == [True, False, True, True]
    assert {image["vid_id"] for image in content["images"]} == {"000342"}
    ears = [POSETRACK.keypoints.index(f"{side}_ear") for side in ("left", "right")]
    for person in content["annotations"]:
        assert person["person_id"] == person["track_id"]
        assert (np.array(person["keypoints"]).reshape(17, 3)[ears] == 0).all()
    again = read_tracks(tmp_path / "000342_mpii_test.json")
    assert again.ids == tracks.ids


@pytest.mark.parametrize(("name", "message"), [("posetrack21", "not coco's"), ("posetrack17", "head_bottom")])
def test_coco_keypoints_are_no_posetrack(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WRITERS[name](make(tmp_path / "in.json", COCO), tmp_path / "out.json")


def test_one_file_a_track(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["per-track"](tracks, tmp_path / "people")
    names = sorted(file.name for file in (tmp_path / "people").iterdir())
    assert names == ["id_1.json", "id_2.json", "id_30.json"]
    for name in names:
        assert not find_faults(json.loads((tmp_path / "people" / name).read_text()))
    alone = read_tracks(tmp_path / "people" / "id_2.json")
    assert [len(frame.tracked) for frame in alone.frames] == [1, 0, 1, 0]
    assert_same(tracks, read_any(tmp_path / "people"))
    (tmp_path / "people" / "id_3.json").write_bytes((tmp_path / "people" / "id_2.json").read_bytes())
    with pytest.raises(InputError, match="the same identity"):
        read_any(tmp_path / "people")


def test_a_folder_without_tracks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without id_"):
        read_any(tmp_path)


def test_smoothed(tmp_path: Path, tracks: Tracks) -> None:
    smoothed = with_smoothed_keypoints(tracks)
    assert np.array_equal(smoothed.frames[0].tracked.keypoints, tracks.frames[0].tracked.smoothed_keypoints)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(posetrack, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "parquet"])
def test_the_command(tmp_path: Path, tracks: Tracks, name: str) -> None:
    result = command("convert", tracks.path, "--to", name, "--out", tmp_path / "out", "--smoothed")
    assert result.exit_code == 0, result.output
    assert "4 frames, 5 people, 3 identities" in result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "tracks.json"]


def test_the_command_offers_every_format() -> None:
    offered = next(option for option in posetrack.commands["convert"].params if option.name == "to")
    assert tuple(offered.type.choices) == tuple(WRITERS)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "ending", "message"),
    [
        ("a,b\n1,2\n", "csv", "its columns"),
        ("", "csv", "not a CSV"),
        ("{}", "json", "no list 'images'"),
        ("no parquet", "parquet", "not a readable Parquet"),
    ],
)
def test_bad_input(tmp_path: Path, content: str, ending: str, message: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"in.{ending}"
    path.write_text(content)
    result = command("convert", path, "--to", "mot", "--out", tmp_path / "out.txt")
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert not (tmp_path / "out.txt").exists()


def test_a_bad_cell_is_named(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["csv"](tracks, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    lines[2] = lines[2].replace(lines[2].split(",")[6], "far", 1)
    (tmp_path / "t.csv").write_text("\n".join(lines))
    result = command("convert", tmp_path / "t.csv", "--to", "mot", "--out", tmp_path / "out.txt")
    assert "row 3" in str(result.exception)


def test_a_folder_that_exists_is_kept(tmp_path: Path, tracks: Tracks) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    result = command("convert", tracks.path, "--to", "trc", "--out", tmp_path / "out")
    assert "exists already" in str(result.exception)
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


FAULTS: list[tuple[list[Any], Any, str]] = [
    (["info", "missing_frames"], [[4, 5], [7]], "info.missing_frames[1]: must have 2 items, has 1"),
    (["info", "span"], {"start": None, "stride": 0}, "info.span.stride: must be 1 or more, is 0"),
    (["info", "device"], 0, "info.device: must be a string, is 0"),
    (["info", "precision"], None, "info.precision: must be a string, is null"),
    (["info", "coordinates"], [], "info.coordinates: must be a string"),
    (["info", "config"], "fast", "info.config: must be an object, is \"fast\""),
    (["info", "weights"], {"pose": {"sha256": 7}}, "info.weights.pose.sha256: must be a string, is 7"),
    (["info", "suspicions"], [{"frame": 1, "ids": [], "reason": "", "score": 1}], "info.suspicions[0].ids: must have 1"),
    (["info", "suspicions"], [{"frame": 1, "ids": [1], "score": 2}], "info.suspicions[0]: lacks 'reason'"),
    (["info", "schema_version"], 2, "info.schema_version: must be 1, is 2"),
    (["info", "video", "rotation"], 45, "info.video.rotation: must be one of"),
    (["info", "video", "frame_rate"], 0, "info.video.frame_rate: must be more than 0"),
    (["info"], None, "info: must be an object, is null"),
    (["categories", 0, "keypoints"], ["nose"], "categories[0].keypoints: must have 17 items, has 1"),
    (["categories", 0, "skeleton", 0, 1], 18, "categories[0].skeleton[0][1]: must be 17 or less, is 18"),
    (["images", 1, "seconds"], "x", "images[1].seconds (frame 5): must be a number, is \"x\""),
    (["images", 1, "seconds"], 0.1, "images[1] (frame 5): its 'seconds' (0.1) are not later"),
    (["images", 1, "id"], 4, "images[1] (frame 5): has the same 'id' as images[0]: 4"),
    (["images", 2], 7, "images[2]: must be an object, is 7"),
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
    place = content
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
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
    assert "annotations[0] (frame 4, person 1): lacks 'score'" in result.output
    assert "annotations[3].bbox (frame 7, person 30): must have 4 items, has 3" in result.output
    assert "images[0].file_name (frame 4): must be a string, is 7" in result.output


@pytest.mark.parametrize("content", [None, [], 3, {}, {"images": 3}, {"images": [None], "annotations": {}}])
def test_validate_takes_anything(content: Any) -> None:
    assert find_faults(content)


def test_a_file_of_ours_is_valid(tracks: Tracks) -> None:
    result = command("validate", tracks.path)
    assert result.exit_code == 0
    assert result.output == f"{tracks.path}: valid\n"


def test_the_schema_uses_only_what_the_check_knows() -> None:
    """The check reads a part of JSON Schema; a keyword outside it would be passed over in silence."""
    from posetrack_app.formats.validate import schema

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

    assert keywords(schema()) <= known
