"""`posetrack benchmark --from`, oracles, ablations and expected scores, with fake networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app.cli import posetrack
from posetrack_app.core.config import Config, PersonScoreConfig
from posetrack_app.core.errors import InputError
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.records import FloatArray
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.pose_store import read_pose_store
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.jobs import benchmark
from posetrack_app.jobs.ablation import read_variants
from posetrack_app.jobs.benchmark_poses import read_sequence
from posetrack_app.jobs.expected_scores import Expected, unexpected
from posetrack_app.pipeline.track_people import track_people

FRAMES, PEOPLE = 8, 3
NAMES = ("000001_mpii_test", "000002_mpii_test")
SHAPE = np.random.default_rng(1).uniform(0, 1, (17, 2)) * (60, 160)


def corner(video: int, person: int, frame: int) -> tuple[float, float]:
    """Top left of a person, who walks to the right."""
    return 30 + 190 * person + 4 * frame + 7 * video, 40.0


class Detector:
    """Finds everyone, a false positive, and the last person with a low score; the image says which frame it is."""

    def __call__(self, images: Sequence[Any], /) -> list[tuple[FloatArray, FloatArray]]:
        return [self._people(*divmod(round(int(image[0, 0, 0]) / 10), 10)) for image in images]

    def _people(self, video: int, frame: int) -> tuple[FloatArray, FloatArray]:
        left_top = np.array([corner(video, person, frame) for person in range(PEOPLE)] + [(500.0, 10.0)])
        scores = np.array([0.97, 0.95, 0.5 if frame % 2 else 0.94, 0.2])
        order = np.argsort(-scores, kind="stable")
        return np.concatenate([left_top, left_top + (60, 160)], axis=1)[order], scores[order]


class Estimator:
    """The keypoints of the person at the box, some wrong; their scores differ."""

    calls = 0

    def __call__(self, images: Sequence[Any], boxes: Sequence[FloatArray], /) -> PoseArrays:
        Estimator.calls += 1
        corners = np.array([box[:2] for box in boxes]).reshape(-1, 1, 2)
        keypoints = corners + SHAPE
        keypoints[:, ::3] += 40.0  # these are wrong
        scores = np.tile(np.linspace(0.3, 0.9, 17), (len(boxes), 1))
        return keypoints, scores, np.zeros((len(boxes), 0))


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    weights = {"pose": {"network": "fake", "weights": "fake", "sha256": "abc"}}
    fakes = Networks(Detector(), Estimator(), POSETRACK, "cpu", "float32", weights)
    monkeypatch.setattr(benchmark, "load_networks", lambda config, device: fakes)
    Estimator.calls = 0
    return fakes


@pytest.fixture
def tree(tmp_path: Path, make_video: Any, networks: Networks) -> Path:
    """Two videos of 8 frames with three people each, and images that say which frame they are."""
    root = tmp_path / "root"
    for video, name in enumerate(NAMES):
        content = make_video([[(person, 0.0) for person in range(PEOPLE)] for _ in range(FRAMES)])
        for frame, image in enumerate(content["images"]):
            image["file_name"] = f"images/val/{name}/{frame:06d}.png"
            file = root / image["file_name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), np.full((240, 640, 3), 10 * (10 * video + frame), np.uint8))
        for entry in content["annotations"]:
            left_top = corner(video, entry["track_id"], entry["image_id"] - 1000)
            visible = np.array([[k not in (3, 4)] for k in range(17)])
            entry["keypoints"] = (np.append(SHAPE + left_top, visible, axis=1) * visible).ravel().tolist()
        target = root / "annotations" / "val" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content))
    return root


def predictions(out: Path) -> dict[str, Any]:
    """Name -> the predicted people, without the settings."""
    files = sorted((out / "predictions").glob("*.json"))
    return {file.stem: json.loads(file.read_text())["annotations"] for file in files}


def with_thresholds(min_score: float, keypoint_score: float, high_score: float) -> Config:
    config = Config()
    return replace(
        config,
        detector=replace(config.detector, min_score=min_score),
        pose=replace(config.pose, min_score=keypoint_score),
        person_score=PersonScoreConfig(1.0, 0.0, 0.0),
        propagation=replace(config.propagation, max_seconds=0.0),
        tracker=replace(config.tracker, high_score=high_score, low_score=0.15),
    )


def run(tree: Path, out: str, **options: Any) -> Any:
    return benchmark.run_benchmark("posetrack18", tree, tree.parent / out, **options)


@pytest.mark.parametrize(
    "thresholds", [(0.35, 0.0, 0.93), (0.15, 0.0, 0.15), (0.6, 0.5, 0.9), (0.35, 0.7, 0.93)]
)
def test_stored_poses_give_what_the_networks_would_give(tree: Path, thresholds: tuple[float, ...]) -> None:
    config = with_thresholds(*thresholds)
    run(tree, "first")
    calls = Estimator.calls
    again = run(tree, "again", stored=tree.parent / "first", config=config)
    assert Estimator.calls == calls
    assert again.run["config"]["detector"]["min_score"] == thresholds[0]
    direct = run(tree, "direct", config=config)
    assert predictions(tree.parent / "again") == predictions(tree.parent / "direct")
    assert again.totals == direct.totals


@pytest.mark.parametrize("high_score", [0.93, 0.3])
def test_a_benchmark_tracks_as_posetrack_run_does(tree: Path, networks: Networks, high_score: float) -> None:
    config = with_thresholds(0.35, 0.4, high_score)
    run(tree, "out", config=config)
    truth = read_posetrack(tree / "annotations" / "val" / f"{NAMES[1]}.json")
    frames = read_sequence(tree, truth, range(FRAMES))
    tracked = [
        (1000 + frame.info.index, box.round(2).tolist())
        for frame, people in track_people(frames, networks, config)
        for box in people.boxes
    ]
    found = predictions(tree.parent / "out")[NAMES[1]]
    corners = [(entry["image_id"], [*entry["bbox"][:2]]) for entry in found]
    assert corners == [(image, box[:2]) for image, box in tracked]


def test_stored_settings_are_the_start_and_unfit_changes_are_refused(tree: Path) -> None:
    config = with_thresholds(0.35, 0.0, 0.5)
    run(tree, "first", config=config)
    first = tree.parent / "first"
    assert run(tree, "again", stored=first).run["config"] == config.as_dict()
    low = replace(config, detector=replace(config.detector, min_score=0.05))
    with pytest.raises(InputError, match=r"score of at least 0.1; for \[detector\] min_score = 0.05"):
        run(tree, "low", stored=first, config=low)
    other = replace(config, pose=replace(config.pose, weights="other"))
    with pytest.raises(InputError, match=r"made with \[pose\] weights = embedded; for other the networks"):
        run(tree, "other", stored=first, config=other)
    with pytest.raises(InputError, match="were made for other boxes"):
        run(tree, "boxes", stored=first, oracles=["boxes"])
    with pytest.raises(InputError, match=r"has no poses/\*.npz"):
        run(tree, "none", stored=tree)
    (first / "poses" / f"{NAMES[1]}.npz").write_bytes(b"PK\x03\x04damaged")
    with pytest.raises(InputError, match="is not a valid posetrack poses file"):
        run(tree, "damaged", stored=first)


def test_an_earlier_result_is_kept_unless_it_is_resumed_or_overwritten(tree: Path) -> None:
    run(tree, "out")
    before = predictions(tree.parent / "out")
    with pytest.raises(InputError, match="is of an earlier benchmark") as error:
        run(tree, "out")
    assert error.value.option == "force"
    calls = Estimator.calls
    changed = with_thresholds(Config().detector.min_score, 0.0, 0.5)
    run(tree, "out", resume=True, config=changed)
    assert Estimator.calls == calls  # only the tracker changed
    assert read_pose_store(tree.parent / f"out/poses/{NAMES[0]}.npz").made_with["config"] == changed.as_dict()
    run(tree, "out", force=True)
    assert Estimator.calls > calls
    assert predictions(tree.parent / "out") == before


def test_oracles_are_perfect_together_and_each_helps(tree: Path) -> None:
    def scores(*oracles: str) -> dict[str, float]:
        return dict(run(tree, "out", oracles=oracles, force=True).totals)

    everything = scores("boxes", "poses", "ids")
    for name in ("corrected mAP", "corrected MOTA", "corrected HOTA", "poseval MOTA"):
        assert everything[name] == pytest.approx(100)
    plain, poses, ids = scores(), scores("poses"), scores("ids")
    assert poses["corrected mAP"] > plain["corrected mAP"] + 10
    assert ids["corrected mAP"] == pytest.approx(plain["corrected mAP"])  # the same poses
    # Two thirds of the keypoints are right in the frames where everyone was tracked: ids cannot repair the rest.
    assert plain["corrected MOTA"] <= ids["corrected MOTA"] < poses["corrected MOTA"]


def test_true_ids_repair_switches_and_nothing_else(tree: Path) -> None:
    """A tracker that forgets everyone gives new ids in each frame."""
    forgetful = with_thresholds(0.35, 0.0, 0.4)
    forgetful = replace(
        forgetful,
        tracker=replace(forgetful.tracker, min_similarity=1.0, min_low_score_similarity=1.0, confirmations=1),
    )
    plain = run(tree, "plain", config=forgetful)
    ids = run(tree, "ids", config=forgetful, oracles=["ids"])
    counts = [result.protocols["corrected"]["mot"]["counts"] for result in (plain, ids)]
    assert sum(counts[0]["num_switches"]) > 100
    assert sum(counts[1]["num_switches"]) == 0
    assert counts[0]["num_misses"] == counts[1]["num_misses"]
    assert counts[0]["num_false_positives"] == counts[1]["num_false_positives"]


def command(tree: Path, *options: str) -> Any:
    return CliRunner().invoke(posetrack, ["benchmark", "posetrack18", str(tree), *options])


def test_evaluation_json_says_how_it_was_made(tree: Path) -> None:
    out = tree.parent / "out"
    options = ("--min-score", "0.4", "--keypoint-threshold", "0.5", "--oracle", "ids")
    outcome = command(tree, "--out", str(out), *options)
    assert outcome.exit_code == 0, outcome.output
    made = json.loads((out / "evaluation.json").read_text())["run"]
    assert made["config"]["detector"]["min_score"] == 0.4
    assert made["config"]["pose"]["min_score"] == 0.5
    assert (made["dataset"], made["split"], made["preset"], made["oracles"]) == (
        "posetrack18",
        "val",
        "default",
        ["ids"],
    )
    assert made["weights"]["pose"]["sha256"] == "abc"
    assert {"posetrack", "torch"} <= made["versions"].keys()
    assert made["commit"] is None or len(made["commit"].removesuffix("-dirty")) == 40
    assert command(tree, "--out", str(out)).exception.option == "force"
    again = tree.parent / "again"
    assert command(tree, "--out", str(again), "--from", str(out), "--keypoint-threshold", "0").exit_code == 0
    made = json.loads((again / "evaluation.json").read_text())["run"]
    assert (made["config"]["detector"]["min_score"], made["config"]["pose"]["min_score"]) == (0.4, 0.0)
    true, again = tree.parent / "true", tree.parent / "true again"
    assert command(tree, "--out", str(true), "--gt-boxes").exit_code == 0
    assert command(tree, "--out", str(again), "--from", str(true)).exit_code == 0
    assert json.loads((again / "evaluation.json").read_text())["run"]["oracles"] == ["boxes"]
    assert predictions(again) == predictions(true)
    assert "settings are known" in str(
        command(tree, "--out", "x", "--from", str(out), "--preset", "default").exception
    )
    assert "from 0 to 1" in str(command(tree, "--out", "x", "--min-score", "2").exception)


def test_an_ablation_is_one_table(tree: Path) -> None:
    file = tree.parent / "variants.toml"
    file.write_text(
        '["low threshold"]\ndetector.min_score = 0.2\ntracker.low_score = 0.2\n'
        '["true boxes"]\noracle = ["boxes"]\n["other tracker"]\ntracker.confirmations = 1\n'
    )
    out = tree.parent / "grid"
    calls = Estimator.calls
    outcome = command(tree, "--out", str(out), "--ablation", str(file))
    assert outcome.exit_code == 0, outcome.output
    made = Estimator.calls - calls
    calls = Estimator.calls
    run(tree, "alone")
    assert made == 2 * (Estimator.calls - calls)  # for the base and the true boxes only
    head, *rows = (line.split(",") for line in (out / "ablation.csv").read_text().splitlines())
    assert [row[0] for row in rows] == ["base", "low threshold", "true boxes", "other tracker"]
    column = head.index("corrected MOTA")
    for row, folder in zip(rows, ("base", "low-threshold", "true-boxes", "other-tracker"), strict=True):
        totals = json.loads((out / folder / "evaluation.json").read_text())["totals"]
        assert float(row[column]) == pytest.approx(totals["corrected MOTA"], abs=0.005)
    change = float(rows[2][column + 1])
    assert change == pytest.approx(float(rows[2][column]) - float(rows[0][column]), abs=0.011)
    assert (out / "true-boxes" / "report.html").exists()
    assert command(tree, "--out", str(out), "--ablation", str(file)).exception.option == "force"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no variants"),
        ("a = 1", "'a' must be a table"),
        ("[a]\noracle = 'boxes'", "'oracle' must be a list"),
        (
            "[a]\ntracker.boxweight = 1",
            r"variants.toml \[a\] \[tracker\]: unknown setting 'boxweight'; did you mean",
        ),
        ("[a-b]\n[a_b]", "two variants need the folder 'a-b'"),
        ("[base]", "two variants need the folder 'base'"),
    ],
)
def test_wrong_variants_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "variants.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_variants(file, Config(), ())


def test_expected_scores(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = command(tree, "--out", str(tree.parent / "a"), "--expect").exception
    assert (
        "no published scores are known for this run; they are for: posetrack18 val, preset posetrack18"
        in str(error)
    )
    expected = Expected({"poseval mAP": 80.0}, 1.0, "a paper")
    assert unexpected(expected, {"poseval mAP": 79.1}) == []
    assert unexpected(expected, {"poseval mAP": 81.2}) == ["poseval mAP 81.2, expected 80.0 within 1.0"]
    assert unexpected(expected, {"poseval mAP": None}) == ["poseval mAP undefined, expected 80.0 within 1.0"]
    outcome = command(
        tree, "--out", str(tree.parent / "b"), "--expect", "--preset", "posetrack18", "--gt-boxes"
    )
    assert outcome.exit_code == 1
    assert "not as expected: poseval mAP" in outcome.output
