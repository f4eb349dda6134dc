"""Converters: what a format can hold comes back unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_tracks import FRAMES, make_tracks

from posetrack_app.cli import posetrack
from posetrack_app.core.choices import FORMATS, SUBMISSION
from posetrack_app.core.errors import InputError
from posetrack_app.core.skeletons import COCO, POSETRACK, Skeleton
from posetrack_app.formats import Tracks, read_tracks
from posetrack_app.formats.convert import WRITERS, read_any, with_smoothed_keypoints
from posetrack_app.formats.openpose import BODY_25
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS
from posetrack_app.formats.tracks_json.validate import find_faults


def assert_same(one: Tracks, other: Tracks) -> None:
    assert [(f.info.index, f.info.seconds, f.info.file_name) for f in one.frames] == [
        (f.info.index, f.info.seconds, f.info.file_name) for f in other.frames
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
            expected, got = getattr(mine.people, name), getattr(theirs.people, name)
            assert expected.shape == got.shape
            assert np.allclose(expected, got, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("skeleton", [POSETRACK, COCO])
@pytest.mark.parametrize(("name", "ending"), [("tracks", "json"), ("csv", "csv"), ("parquet", "parquet")])
def test_lossless_formats_come_back_unchanged(
    tmp_path: Path, name: str, ending: str, skeleton: Skeleton
) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    tracks = make_tracks(tmp_path / "in.json", skeleton)
    WRITERS[name](tracks, tmp_path / f"out.{ending}")
    back = read_any(tmp_path / f"out.{ending}")
    assert_same(tracks, back)
    if name != "csv":
        assert dict(back.info) == dict(tracks.info)
    WRITERS["tracks"](back, tmp_path / "again.json")
    assert_same(tracks, read_tracks(tmp_path / "again.json"))


def test_a_csv_without_keypoint_origins_is_read(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["csv"](tracks, tmp_path / "new.csv")
    rows = [line.split(",") for line in (tmp_path / "new.csv").read_text().splitlines()]
    column = rows[0].index("keypoint_origins")
    old = "\n".join(",".join(row[:column] + row[column + 1 :]) for row in rows)
    (tmp_path / "old.csv").write_text(old + "\n")
    for frame, before in zip(read_any(tmp_path / "old.csv").frames, tracks.frames, strict=True):
        np.testing.assert_array_equal(frame.people.keypoints, before.people.keypoints)
        expected = np.repeat(before.people.origins[:, None], 17, axis=1)
        np.testing.assert_array_equal(frame.people.keypoint_origins, expected)


def test_posetrack17_is_read_by_the_evaluation(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["posetrack17"](tracks, tmp_path / "out.json")
    sequence = read_posetrack(tmp_path / "out.json")
    assert sequence.layout == "posetrack17"
    assert sequence.ids is not None
    assert sequence.ids.tolist() == [1, 2, 2, 30, 1]
    assert sequence.rows.frame.tolist() == [0, 0, 2, 2, 3]
    columns = [POSETRACK.keypoints.index(name) for name in SCORED_KEYPOINTS]
    expected = np.concatenate([frame.people.keypoints[:, columns] for frame in tracks.frames])
    assert np.allclose(sequence.keypoints, expected)
    scores = np.concatenate([frame.people.keypoint_scores[:, columns] for frame in tracks.frames])
    assert np.allclose(sequence.scores, scores)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """A PoseTrack18 file without scores where the first ankle, a shoulder and both ears are not labelled."""
    content = json.loads(make_tracks(tmp_path / "truth.json").path.read_text())
    for person in content["annotations"]:
        for key in ("scores", "keypoints_smoothed"):
            del person[key]
        for name in ("right_ankle", "left_shoulder", "left_ear", "right_ear"):
            at = 3 * POSETRACK.keypoints.index(name)
            person["keypoints"][at : at + 3] = [0, 0, 0]
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return tmp_path / "truth.json"


@pytest.mark.parametrize("name", ["tracks", "posetrack17", "posetrack21"])
def test_missing_keypoints_are_missing_for_the_evaluation(tmp_path: Path, truth: Path, name: str) -> None:
    WRITERS[name](read_any(truth), tmp_path / "out.json")
    before, after = read_posetrack(truth), read_posetrack(tmp_path / "out.json")
    assert not before.present.all()
    assert np.array_equal(after.present, before.present)
    assert np.allclose(after.keypoints, before.keypoints)


@pytest.mark.parametrize(("name", "ending"), [("tracks", "json"), ("csv", "csv"), ("parquet", "parquet")])
def test_missing_keypoints_come_back_missing(tmp_path: Path, truth: Path, name: str, ending: str) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    WRITERS[name](read_any(truth), tmp_path / f"one.{ending}")
    WRITERS["tracks"](read_any(tmp_path / f"one.{ending}"), tmp_path / "again.json")
    for file in (truth, tmp_path / "again.json"):
        triples = np.array([p["keypoints"] for p in json.loads(file.read_text())["annotations"]])
        assert (triples.reshape(-1, 17, 3)[..., 2] == 0).sum(axis=1).tolist() == [4] * 5


def test_openpose_keypoints_of_a_missing_keypoint_are_missing(tmp_path: Path, truth: Path) -> None:
    WRITERS["openpose"](read_any(truth), tmp_path / "poses")
    first = sorted((tmp_path / "poses").iterdir())[0]
    triples = np.array(json.loads(first.read_text())["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
    for name in ("neck", "left_shoulder", "right_ankle"):
        assert triples[BODY_25.index(name)].tolist() == [0, 0, 0]
    assert triples[BODY_25.index("middle_hip")].all()


def test_coco_results(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["coco"](tracks, tmp_path / "out.json")
    people = json.loads((tmp_path / "out.json").read_text())
    assert [(person["image_id"], person["track_id"]) for person in people] == [
        (4, 1), (4, 2), (7, 2), (7, 30), (8, 1),
    ]  # fmt: skip
    first, poses = people[0], tracks.frames[0].people
    triples = np.array(first["keypoints"]).reshape(17, 3)
    for name in ("nose", "left_ear", "right_ankle"):
        k = POSETRACK.keypoints.index(name)
        expected = [*poses.keypoints[0, k], poses.keypoint_scores[0, k]]
        assert np.allclose(triples[COCO.keypoints.index(name)], expected)
    assert (triples[COCO.keypoints.index("left_eye")] == 0).all()
    x, y, width, height = first["bbox"]
    assert np.allclose([x, y, x + width, y + height], poses.boxes[0], atol=0.011)


def test_coco_results_of_a_coco_skeleton_keep_every_keypoint(tmp_path: Path) -> None:
    tracks = make_tracks(tmp_path / "in.json", COCO)
    WRITERS["coco"](tracks, tmp_path / "out.json")
    first = json.loads((tmp_path / "out.json").read_text())[0]
    expected = np.concatenate(
        [tracks.frames[0].people.keypoints[0], tracks.frames[0].people.keypoint_scores[0][:, None]], axis=1
    )
    assert np.allclose(np.array(first["keypoints"]).reshape(17, 3), expected)


def test_mot(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["mot"](tracks, tmp_path / "out.txt")
    table = np.loadtxt(tmp_path / "out.txt", delimiter=",")
    assert table[:, :2].tolist() == [[5, 1], [5, 2], [8, 2], [8, 30], [9, 1]]
    boxes = np.concatenate([frame.people.boxes for frame in tracks.frames])
    assert np.allclose(table[:, 2:4], boxes[:, :2])
    assert np.allclose(table[:, 2:4] + table[:, 4:6], boxes[:, 2:], atol=0.011)
    assert np.allclose(table[:, 6], np.concatenate([frame.people.scores for frame in tracks.frames]))
    assert (table[:, 7:] == -1).all()


def test_openpose(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["openpose"](tracks, tmp_path / "poses")
    names = sorted(file.name for file in (tmp_path / "poses").iterdir())
    assert names == [f"poses_{index:012d}_keypoints.json" for index, _, _ in FRAMES]
    assert json.loads((tmp_path / "poses" / names[1]).read_text())["people"] == []
    people = json.loads((tmp_path / "poses" / names[2]).read_text())["people"]
    assert [person["person_id"] for person in people] == [[2], [30]]
    triples = np.array(people[1]["pose_keypoints_2d"]).reshape(25, 3)
    poses = tracks.frames[2].people
    knee = POSETRACK.keypoints.index("right_knee")
    assert np.allclose(triples[BODY_25.index("right_knee"), :2], poses.keypoints[1, knee])
    shoulders = [POSETRACK.keypoints.index(f"{side}_shoulder") for side in ("left", "right")]
    assert np.allclose(
        triples[BODY_25.index("neck"), :2], poses.keypoints[1, shoulders].mean(axis=0), atol=1e-3
    )
    assert (triples[BODY_25.index("left_big_toe")] == 0).all()


def test_posetrack21_is_read_by_its_kit(tmp_path: Path, tracks: Tracks) -> None:
    """Its kit takes the 17 keypoints in their order, finds frames by id, and ignores keypoints with x or y below 0."""
    WRITERS["posetrack21"](tracks, tmp_path / "000342_mpii_test.json")
    sequence = read_posetrack(tmp_path / "000342_mpii_test.json", fixed_order=True)
    assert sequence.image_ids.tolist() == [10003420004, 10003420005, 10003420007, 10003420008]
    assert sequence.ids.tolist() == [1, 2, 2, 30, 1]
    columns = [POSETRACK.keypoints.index(name) for name in SCORED_KEYPOINTS]
    expected = np.concatenate([frame.people.keypoints[:, columns] for frame in tracks.frames])
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


@pytest.mark.parametrize(
    ("name", "message"), [("posetrack21", "not those of coco"), ("posetrack17", "head_bottom")]
)
def test_coco_keypoints_are_refused_by_posetrack(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WRITERS[name](make_tracks(tmp_path / "in.json", COCO), tmp_path / "out.json")


def test_one_file_for_each_track(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["per-track"](tracks, tmp_path / "people")
    names = sorted(file.name for file in (tmp_path / "people").iterdir())
    assert names == ["id_1.json", "id_2.json", "id_30.json"]
    for name in names:
        assert not find_faults(json.loads((tmp_path / "people" / name).read_text()))
    alone = read_tracks(tmp_path / "people" / "id_2.json")
    assert [len(frame.people) for frame in alone.frames] == [1, 0, 1, 0]
    assert_same(tracks, read_any(tmp_path / "people"))
    (tmp_path / "people" / "id_3.json").write_bytes((tmp_path / "people" / "id_2.json").read_bytes())
    with pytest.raises(InputError, match="contain the same id"):
        read_any(tmp_path / "people")


def test_a_folder_without_tracks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without id_"):
        read_any(tmp_path)


def test_smoothed(tmp_path: Path, tracks: Tracks) -> None:
    smoothed = with_smoothed_keypoints(tracks)
    assert np.array_equal(smoothed.frames[0].people.keypoints, tracks.frames[0].people.smoothed_keypoints)
    people = tracks.frames[0].people
    people.keypoints[0, 3] = people.keypoint_scores[0, 3] = 0
    assert with_smoothed_keypoints(tracks).frames[0].people.keypoints[0, 3].tolist() == [0, 0], "missing"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(posetrack, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "parquet"])
def test_the_command(tmp_path: Path, tracks: Tracks, name: str) -> None:
    result = command("convert", tracks.path, "--to", name, "--out", tmp_path / "out", "--smoothed")
    assert result.exit_code == 0, result.output
    assert "4 frames, 5 poses, 3 identities" in result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "tracks.json"]


def test_every_format_has_a_writer_and_is_offered() -> None:
    assert tuple(WRITERS) == FORMATS
    to = next(option for option in posetrack.commands["convert"].params if option.name == "to")
    assert tuple(to.type.choices) == (*FORMATS, SUBMISSION)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "ending", "message"),
    [
        ("a,b\n1,2\n", "csv", "its columns"),
        ("", "csv", "is not a CSV file"),
        ("{}", "json", "no list 'images'"),
        ("no parquet", "parquet", "is not a readable Parquet file"),
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
    assert "already exists" in str(result.exception)
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_a_csv_from_a_spreadsheet_is_read(tmp_path: Path, tracks: Tracks) -> None:
    """With a byte order mark, and ids as decimal numbers because some cells of the column are empty."""
    WRITERS["csv"](tracks, tmp_path / "t.csv")
    header, *rows = (tmp_path / "t.csv").read_text().splitlines()
    column = header.split(",").index("id")
    cells = [row.split(",") for row in rows]
    for row in cells:
        row[column] += ".0" if row[column] else ""
    lines = [header, *(",".join(row) for row in cells)]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    assert_same(tracks, read_any(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "1.5", "row 3: a cell is empty"),
        ("id", "1", "row 3: the id 1 occurs twice in frame 4; give every person their own id"),
        ("id", "-1", "row 3: the id -1 is not from 0"),
        ("id", "1e30", "row 3: the id 1000000000000000019884624838656 is not from 0"),
        ("nose_x", "nan", "row 3: a cell is empty"),
        ("seconds", "inf", "row 3: a cell is empty"),
        ("frame_index", "-1", "row 3: a cell is empty"),
        ("frame_index", "1e400", "row 3: a cell is empty"),
    ],
)
def test_a_wrong_cell_is_refused(
    tmp_path: Path, tracks: Tracks, column: str, value: str, message: str
) -> None:
    WRITERS["csv"](tracks, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    cells = lines[2].split(",")
    cells[lines[0].split(",").index(column)] = value
    lines[2] = ",".join(cells)
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        read_any(tmp_path / "t.csv")
