"""tracks.json: it is read as it was written, an interrupted run keeps its frames, and errors name the wrong entry."""

from __future__ import annotations

import errno
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_tracks import some_people

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_file
from posetrack_app.core.records import FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import COCO, POSETRACK, Skeleton
from posetrack_app.formats import Tracks, TracksWriter, read_tracks
from posetrack_app.formats.convert import write_tracks
from posetrack_app.formats.posetrack.read18 import posetrack18_sequence
from posetrack_app.formats.tracks_json import writer as writer_module
from posetrack_app.formats.tracks_json.validate import find_faults

FRAMES = [(4, 0.16, [1, 2]), (5, 0.207, []), (7, 0.28, [2, 3, 900_000])]


def write(path: Path, skeleton: Skeleton = POSETRACK) -> list[TrackedPoses]:
    people = [some_people(ids, seed, lowest=-50) for seed, (_, _, ids) in enumerate(FRAMES)]
    with TracksWriter(path, skeleton=skeleton, info={"decoder": "none", "frame_rate": 25.0}) as writer:
        for (index, seconds, _), poses in zip(FRAMES, people, strict=True):
            writer.write(FrameInfo(index, seconds), poses)
        writer.finish({"seconds_per_stage": {"pose": 1.5}})
    return people


def same(one: TrackedPoses, other: TrackedPoses) -> bool:
    columns = (
        "boxes", "scores", "keypoints", "keypoint_scores", "ids", "smoothed_keypoints", "origins", "keypoint_origins"
    )  # fmt: skip
    return all(
        np.allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-9)
        and getattr(one, name).shape == getattr(other, name).shape
        for name in columns
    )


@pytest.mark.parametrize("skeleton", [POSETRACK, COCO])
def test_a_file_is_read_as_it_was_written(tmp_path: Path, skeleton: Skeleton) -> None:
    people = write(tmp_path / "tracks.json", skeleton)
    tracks = read_tracks(tmp_path / "tracks.json")
    assert [(frame.info.index, frame.info.seconds) for frame in tracks.frames] == [
        (i, s) for i, s, _ in FRAMES
    ]
    assert all(same(frame.people, poses) for frame, poses in zip(tracks.frames, people, strict=True))
    assert tracks.skeleton is skeleton
    assert tracks.ids == [1, 2, 3, 900_000]
    assert tracks.info["schema_version"] == 2
    assert tracks.info["decoder"] == "none"
    assert tracks.info["seconds_per_stage"] == {"pose": 1.5}
    assert tracks.info["complete"] is True
    assert [file.name for file in tmp_path.iterdir()] == ["tracks.json"]


def test_the_file_is_posetrack18(tmp_path: Path) -> None:
    """The reader of the evaluation, which knows only the PoseTrack18 layout, finds the same people."""
    people = write(tmp_path / "tracks.json")
    content = json.loads((tmp_path / "tracks.json").read_text())
    sequence = posetrack18_sequence(tmp_path / "tracks.json", content)
    assert sequence.ids is not None
    assert sequence.ids.tolist() == [1, 2, 2, 3, 900_000]
    nose = POSETRACK.keypoints.index("nose")
    wanted = np.concatenate([poses.keypoints[:, nose] for poses in people])
    assert any(np.allclose(sequence.keypoints[:, k], wanted) for k in range(sequence.keypoints.shape[1]))
    limb = content["categories"][0]["skeleton"][0]
    assert [content["categories"][0]["keypoints"][end - 1] for end in limb] == ["left_ankle", "left_knee"]


