"""`posetrack tune` on a small made set; every score is compared with the ordinary way to it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tune as made  # scripts/benchmarks/tune.py
from click.testing import CliRunner

from posetrack_app.cli import posetrack
from posetrack_app.core.config import Config, load_config
from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import write_json
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.evaluation.evaluate import evaluate_posetrack
from posetrack_app.evaluation.posetrack.protocols import CORRECTED, POSEVAL
from posetrack_app.formats.pose_store import PosesInFrame, read_pose_store, write_pose_store
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.jobs.benchmark import predict_sequence
from posetrack_app.jobs.benchmark_poses import linking_settings, open_stored_poses
from posetrack_app.jobs.tune.objective import joined_parts, read_objective, scores_by_video, total_scores
from posetrack_app.jobs.tune.preset import _settings
from posetrack_app.jobs.tune.search_space import search_space, values_of, with_values
from posetrack_app.jobs.tune.study import _is_clearly_worse
from posetrack_app.jobs.tune.videos import TuneVideo, VideoGroup, link_group, read_videos
from posetrack_app.pipeline.stored_poses import link_stored

VIDEOS, FRAMES = 6, 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made set whose first video has a duplicate pose of everyone, a cut, and an ignore region."""
    folder = tmp_path_factory.mktemp("tune")
    made.write_set(folder, VIDEOS, FRAMES)
    file = folder / "benchmark" / "poses" / "000000_mpii_test.npz"
    store = read_pose_store(file)
    rng = np.random.default_rng(5)
    frames = []
    for frame in store.frames:
        rows = np.repeat(np.arange(len(frame.poses)), 2)
        poses = frame.poses[rows]
        moved = poses.keypoints + rng.normal(0, 6, poses.keypoints.shape)
        poses = replace(poses, keypoints=moved, scores=poses.scores * rng.uniform(0.6, 1, len(rows)))
        info = replace(
            frame.info, is_cut=frame.info.index == 9, camera_motion=np.eye(2, 3) + rng.normal(0, 1e-3, (2, 3))
        )
        frames.append(PosesInFrame(info, poses[np.argsort(-poses.scores, kind="stable")]))
    write_pose_store(file, store.made_with, frames)
    file = folder / "benchmark" / "poses" / "000002_mpii_test.npz"  # ten seconds are missing
    frames = [
        replace(frame, info=replace(frame.info, seconds=frame.info.seconds + 10 * (frame.info.index > 8)))
        for frame in read_pose_store(file).frames
        if frame.info.index not in (8, 9, 10)
    ]
    write_pose_store(file, store.made_with, frames)
    file = folder / "benchmark" / "poses" / "000003_mpii_test.npz"  # fewer frames than confirmations
    write_pose_store(file, store.made_with, read_pose_store(file).frames[:2])
    file = folder / "benchmark" / "poses" / "000004_mpii_test.npz"  # no frame had boxes
    write_pose_store(file, store.made_with, [])
    truth = folder / "gt" / "000000_mpii_test.json"
    content = json.loads(truth.read_text())
    for image in content["images"][::3]:
        image |= {"ignore_regions_x": [[0, 500, 500, 0]], "ignore_regions_y": [[0, 0, 720, 720]]}
    truth.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def videos(folder: Path) -> list[TuneVideo]:
    stored = open_stored_poses(folder / "benchmark")
    return list(read_videos(sorted((folder / "gt").glob("*.json")), stored, Config()))


def random_settings(seed: int) -> Config:
    """Any settings that the search may propose."""
    rng = np.random.default_rng(seed)
    values = {}
    for setting in search_space(0.1):
        value = rng.uniform(setting.lowest, setting.highest)
        values[setting.name] = round(value) if setting.is_integer else float(value)
    # Half of the settings as they are, so that enough people are left.
    kept = values_of(Config(), search_space(0.1))
    names = rng.permutation(sorted(values))[:5]
    values |= {name: kept[name] for name in names}
    values["tracker.high_score"] = float(rng.uniform(0.1, 0.4))
    return with_values(Config(), values)


