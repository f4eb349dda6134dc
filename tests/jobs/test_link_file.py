"""`posetrack link` gives stored poses new identities, and refuses wrong files in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app import link as link_file
from posetrack_app.cli.link import link
from posetrack_app.core.errors import InputError
from posetrack_app.core.records import DETECTED, INTERPOLATED, Detections, FrameInfo
from posetrack_app.core.skeletons import COCO, POSETRACK
from posetrack_app.formats import TracksWriter, read_tracks


def _write(path: Path, frames: int = 30) -> None:
    """Two people who walk past each other; halfway their ids are swapped, as by a bad tracker."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 1, (2, 17, 2)) * [50, 150]
    with TracksWriter(path, skeleton=POSETRACK, info={"frame_rate": 25}) as writer:
        for index in range(frames):
            corner = np.array([[6.0 * index, 0.0], [180.0 - 6 * index, 5.0]])
            keypoints = corner[:, None] + shape
            ids = np.array([7, 9] if index < frames // 2 else [9, 7])
            writer.write(
                FrameInfo(index, index / 25),
                Detections.detected(
                    np.concatenate([corner, corner + np.array([50.0, 150.0])], axis=1), np.full(2, 0.95)
                )
                .with_keypoints(keypoints, np.full((2, 17), 0.8))
                .with_ids(ids),
            )


def test_new_identities(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    result = CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    assert result.output == f"{tmp_path / 'out.json'}: 2 people in 30 frames\n"
    before, after = read_tracks(tmp_path / "in.json"), read_tracks(tmp_path / "out.json")
    assert [frame.people.ids.tolist() for frame in after.frames] == [[1, 2]] * 30
    assert after.info["linked_from"] == "in.json"
    for old, new in zip(before.frames, after.frames, strict=True):
        np.testing.assert_array_equal(old.people.keypoints, new.people.keypoints)


def test_settings_are_used(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    (tmp_path / "strict.toml").write_text("[tracker]\nhigh_score = 0.96\n")
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")]
    result = CliRunner().invoke(link, [*arguments, "--config", str(tmp_path / "strict.toml")])
    assert "0 people in 30 frames" in result.output


@pytest.mark.parametrize(("patience", "ids"), [(3.0, {1}), (1.0, {1, 2})])
def test_an_id_ends_at_missing_frames_longer_than_the_patience(
    tmp_path: Path, patience: float, ids: set[int]
) -> None:
    keypoints = np.random.default_rng(0).uniform(0, 1, (1, 17, 2)) * [50, 150]
    with TracksWriter(tmp_path / "in.json", skeleton=POSETRACK, info={"frame_rate": 25}) as writer:
        for index in [*range(20), *range(70, 90)]:  # two seconds are missing
            box, score, scores = np.array([[0.0, 0, 50, 150]]), np.full(1, 0.95), np.full((1, 17), 0.8)
            writer.write(
                FrameInfo(index, index / 25),
                Detections.detected(box, score).with_keypoints(keypoints, scores).with_ids(np.array([5])),
            )
    (tmp_path / "settings.toml").write_text(f"[tracker]\npatience_seconds = {patience}\n")
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")]
    CliRunner().invoke(
        link, [*arguments, "--config", str(tmp_path / "settings.toml")], catch_exceptions=False
    )
    assert set(read_tracks(tmp_path / "out.json").ids) == ids


def test_the_second_pass_fills_gaps_and_marks_the_poses(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] not in (4, 5)]
    (tmp_path / "in.json").write_text(json.dumps(content))
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json"), "--second-pass"]
    result = CliRunner().invoke(link, [*arguments, "--smooth", "kalman"])
    assert "2 people in 30 frames" in result.output
    after = read_tracks(tmp_path / "out.json")
    assert after.info["second_pass"]["smoothing"] == "kalman"
    assert [len(frame.people) for frame in after.frames] == [2] * 30
    for index, frame in enumerate(after.frames):
        assert frame.people.origins.tolist() == [INTERPOLATED if index in (4, 5) else DETECTED] * 2


def _standing(path: Path, frames: int, shift: float, *, cut: bool = False) -> None:
    """A person who stands still. Halfway the camera moves by `shift` pixels, or there is a cut to another person."""
    shape = np.random.default_rng(0).uniform(0, 1, (1, 17, 2)) * [50, 150]
    with TracksWriter(path, skeleton=POSETRACK, info={}) as writer:
        for index in range(frames):
            is_second_half, is_middle = index >= frames // 2, index == frames // 2
            corner = np.array([[300.0 + is_second_half * shift, 100.0]])
            box = np.concatenate([corner, corner + np.array([50.0, 150.0])], axis=1)
            keypoints = corner[:, None] + shape
            person = (
                Detections.detected(box, np.full(1, 0.95))
                .with_keypoints(keypoints, np.full((1, 17), 0.8))
                .with_ids(np.ones(1, dtype=np.int64))
            )
            motion = np.array([[1.0, 0, shift], [0, 1, 0]]) if is_middle and not cut else None
            writer.write(FrameInfo(index, index / 25, camera_motion=motion, is_cut=is_middle and cut), person)


@pytest.mark.parametrize("options", [[], ["--second-pass"]])
def test_identities_end_at_a_cut(tmp_path: Path, options: list[str]) -> None:
    _standing(tmp_path / "in.json", 40, shift=0.0, cut=True)
    CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json"), *options])
    after = read_tracks(tmp_path / "out.json")
    assert [frame.people.ids.tolist() for frame in after.frames] == [[1]] * 20 + [[2]] * 20
    assert [frame.info.index for frame in after.frames if frame.info.is_cut] == [20]


def test_people_move_with_the_camera(tmp_path: Path) -> None:
    _standing(tmp_path / "in.json", 40, shift=400.0)
    CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    after = read_tracks(tmp_path / "out.json")
    assert after.ids == [1]
    assert after.frames[20].info.camera_motion is not None


def test_frames_with_decreasing_times_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["images"][3]["seconds"] = 0.01
    (tmp_path / "in.json").write_text(json.dumps(content))
    result = CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    assert isinstance(result.exception, InputError)
    assert "frame 3: its 'seconds' (0.01) must be later than those of frame 2" in str(result.exception)
    assert not (tmp_path / "out.json").exists()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.json"):
        CliRunner().invoke(link, [str(tmp_path / "nothing.json"), "--out", "x.json"], catch_exceptions=False)


def _coco_results(path: Path, first: int) -> None:
    """One person in 20 frames from `first`, missing in two of them, as a list of COCO results without ids."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 1, (17, 2)) * [50, 150]
    people = []
    for index in range(20):
        triples = np.concatenate([shape + [3.0 * index, 0], np.full((17, 1), 0.8)], axis=1)
        person = {
            "image_id": first + index,
            "category_id": 1,
            "keypoints": triples.ravel().tolist(),
            "score": 0.95,
        }
        people += [] if index in (8, 9) else [person]
    path.write_text(json.dumps(people))


def test_coco_results_without_ids(tmp_path: Path) -> None:
    _coco_results(tmp_path / "in.json", first=500_000)
    result = CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    assert result.output.endswith("1 person in 20 frames\n")
    after = read_tracks(tmp_path / "out.json")
    assert [frame.info.index for frame in after.frames] == list(range(20))
    assert [frame.people.ids.tolist() for frame in after.frames] == [[1]] * 8 + [[]] * 2 + [[1]] * 10
    assert after.skeleton == COCO
    np.testing.assert_array_equal(after.frames[0].people.keypoint_scores, np.full((1, 17), 0.8))


def test_coco_results_keep_their_frame_numbers(tmp_path: Path) -> None:
    """Frames without people, also the first ones of a video, are missing in such a list."""
    _coco_results(tmp_path / "in.json", first=30)
    link_file(tmp_path / "in.json", tmp_path / "out.json")
    after = read_tracks(tmp_path / "out.json")
    assert [frame.info.index for frame in after.frames if len(frame.people)] == [
        *range(30, 38),
        *range(40, 50),
    ]
    assert after.frames[30].info.seconds == 30 / 25


def test_info_of_the_linked_file(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["info"] |= {
        "complete": False,
        "config": {"precision": "float32", "tracker": {"high_score": 0.88}},
    }
    for image in content["images"]:
        image["file_name"] = f"images/{image['id']}.png"
    (tmp_path / "in.json").write_text(json.dumps(content))
    (tmp_path / "settings.toml").write_text("[tracker]\nhigh_score = 0.5\n[smoothing]\nenabled = false\n")
    link_file(
        tmp_path / "in.json", tmp_path / "out.json", config=tmp_path / "settings.toml", second_pass=True
    )
    after = read_tracks(tmp_path / "out.json")
    assert after.info["config"]["precision"] == "float32"
    assert after.info["config"]["tracker"]["high_score"] == 0.5
    assert after.info["config"]["smoothing"]["enabled"] is False
    assert after.info["second_pass"]["smoothing"] == "butterworth"
    assert after.info["complete"] is False
    assert after.frames[3].info.file_name == "images/3.png"


def test_poses_without_an_identity_are_counted(tmp_path: Path) -> None:
    """Here from a file that has poses mostly in every fourth frame."""
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["annotations"] = [
        a for a in content["annotations"] if a["image_id"] % 4 == 0 or a["image_id"] > 20
    ]
    (tmp_path / "in.json").write_text(json.dumps(content))
    report = link_file(tmp_path / "in.json", tmp_path / "out.json")
    assert (report.tracks, report.poses, report.unassigned) == (2, 20, 10)
    assert "2 people in 30 frames; 10 poses got no identity" in report.summary()
    again = link_file(tmp_path / "in.json", tmp_path / "out.json", second_pass=True, force=True)
    assert again.unassigned == 10
    assert again.poses >= 20


def test_false_positives_that_the_second_pass_drops_are_counted(tmp_path: Path) -> None:
    """A track of four frames with low scores, next to a person who stays."""
    with TracksWriter(tmp_path / "in.json", skeleton=POSETRACK, info={}) as writer:
        for index in range(30):
            count = 2 if index < 4 else 1
            corner = np.array([[3.0 * index, 0], [400.0, 5]])[:count]
            keypoints = corner[:, None] + np.random.default_rng(0).uniform(0, 1, (1, 17, 2)) * [50, 150]
            boxes = np.concatenate([corner, corner + np.array([50.0, 150.0])], axis=1)
            scores, keypoint_scores = np.array([0.95, 0.5])[:count], np.full((count, 17), 0.8)
            writer.write(
                FrameInfo(index, index / 25),
                Detections.detected(boxes, scores)
                .with_keypoints(keypoints, keypoint_scores)
                .with_ids(np.arange(count) + 1),
            )
    (tmp_path / "low.toml").write_text("[tracker]\nhigh_score = 0.4\n")
    first, second = (
        link_file(
            tmp_path / "in.json",
            tmp_path / f"{second_pass}.json",
            config=tmp_path / "low.toml",
            second_pass=second_pass,
        )
        for second_pass in (False, True)
    )
    assert (first.tracks, first.unassigned) == (2, 0)
    assert (second.tracks, second.unassigned) == (1, 4)


def test_posetrack18_without_ids(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    for person in content["annotations"]:
        del person["track_id"]
    del content["info"]
    (tmp_path / "in.json").write_text(json.dumps(content))
    result = CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    assert "2 people in 30 frames" in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "an empty list does not say how many frames"),
        ('[{"bbox": [1, 2, 3, 4]}]', "entry 0: a COCO result needs an integer 'image_id'"),
        ('[{"image_id": 3, "bbox": [1, 2, 3, 4]}]', "entry 0 has no 'keypoints'; linking needs poses"),
        ('[{"image_id": 3, "keypoints": "none"}]', "'keypoints' must be a list of 51 numbers"),
        (
            '[{"image_id": 3, "keypoints": []}, {"image_id": 9999, "keypoints": []}]',
            "one file for each video",
        ),
    ],
)
def test_wrong_coco_results(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "in.json").write_text(content)
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")]
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(link, arguments, catch_exceptions=False)