def test_coordinates_have_two_decimals_and_scores_four(tmp_path: Path) -> None:
    poses = some_people([1], 0, lowest=-50)
    unrounded = replace(
        poses,
        boxes=poses.boxes + 1 / 3,
        scores=poses.scores / 3,
        keypoints=poses.keypoints + 1 / 3,
        keypoint_scores=poses.keypoint_scores / 3,
        smoothed_keypoints=poses.keypoints + 2 / 3,
    )
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}) as writer:
        writer.write(FrameInfo(0, 0.0), unrounded)
    person = json.loads((tmp_path / "t.json").read_text())["annotations"][0]
    for key, decimals in (("bbox", 2), ("keypoints", 2), ("keypoints_smoothed", 2), ("scores", 4)):
        assert all(len(str(value).partition(".")[2]) <= decimals for value in person[key]), key


def test_a_missing_keypoint_stays_missing(tmp_path: Path) -> None:
    """0 0 0 is a missing keypoint; a keypoint at (0, 0) with a score is not."""
    write(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    person = content["annotations"][0]
    person["keypoints"][:9] = [0, 0, 0, 0, 0, 1, 7, 8, 1]
    person["scores"][:3] = [0.9, 0.5, 0]
    person["keypoints_smoothed"][:3] = [3, 4, 1]
    (tmp_path / "t.json").write_text(json.dumps(content))
    frame = read_tracks(tmp_path / "t.json").frames[0]
    assert frame.people.keypoint_scores[0, :3].tolist() == [0, 0.5, 0]
    with TracksWriter(tmp_path / "again.json", skeleton=POSETRACK, info={}) as writer:
        writer.write(FrameInfo(0, 0.0), frame.people)
    again = json.loads((tmp_path / "again.json").read_text())["annotations"][0]
    assert again["keypoints"][:9] == [0, 0, 0, 0, 0, 1, 7, 8, 1]
    assert again["scores"][:3] == [0, 0.5, 0]
    assert again["keypoints_smoothed"][:3] == [0, 0, 0]


def test_a_file_without_frames_is_readable(tmp_path: Path) -> None:
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}):
        pass
    assert read_tracks(tmp_path / "t.json").frames == []


def write_until_interrupted(target: Path, poses: TrackedPoses) -> None:
    with TracksWriter(target, skeleton=POSETRACK, info={}) as writer:
        writer.write(FrameInfo(0, 0.0), poses)
        raise KeyboardInterrupt