@pytest.mark.parametrize("seed", range(8))
def test_a_trial_links_as_the_pipeline_does(videos: list[TuneVideo], seed: int) -> None:
    config, total = random_settings(seed), 0
    for video, linked in zip(videos, link_group(videos, config), strict=True):
        settings = linking_settings(config, len(video.store.frames))
        stream = [(frame, frame.poses) for frame in video.store.frames]
        expected = [
            (frame.info.index, track_id, box.tolist())
            for frame, people in link_stored(stream, settings, POSETRACK)
            for track_id, box in zip(people.ids.tolist(), people.boxes, strict=True)
        ]
        everyone = [(frame.info.index, box) for frame in video.store.frames for box in frame.poses.boxes]
        found = [
            (everyone[row][0], track_id, everyone[row][1].tolist())
            for row, track_id in zip(linked.rows.tolist(), linked.ids.tolist(), strict=True)
        ]
        assert found == expected
        total += len(found)
    assert total > 10


@pytest.mark.parametrize(
    ("seed", "protocol"), [(0, CORRECTED), (1, CORRECTED), (2, CORRECTED), (3, POSEVAL), (4, POSEVAL)]
)
def test_a_trial_scores_as_evaluate_does(
    folder: Path, videos: list[TuneVideo], tmp_path: Path, seed: int, protocol: Any
) -> None:
    config = random_settings(seed)
    for video in videos:
        info = {"gt_boxes": False, "oracles": []}
        content = predict_sequence(folder, video.truth, video.store, config, info)
        write_json(tmp_path / video.truth.path.name, content)
    expected = evaluate_posetrack(folder / "gt", tmp_path, [protocol.name])
    measures = ["mAP", "MOTA"] + (["HOTA"] if protocol is CORRECTED else [])
    groups = [VideoGroup(videos[:2], protocol), VideoGroup(videos[2:], protocol)]
    parts = joined_parts([group.parts(config, measures, gt_boxes=False) for group in groups])
    scores = total_scores(parts, protocol)
    for name in measures:
        assert scores[name] == pytest.approx(expected.totals[f"{protocol.name} {name}"], abs=1e-6), name
    content = expected.protocols[protocol.name]
    by_video = scores_by_video(parts, protocol)
    for k, video in enumerate(videos):
        name = video.truth.name
        assert by_video["mAP"][k] == pytest.approx(content["ap_per_sequence"][name]["ap"][-1], abs=1e-6)
        assert by_video["MOTA"][k] == pytest.approx(content["mot_per_sequence"][name]["mota"][-1], abs=1e-6)
    assert 1 < scores["mAP"] < 99


def test_objectives() -> None:
    objective = read_objective("mota=3, HOTA", CORRECTED)
    assert objective.weights == {"MOTA": 0.75, "HOTA": 0.25}
    assert objective.combine({"MOTA": 40.0, "HOTA": 80.0, "mAP": 1.0}) == pytest.approx(50)
    assert str(objective) == "0.75 MOTA + 0.25 HOTA"
    assert str(read_objective("map", POSEVAL)) == "mAP"
    for text in ("", "MOTP", "MOTA=0", "MOTA=x", "MOTA,MOTA", "MOTA=-1,mAP"):
        with pytest.raises(InputError, match="is not an objective"):
            read_objective(text, CORRECTED)
    with pytest.raises(InputError, match="poseval has no HOTA"):
        read_objective("HOTA", POSEVAL)


def test_a_trial_stops_only_if_it_is_clearly_worse() -> None:
    rng = np.random.default_rng(0)
    assert _is_clearly_worse(rng.uniform(1, 5, 8))
    assert not _is_clearly_worse(rng.uniform(1, 5, 5))  # too few videos
    assert not _is_clearly_worse(-rng.uniform(1, 5, 8))
    assert not _is_clearly_worse(np.array([3.0, -2.9, 4, -4, 1, -0.9, 2, -2]))
    assert not _is_clearly_worse(np.zeros(8))


