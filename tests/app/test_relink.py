"""`posetrack link`: stored poses get new identities; wrong files are refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app import link as link_file
from posetrack_app.cli.link import link
from posetrack_app.errors import InputError
from posetrack_app.formats import TracksWriter, read_tracks
from posetrack_app.records import DETECTED, INTERPOLATED, TrackedPoses
from posetrack_app.skeleton import COCO, POSETRACK


def _write(path: Path, frames: int = 30) -> None:
    """Two people who walk past each other; the ids are exchanged halfway, as a bad linker would."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 1, (2, 17, 2)) * [50, 150]
    with TracksWriter(path, skeleton=POSETRACK, info={"frame_rate": 25}) as writer:
        for index in range(frames):
            corner = np.array([[6.0 * index, 0.0], [180.0 - 6 * index, 5.0]])
            keypoints = corner[:, None] + shape
            ids = np.array([7, 9] if index < frames // 2 else [9, 7])
            writer.write(
                index,
                index / 25,
                TrackedPoses(
                    np.concatenate([corner, corner + np.array([50.0, 150.0])], axis=1),
                    np.full(2, 0.95),
                    keypoints,
                    np.full((2, 17), 0.8),
                    ids,
                    keypoints,
                ),
            )


def test_links_anew(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    result = CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    assert result.output == f"{tmp_path / 'out.json'}: 2 people in 30 frames\n"
    before, after = read_tracks(tmp_path / "in.json"), read_tracks(tmp_path / "out.json")
    assert [frame.tracked.ids.tolist() for frame in after.frames] == [[1, 2]] * 30
    assert after.info["linked_from"] == "in.json"
    for old, new in zip(before.frames, after.frames, strict=True):
        np.testing.assert_array_equal(old.tracked.keypoints, new.tracked.keypoints)


def test_settings_count(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    (tmp_path / "strict.toml").write_text("[tracker]\nconfident = 0.96\n")
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")]
    result = CliRunner().invoke(link, [*arguments, "--config", str(tmp_path / "strict.toml")])
    assert "0 people in 30 frames" in result.output


@pytest.mark.parametrize(("patience", "ids"), [(3.0, {1}), (1.0, {1, 2})])
def test_nobody_keeps_an_id_over_missing_frames_for_longer_than_the_patience(
    tmp_path: Path, patience: float, ids: set[int]
) -> None:
    keypoints = np.random.default_rng(0).uniform(0, 1, (1, 17, 2)) * [50, 150]
    with TracksWriter(tmp_path / "in.json", skeleton=POSETRACK, info={"frame_rate": 25}) as writer:
        for index in [*range(20), *range(70, 90)]:  # two seconds are missing
            box, score, sure = np.array([[0.0, 0, 50, 150]]), np.full(1, 0.95), np.full((1, 17), 0.8)
            writer.write(
                index, index / 25, TrackedPoses(box, score, keypoints, sure, np.array([5]), keypoints)
            )
    (tmp_path / "mine.toml").write_text(f"[tracker]\npatience_seconds = {patience}\n")
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")]
    CliRunner().invoke(link, [*arguments, "--config", str(tmp_path / "mine.toml")], catch_exceptions=False)
    assert set(read_tracks(tmp_path / "out.json").ids) == ids


def test_offline_fills_and_says_so(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] not in (4, 5)]
    (tmp_path / "in.json").write_text(json.dumps(content))
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json"), "--offline"]
    result = CliRunner().invoke(link, [*arguments, "--smooth", "kalman"])
    assert "2 people in 30 frames" in result.output
    after = read_tracks(tmp_path / "out.json")
    assert [len(frame.tracked) for frame in after.frames] == [2] * 30
    for index, frame in enumerate(after.frames):
        assert frame.tracked.origins.tolist() == [INTERPOLATED if index in (4, 5) else DETECTED] * 2


def _standing(path: Path, frames: int, shift: float, *, cut: bool = False) -> None:
    """Somebody who stands still; from half of the frames on the camera, or after a cut another person, is elsewhere."""
    shape = np.random.default_rng(0).uniform(0, 1, (1, 17, 2)) * [50, 150]
    with TracksWriter(path, skeleton=POSETRACK, info={}) as writer:
        for index in range(frames):
            late, first = index >= frames // 2, index == frames // 2
            corner = np.array([[300.0 + late * shift, 100.0]])
            box = np.concatenate([corner, corner + np.array([50.0, 150.0])], axis=1)
            keypoints = corner[:, None] + shape
            person = TrackedPoses(
                box, np.full(1, 0.95), keypoints, np.full((1, 17), 0.8), np.ones(1, dtype=np.int64), keypoints
            )
            motion = np.array([[1.0, 0, shift], [0, 1, 0]]) if first and not cut else None
            writer.write(index, index / 25, person, camera_motion=motion, is_cut=first and cut)


@pytest.mark.parametrize("offline", [[], ["--offline"]])
def test_nobody_goes_on_over_a_cut(tmp_path: Path, offline: list[str]) -> None:
    _standing(tmp_path / "in.json", 40, shift=0.0, cut=True)
    CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json"), *offline])
    after = read_tracks(tmp_path / "out.json")
    assert [frame.tracked.ids.tolist() for frame in after.frames] == [[1]] * 20 + [[2]] * 20
    assert [frame.index for frame in after.frames if frame.is_cut] == [20]


def test_people_move_with_the_camera(tmp_path: Path) -> None:
    _standing(tmp_path / "in.json", 40, shift=400.0)
    CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    after = read_tracks(tmp_path / "out.json")
    assert after.ids == [1]
    assert after.frames[20].camera_motion is not None


def test_frames_out_of_time_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["images"][3]["seconds"] = 0.01
    (tmp_path / "in.json").write_text(json.dumps(content))
    result = CliRunner().invoke(link, [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")])
    assert isinstance(result.exception, InputError)
    assert "frame 3: its 'seconds' (0.01) are not later than those of frame 2" in str(result.exception)
    assert not (tmp_path / "out.json").exists()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.json"):
        CliRunner().invoke(link, [str(tmp_path / "nothing.json"), "--out", "x.json"], catch_exceptions=False)


def _coco_results(path: Path, first: int) -> None:
    """One person in 20 frames from `first`, gone in two of them, as a plain list of COCO results without ids."""
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
    assert result.output.endswith("1 people in 20 frames\n")
    after = read_tracks(tmp_path / "out.json")
    assert [frame.index for frame in after.frames] == list(range(20))
    assert [frame.tracked.ids.tolist() for frame in after.frames] == [[1]] * 8 + [[]] * 2 + [[1]] * 10
    assert after.skeleton == COCO
    np.testing.assert_array_equal(after.frames[0].tracked.keypoint_scores, np.full((1, 17), 0.8))


def test_coco_results_keep_their_places_in_the_video(tmp_path: Path) -> None:
    """Frames without people are not in such a list, the first ones of a video neither."""
    _coco_results(tmp_path / "in.json", first=30)
    link_file(tmp_path / "in.json", tmp_path / "out.json")
    after = read_tracks(tmp_path / "out.json")
    assert [frame.index for frame in after.frames if len(frame.tracked)] == [*range(30, 38), *range(40, 50)]
    assert after.frames[30].seconds == 30 / 25


def test_what_is_written_of_the_linking(tmp_path: Path) -> None:
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["info"] |= {"complete": False, "config": {"precision": "float32", "tracker": {"confident": 0.88}}}
    for image in content["images"]:
        image["file_name"] = f"images/{image['id']}.png"
    (tmp_path / "in.json").write_text(json.dumps(content))
    (tmp_path / "mine.toml").write_text("[tracker]\nconfident = 0.5\n[smoothing]\nenabled = false\n")
    link_file(tmp_path / "in.json", tmp_path / "out.json", config=tmp_path / "mine.toml", offline=True)
    after = read_tracks(tmp_path / "out.json")
    assert after.info["config"]["precision"] == "float32"
    assert after.info["config"]["tracker"]["confident"] == 0.5
    assert after.info["config"]["smoothing"]["enabled"] is False
    assert after.info["second_pass"]["smoothing"] == "butterworth"
    assert after.info["complete"] is False
    assert after.frames[3].file_name == "images/3.png"


def test_poses_that_are_nobodys_are_counted(tmp_path: Path) -> None:
    """As where poses are in every fourth frame only."""
    _write(tmp_path / "in.json")
    content = json.loads((tmp_path / "in.json").read_text())
    content["annotations"] = [
        a for a in content["annotations"] if a["image_id"] % 4 == 0 or a["image_id"] > 20
    ]
    (tmp_path / "in.json").write_text(json.dumps(content))
    report = link_file(tmp_path / "in.json", tmp_path / "out.json")
    assert (report.tracks, report.poses, report.nobodies) == (2, 20, 10)
    assert "2 people in 30 frames; 10 poses are nobody's" in report.summary()
    again = link_file(tmp_path / "in.json", tmp_path / "out.json", offline=True, force=True)
    assert again.nobodies == 10
    assert again.poses >= 20


def test_ghosts_that_the_second_pass_drops_are_counted(tmp_path: Path) -> None:
    """Somebody who is there for four frames, unsure, besides one who stays."""
    with TracksWriter(tmp_path / "in.json", skeleton=POSETRACK, info={}) as writer:
        for index in range(30):
            count = 2 if index < 4 else 1
            corner = np.array([[3.0 * index, 0], [400.0, 5]])[:count]
            keypoints = corner[:, None] + np.random.default_rng(0).uniform(0, 1, (1, 17, 2)) * [50, 150]
            boxes = np.concatenate([corner, corner + np.array([50.0, 150.0])], axis=1)
            scores, shares = np.array([0.95, 0.5])[:count], np.full((count, 17), 0.8)
            writer.write(
                index,
                index / 25,
                TrackedPoses(boxes, scores, keypoints, shares, np.arange(count) + 1, keypoints),
            )
    (tmp_path / "low.toml").write_text("[tracker]\nconfident = 0.4\n")
    plain, offline = (
        link_file(
            tmp_path / "in.json", tmp_path / f"{second}.json", config=tmp_path / "low.toml", offline=second
        )
        for second in (False, True)
    )
    assert (plain.tracks, plain.nobodies) == (2, 0)
    assert (offline.tracks, offline.nobodies) == (1, 4)


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
    ("content", "words"),
    [
        ("[]", "an empty list does not say how many frames"),
        ('[{"bbox": [1, 2, 3, 4]}]', "entry 0: a COCO result needs a whole number as 'image_id'"),
        ('[{"image_id": 3, "bbox": [1, 2, 3, 4]}]', "entry 0 has no 'keypoints'; linking needs poses"),
        ('[{"image_id": 3, "keypoints": "none"}]', "'keypoints' must be a list of 51 numbers"),
        (
            '[{"image_id": 3, "keypoints": []}, {"image_id": 9999, "keypoints": []}]',
            "one file for each video",
        ),
    ],
)
def test_wrong_coco_results(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "in.json").write_text(content)
    arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out.json")]
    with pytest.raises(InputError, match=words):
        CliRunner().invoke(link, arguments, catch_exceptions=False)