def test_an_exception_keeps_the_frames_so_far(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "tracks.json"
    target.write_text("the file of an earlier run")
    first = some_people([1, 2], 0, lowest=-50)
    with pytest.raises(KeyboardInterrupt):
        write_until_interrupted(target, first)
    assert target.read_text() == "the file of an earlier run"
    partial = read_tracks(tmp_path / "tracks.partial.json")
    assert same(partial.frames[0].people, first)
    assert partial.info["complete"] is False
    assert caplog.messages == [f"the frames done so far (1) are kept in {tmp_path / 'tracks.partial.json'}"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tracks.json", "tracks.partial.json"]


class FullDisk:
    """A file on a full disk."""

    def __init__(self, file: Any) -> None:
        self.fileno, self.file = file.fileno, file

    def write(self, content: bytes) -> int:
        return len(content)

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        self.file.close()
        self.flush()


def test_on_a_full_disk_the_frames_are_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A live stream cannot be replayed."""
    full, roomy = tmp_path / "full", tmp_path / "roomy"
    full.mkdir()
    roomy.mkdir()
    poses = [some_people([1, 2], k, lowest=-50) for k in range(3)]
    writer = TracksWriter(full / "t.json", skeleton=POSETRACK, info={})
    writer.write(FrameInfo(0, 0.0), poses[0])
    writer.write(FrameInfo(1, 0.04), poses[1])
    writer._sections[1] = FullDisk(writer._sections[1])  # type: ignore[call-overload]

    def no_room(path: Path) -> Any:
        if path.parent == full:
            raise InputError("no room")
        return atomic_file(path)

    monkeypatch.setattr(writer_module, "atomic_file", no_room)
    monkeypatch.setattr(tempfile, "tempdir", str(roomy))
    with pytest.raises(InputError, match=r"t\.json: writing failed \(No space left"), writer:
        writer.write(FrameInfo(2, 0.08), poses[2])
    (kept,) = roomy.glob("posetrack-*/t.partial.json")
    assert caplog.messages == [f"the frames done so far (2) are kept in {kept}"]
    frames = read_tracks(kept).frames
    assert [frame.info.index for frame in frames] == [0, 1]
    assert all(same(frame.people, expected) for frame, expected in zip(frames, poses, strict=False))


def test_an_exception_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError), TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}):
        raise InputError("no such video")
    assert list(tmp_path.iterdir()) == []


def test_nan_is_refused_and_the_frames_before_are_kept(tmp_path: Path) -> None:
    good, bad = some_people([1], 0, lowest=-50), some_people([1, 2], 1, lowest=-50)
    bad.keypoints[1, 3, 0] = np.nan
    writer = TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={})
    writer.write(FrameInfo(0, 0.0), good)
    with pytest.raises(ValueError, match="JSON"), writer:
        writer.write(FrameInfo(1, 0.04), bad)
    assert [frame.info.index for frame in read_tracks(tmp_path / "t.partial.json").frames] == [0]


@pytest.mark.parametrize("target", ["missing/t.json", "."])
def test_a_target_that_cannot_be_written(tmp_path: Path, target: str) -> None:
    with pytest.raises(InputError, match="folder"):
        TracksWriter(tmp_path / target, skeleton=POSETRACK, info={})


def test_the_camera_motion_comes_back(tmp_path: Path) -> None:
    path, no_people = tmp_path / "t.json", some_people([], 0)
    turned = np.array([[0.9, -0.1, 3.25], [0.1, 0.9, -4.5]])
    with TracksWriter(path, skeleton=POSETRACK, info={}) as writer:
        writer.write(FrameInfo(0, 0.0, camera_motion=np.eye(2, 3)), no_people)
        writer.write(FrameInfo(1, 0.04, camera_motion=turned), no_people)
        writer.write(FrameInfo(2, 0.08, is_cut=True), no_people)
        writer.write(FrameInfo(3, 0.12), no_people)
    assert find_faults(json.loads(path.read_text())) == []
    first, second, third, fourth = read_tracks(path).frames
    assert [frame.info.is_cut for frame in (first, second, third, fourth)] == [False, False, True, False]
    assert first.info.camera_motion is third.info.camera_motion is fourth.info.camera_motion is None
    np.testing.assert_array_equal(second.info.camera_motion, turned)
    copy = tmp_path / "copy.json"
    write_tracks(read_tracks(path), copy)
    assert json.loads(copy.read_text())["images"] == json.loads(path.read_text())["images"]


def broken(content: dict[str, Any], where: list[Any], value: Any) -> dict[str, Any]:
    entry: Any = content
    for key in where[:-1]:
        entry = entry[key]
    entry[where[-1]] = value
    return content


FAULTS: list[tuple[list[Any], Any, str]] = [
    (["images"], None, "no list 'images'"),
    (["annotations"], {}, "no list 'annotations'"),
    (["info"], 3, "'info'"),
    (
        ["info", "schema_version"],
        99,
        "has schema version 99; this posetrack reads up to 2, so update posetrack",
    ),
    (["info", "schema_version"], "2", "has schema version '2'"),
    (["categories", 0, "keypoints", 0], "snout", "'categories'"),
    (["categories"], [7], "'categories'"),
    (["images", 1, "id"], "x", r"images\[1\]"),
    (["images", 1, "id"], 4, "two images have the id 4"),
    (["images", 1, "frame_index"], -1, "frame_index"),
    (["images", 1, "frame_index"], 4, "two images have the frame_index 4"),
    (["images", 1, "seconds"], "late", r"frame 5.*'seconds'"),
    (
        ["images", 1, "seconds"],
        0.1,
        r"frame 5: its 'seconds' \(0\.1\) must be later than those of frame 4 \(0\.16\)",
    ),
    (["images", 1, "camera_motion"], [1, 0, 0, 0, 1], "frame 5.*'camera_motion' must be a list of 6"),
    (["images", 1, "cut"], 1, "frame 5.*'cut' must be true or false"),
    (["annotations", 2, "image_id"], [], r"annotations\[2\].*image_id"),
    (["annotations", 1, "track_id"], 1.5, r"frame 4, person 1\.5: 'track_id'"),
    (["annotations", 1, "track_id"], 1, "frame 4: two people have the track_id 1"),
    (["annotations", 1, "keypoints"], [0, 0, 1], "frame 4, person 2: 'keypoints' must be a list of 51"),
    (["annotations", 1, "keypoints", 7], None, "frame 4, person 2: 'keypoints'"),
    (["annotations", 1, "keypoints", 7], True, "frame 4, person 2: 'keypoints'"),
    (["annotations", 1, "scores"], [1], "frame 4, person 2: 'scores'"),
    (["annotations", 1, "score"], "high", "frame 4, person 2: 'score'"),
    (["annotations", 1, "bbox"], [1, 2, -3, 4], "frame 4, person 2: 'bbox'"),
    (["annotations", 1, "keypoints_smoothed"], {}, "frame 4, person 2: 'keypoints_smoothed'"),
]


@pytest.mark.parametrize(("where", "value", "message"), FAULTS)
def test_an_error_names_the_wrong_entry(tmp_path: Path, where: list[Any], value: Any, message: str) -> None:
    path = tmp_path / "tracks.json"
    write(path)
    path.write_text(json.dumps(broken(json.loads(path.read_text()), where, value)))
    with pytest.raises(InputError, match=message) as error:
        read_tracks(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_wrong_info_is_refused(tmp_path: Path) -> None:
    """It is copied into files that are written from this one, and those must be valid."""
    path = tmp_path / "tracks.json"
    write(path)
    content = json.loads(path.read_text())
    content["info"]["video"] = {"frame_rate": None}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"info\.video\.frame_rate: must be a number, got null"):
        read_tracks(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"[" * 100_000, b"null", b"9" * 5000])
def test_a_file_that_is_no_tracks_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tracks.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tracks\.json is not a (tracks|valid JSON) file"):
        read_tracks(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_tracks(tmp_path / "none.json")


def test_a_plain_posetrack18_file_reads_too(tmp_path: Path) -> None:
    """Frames in the order of the file, boxes around the labelled keypoints, scores 1."""
    write(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    del content["info"]
    for image in content["images"]:
        del image["frame_index"], image["seconds"]
    for person in content["annotations"]:
        for key in ("bbox", "score", "scores", "keypoints_smoothed"):
            del person[key]
        person["keypoints"][:3] = [0, 0, 0]
    (tmp_path / "t.json").write_text(json.dumps(content))
    tracks: Tracks = read_tracks(tmp_path / "t.json")
    assert [frame.info.index for frame in tracks.frames] == [0, 1, 2]
    assert tracks.frames[2].info.seconds == pytest.approx(0.08)
    poses = tracks.frames[0].people
    assert poses.keypoint_scores[:, 0].tolist() == [0, 0]
    assert (poses.keypoint_scores[:, 1:] == 1).all()
    assert np.allclose(poses.boxes[:, :2], poses.keypoints[:, 1:].min(axis=1))
    assert np.array_equal(poses.smoothed_keypoints, poses.keypoints)


def test_an_unknown_origin_is_named(tmp_path: Path) -> None:
    write(tmp_path / "tracks.json")
    content = json.loads((tmp_path / "tracks.json").read_text())
    assert [person["origin"] for person in content["annotations"][:2]] == ["detected", "propagated"]
    content["annotations"][1]["origin"] = "guessed"
    (tmp_path / "tracks.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"frame 4, person 2: 'origin' must be one of detected, .* got 'guessed'"
    ):
        read_tracks(tmp_path / "tracks.json")


def test_keypoints_have_the_origin_of_their_person_unless_the_file_says_more(tmp_path: Path) -> None:
    write(tmp_path / "tracks.json")
    content = json.loads((tmp_path / "tracks.json").read_text())
    people = content["annotations"]
    assert people[0]["keypoint_origins"] == ["detected"] * 4 + ["propagated"] + ["detected"] * 12
    del people[1]["keypoint_origins"]
    (tmp_path / "tracks.json").write_text(json.dumps(content))
    assert not find_faults(content)
    tracked = read_tracks(tmp_path / "tracks.json").frames[0].people
    assert tracked.keypoint_origins.tolist() == [[0] * 4 + [1] + [0] * 12, [1] * 17]
    people[0]["keypoint_origins"][3] = "guessed"
    (tmp_path / "tracks.json").write_text(json.dumps(content))
    assert "annotations[0].keypoint_origins[3] (frame 4, person 1): must be one of" in find_faults(content)[0]
    with pytest.raises(
        InputError, match="frame 4, person 1: 'keypoint_origins' must be a list of 17, each one of"
    ):
        read_tracks(tmp_path / "tracks.json")


def test_counts_are_those_of_the_new_file_and_incomplete_stays_incomplete(tmp_path: Path) -> None:
    poses = write(tmp_path / "old.json")
    info = {**read_tracks(tmp_path / "old.json").info, "complete": False, "frames": 99, "schema_version": 0}
    with TracksWriter(tmp_path / "new.json", skeleton=POSETRACK, info=info) as writer:
        writer.write(FrameInfo(0, 0.0), poses[0][:1])
    written = read_tracks(tmp_path / "new.json").info
    assert (written["frames"], written["tracks"], written["schema_version"]) == (1, 1, 2)
    assert written["complete"] is False


def version_1(path: Path) -> dict[str, Any]:
    """A file as posetrack 0.1 wrote it."""
    write(path)
    content: dict[str, Any] = json.loads(path.read_text())
    switch = {"frame": 7, "ids": [2, 3], "reason": "crossing", "score": 0.5}
    content["info"] |= {"schema_version": 1, "posetrack_version": "0.1.0", "suspicions": [switch]}
    path.write_text(json.dumps(content))
    return content


def test_version_1_is_read_under_the_names_of_version_2(tmp_path: Path) -> None:
    old = version_1(tmp_path / "old.json")
    tracks = read_tracks(tmp_path / "old.json")
    assert tracks.info["schema_version"] == 2
    assert tracks.info["possible_id_switches"] == old["info"]["suspicions"]
    assert "suspicions" not in tracks.info
    assert tracks.ids == [1, 2, 3, 900_000]
    write_tracks(tracks, tmp_path / "new.json")
    new = json.loads((tmp_path / "new.json").read_text())
    assert find_faults(new) == []
    assert new["info"]["schema_version"] == 2
    assert new["info"]["possible_id_switches"] == old["info"]["suspicions"]
    assert new["annotations"] == old["annotations"]


def test_version_1_is_valid_and_its_possible_id_switches_are_checked(tmp_path: Path) -> None:
    old = version_1(tmp_path / "old.json")
    assert find_faults(old) == []
    assert "suspicions" in old["info"], "the caller's content is not changed"
    old["info"]["suspicions"][0]["ids"] = []
    assert find_faults(old) == ["info.possible_id_switches[0].ids: must have 1 items, got 0"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"info\.possible_id_switches\[0\]\.ids: must have 1"):
        read_tracks(tmp_path / "old.json")


@pytest.mark.parametrize("version", [0, 3, True, "1", None])
def test_another_version_is_a_fault(tmp_path: Path, version: Any) -> None:
    old = version_1(tmp_path / "old.json")
    old["info"]["schema_version"] = version
    assert any(fault.startswith("info.schema_version: must be 2, got") for fault in find_faults(old))