def test_low_score_never_exceeds_high_score() -> None:
    config = with_values(
        Config(), {"tracker.high_score": 0.51239, "tracker.low_score": 0.8, "tracker.confirmations": 2}
    )
    assert (config.tracker.high_score, config.tracker.low_score) == (0.5124, 0.5124)
    assert config.tracker.confirmations == 2


@pytest.mark.parametrize("objective", ["MOTA", "HOTA=1,mAP=1"])
def test_tuning_is_better_on_its_videos_and_can_be_repeated(
    folder: Path, tmp_path: Path, objective: str
) -> None:
    pytest.importorskip("optuna")
    from posetrack_app.jobs.tune.tune import tune

    bad = tmp_path / "bad.toml"
    bad.write_text("[tracker]\nhigh_score = 0.9\nmin_similarity = 0.6\n")
    options: dict[str, Any] = {"objective": objective, "config": bad, "trials": 12, "folds": 2, "workers": 1}
    out = tmp_path / "tuned.toml"
    report = tune(folder / "gt", folder / "benchmark", out, **options)
    assert report.objective_after > report.objective_before + 3
    assert report.trials == 12
    assert sorted(name for fold in report.folds for name in fold.videos) == [
        f"{k:06d}_mpii_test" for k in range(VIDEOS)
    ]
    # The file alone, on the default preset, gives the settings, and these the scores.
    assert load_config("default", out) == report.config
    stored = open_stored_poses(folder / "benchmark")
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    for file in sorted((folder / "gt").glob("*.json")):
        truth = read_posetrack(file)
        info = {"gt_boxes": False, "oracles": []}
        write_json(
            predictions / file.name,
            predict_sequence(folder, truth, stored.poses_of(truth), report.config, info),
        )
    totals = evaluate_posetrack(folder / "gt", predictions, ["corrected"]).totals
    for name, value in report.after.items():
        # At equal keypoint scores the later video ranks first, and tuning shuffles the videos.
        assert value == pytest.approx(totals[f"corrected {name}"], abs=2e-3 if name == "mAP" else 1e-6)
    again = tune(folder / "gt", folder / "benchmark", tmp_path / "again.toml", **options)
    assert (again.config, again.folds) == (report.config, report.folds)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    out = tmp_path / "tuned.toml"

    def run(*options: str) -> Any:
        return CliRunner().invoke(
            posetrack, ["tune", str(folder / "gt"), str(folder / "benchmark"), *options]
        )

    outcome = run("--out", str(out), "--trials", "8", "--folds", "2", "--workers", "2")
    assert outcome.exit_code == 0, outcome.output
    assert "8 trials" in outcome.output
    assert "on videos that the search did not see:" in outcome.output
    text = out.read_text()
    assert "# Expect" in text
    assert "optimistic" in text
    tomllib.loads(text)
    assert run("--out", str(out)).exception.option == "force"
    assert "at least 2 trials" in str(run("--out", "x.toml", "--trials", "1").exception)
    single = CliRunner().invoke(
        posetrack,
        ["tune", str(folder / "gt" / "000001_mpii_test.json"), str(folder / "benchmark"), "--out",
         str(tmp_path / "one.toml"), "--trials", "4"],
    )  # fmt: skip
    assert "one video cannot be cross-validated" in single.output
    flow = tmp_path / "flow.toml"
    flow.write_text('[tracker]\nmethod = "flow"\n')
    assert "needs the images" in str(run("--out", "x.toml", "--config", str(flow)).exception)


def test_written_settings_are_read_back() -> None:
    config = replace(
        load_config("posetrack18"),
        precision="float32",
        pose=replace(Config().pose, weights='a "b" \\ \x7f ü'),
    )
    table = tomllib.loads("\n".join(_settings(config)))
    assert table["pose"]["weights"] == 'a "b" \\ \x7f ü'
    assert table["precision"] == "float32"
    assert _settings(Config()) == []
