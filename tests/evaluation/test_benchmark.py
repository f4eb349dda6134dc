"""`posetrack benchmark` with fake networks."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app.cli import posetrack
from posetrack_app.core.config import Config, PropagationConfig
from posetrack_app.core.errors import InputError
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.records import FloatArray
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.jobs import benchmark, manifest

SHAPE = np.random.default_rng(1).uniform(0, 1, (17, 2)) * (60, 160)
EXTENT = np.ptp(np.delete(SHAPE, (3, 4), axis=0), axis=0)
START = np.delete(SHAPE, (3, 4), axis=0).min(axis=0)
NAME = "000001_mpii_test"
Log = pytest.LogCaptureFixture


class Estimator:
    """Every person has the keypoints SHAPE at the position of the box, and ears, which the ground truth lacks."""

    def __call__(self, images: Sequence[Any], boxes: Sequence[FloatArray], /) -> PoseArrays:
        corners = np.array([box[:2] for box in boxes]).reshape(-1, 1, 2) + 0.15 * EXTENT - START
        return corners + SHAPE, np.full((len(boxes), 17), 0.8), np.zeros((len(boxes), 0))


class NoDetector:
    """Finds no person."""

    def __call__(self, images: Sequence[Any], /) -> list[tuple[FloatArray, FloatArray]]:
        return [(np.zeros((0, 4)), np.zeros(0)) for _ in images]


@pytest.fixture
def tree(tmp_path: Path, make_video: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with two people in five frames, the second one unlabelled; the networks are the fakes."""
    content = make_video([[(0, 0.0), (1, 0.0)] for _ in range(5)], [True, False, True, True, True])
    content["annotations"] = [p for p in content["annotations"] if p["image_id"] != 1001]
    for person in content["annotations"]:
        left = 20 + 300 * person["track_id"] + 2 * (person["image_id"] - 1000)
        keypoints = SHAPE + np.array([left, 40])
        visible = np.array([[k not in (3, 4)] for k in range(17)])
        person["keypoints"] = (np.append(keypoints, visible, axis=1) * visible).ravel().tolist()
    root = tmp_path / "root"
    target = root / "annotations" / "val" / f"{NAME}.json"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(content))
    for image in content["images"]:
        file = root / image["file_name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.zeros((240, 640, 3), np.uint8))
    weights = {"pose": {"network": "fake", "weights": "fake", "sha256": "0"}}
    networks = Networks(NoDetector(), Estimator(), POSETRACK, "cpu", "float32", weights)
    monkeypatch.setattr(benchmark, "load_networks", lambda config, device: networks)
    return root


def _run(tree: Path, **options: Any) -> tuple[Evaluation, dict[str, Any]]:
    """The scores and the predictions; an earlier result is overwritten."""
    out = tree.parent / "out"
    options.setdefault("force", not options.get("resume"))
    result = benchmark.run_benchmark("posetrack18", tree, out, **options)
    return result, json.loads((out / "predictions" / f"{NAME}.json").read_text())


def test_a_perfect_estimator_with_ground_truth_boxes_is_perfect(tree: Path, caplog: Log) -> None:
    caplog.set_level(logging.INFO, logger="posetrack")
    result, written = _run(tree, gt_boxes=True)
    assert result.totals["corrected mAP"] == pytest.approx(100)
    assert result.totals["poseval MOTA"] == pytest.approx(100)
    assert caplog.messages == [f"1 of 1: {NAME}: 5 frames, 8 poses"]
    assert [image["id"] for image in written["images"]] == [1000, 1001, 1002, 1003, 1004]
    assert {person["image_id"] for person in written["annotations"]} == {1000, 1002, 1003, 1004}
    assert {person["track_id"] for person in written["annotations"]} == {1, 2}
    for person in written["annotations"]:
        assert person["keypoints"][9:15] == [0] * 6  # the ears
        assert person["scores"][3:5] == [0, 0]


def test_detections_replace_the_detector(tree: Path) -> None:
    rows = []
    for k in (1000, 1001, 1002, 1003, 1004):
        x, y = SHAPE[:, 0].min() + 20 + 2 * (k - 1000), 0.0
        rows.append({"image_id": k, "category_id": 1, "bbox": [x, y, 60, 200], "score": 0.95})
    file = tree.parent / "boxes.json"
    file.write_text(json.dumps(rows))
    written = _run(tree, detections=file)[1]
    assert len(written["annotations"]) == 4
    assert len(_run(tree)[1]["annotations"]) == 0  # the fake detector finds no person
    file.write_text(json.dumps([{"image_id": 1000}]))
    with pytest.raises(InputError, match="entry 0 needs 'image_id', 'bbox'"):
        _run(tree, detections=file)
    file.write_text(json.dumps([{**rows[0], "image_id": 7}]))
    with pytest.raises(InputError, match="no 'image_id' belongs to a frame in"):
        _run(tree, detections=file)


def test_thresholds_fit_the_scores_of_the_detections(tree: Path, caplog: Log) -> None:
    """Another detector's scores may all be low; thresholds that are set stay."""
    caplog.set_level(logging.INFO, logger="posetrack")
    rows = [
        {"image_id": 1000 + frame, "category_id": 1, "bbox": [x, 20, 60, 200], "score": score}
        for frame in range(5)
        for x, score in ((100, 0.3), (300, 0.1), (500, 0.07), (560, 0.02))
    ]
    file = tree.parent / "boxes.json"
    file.write_text(json.dumps(rows))
    written = _run(tree, detections=file)[1]
    assert {one["track_id"] for one in written["annotations"]} == {1, 2}
    assert (
        "detections: 20 boxes in 5 frames, scores 0.02 to 0.3; 15 pass [detector] min_score 0.06, "
        "15 [tracker] low_score 0.06, 10 [tracker] high_score 0.09 (from these scores" in caplog.text
    )
    strict = replace(Config(), tracker=replace(Config().tracker, high_score=0.2))
    assert not _run(tree, detections=file, config=strict)[1]["annotations"]
    assert "5 pass [detector] min_score 0.3, 5 [tracker] low_score 0.3, 5 [tracker] high" in caplog.text
    assert caplog.text.count("(as set)") == 1


def test_given_boxes_are_used_only_in_the_frames_that_detect_every_selects(tree: Path) -> None:
    config = replace(Config(), propagation=PropagationConfig(detect_every=2))
    written = _run(tree, gt_boxes=True, config=config)[1]
    truth = json.loads((tree / "annotations" / "val" / f"{NAME}.json").read_text())
    # Boxes are used in every second frame that has some; optical flow propagates people to the others.
    for image_id in (1000, 1003):
        found, true = (
            sorted(
                person["keypoints"][:2] for person in content["annotations"] if person["image_id"] == image_id
            )
            for content in (written, truth)
        )
        np.testing.assert_allclose(found, true, atol=0.01)


def test_resume_keeps_only_predictions_made_in_the_same_way(
    tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: Log
) -> None:
    caplog.set_level(logging.INFO, logger="posetrack")

    def is_kept(**options: Any) -> bool:
        caplog.clear()
        _run(tree, **options)
        assert caplog.messages[0].startswith(f"1 of 1: {NAME}: ")
        return caplog.messages[0].endswith("already done")

    assert not is_kept(gt_boxes=True)
    assert is_kept(gt_boxes=True, resume=True)
    assert not is_kept(gt_boxes=True)
    assert not is_kept(resume=True)  # other boxes
    changed = replace(Config(), tracker=replace(Config().tracker, patience_frames=7))
    assert not is_kept(resume=True, config=changed)
    assert is_kept(resume=True, config=changed)
    monkeypatch.setattr(manifest, "__version__", "0.0.1")
    assert not is_kept(resume=True, config=changed)


def test_a_missing_image_and_another_layout_are_reported(tree: Path) -> None:
    with pytest.raises(InputError, match="has the layout of posetrack18, not of posetrack17"):
        benchmark.run_benchmark("posetrack17", tree, tree.parent / "out")
    (tree / f"images/val/{NAME}/000003.jpg").unlink()
    with pytest.raises(InputError, match=r"frame 3: the image .*000003.jpg is missing or damaged"):
        _run(tree)


def test_results_are_not_overwritten(tree: Path) -> None:
    predictions = _run(tree)[1]
    with pytest.raises(InputError, match="predictions is of an earlier benchmark") as refusal:
        _run(tree, force=False)
    assert refusal.value.option == "force"
    assert _run(tree, resume=True)[1] == predictions


def test_the_command_writes_the_report(tree: Path) -> None:
    out = tree.parent / "out"
    result = CliRunner().invoke(
        posetrack, ["benchmark", "posetrack18", str(tree), "--out", str(out), "--gt-boxes"]
    )
    assert result.exit_code == 0
    assert "best mAP  100.0" in result.stdout
    assert json.loads((out / "evaluation.json").read_text())["totals"]["corrected mAP"] == pytest.approx(100)
    assert "<svg" in (out / "report.html").read_text()


def test_a_split_without_people_is_reported_too(tree: Path) -> None:
    file = tree / "annotations" / "val" / f"{NAME}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"annotations": []}))
    out = tree.parent / "out"
    result = CliRunner().invoke(
        posetrack, ["benchmark", "posetrack18", str(tree), "--out", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert json.loads((out / "evaluation.json").read_text())["sweep"][0]["map"] is None
    assert "<svg" in (out / "report.html").read_text()


@pytest.mark.data
def test_the_sample(shared: Path, tmp_path: Path) -> None:
    """The real pose network and tracker on three real frames."""
    root = shared / "data" / "posetrack18_sample"
    result = benchmark.run_benchmark(
        "posetrack18",
        root,
        tmp_path,
        device="cpu",
        gt_boxes=True,
    )
    assert (result.totals["corrected mAP"] or 0) > 10
    assert sorted(path.name for path in (tmp_path / "predictions").iterdir()) == sorted(
        path.name for path in (root / "annotations" / "val").iterdir()
    )


def test_no_person_with_a_ground_truth_box_is_left_out(tree: Path) -> None:
    """Not in few labelled frames, not close to another person, and not with only one labelled keypoint."""
    file = tree / "annotations" / "val" / f"{NAME}.json"
    content = json.loads(file.read_text())
    rare = [p for p in content["annotations"] if p["track_id"] == 0 and p["image_id"] in (1000, 1004)]
    close = [p for p in content["annotations"] if p["track_id"] == 1]
    for person in close:
        neighbour = json.loads(json.dumps(person)) | {"track_id": 2, "id": person["id"] + 1000}
        neighbour["keypoints"][::3] = [x + 2 * (x > 0) for x in neighbour["keypoints"][::3]]
        content["annotations"].append(neighbour)
    content["annotations"] = [p for p in content["annotations"] if p["track_id"] or p in rare]
    rare[0]["keypoints"][3:] = [0] * 48
    file.write_text(json.dumps(content))
    written = _run(tree, gt_boxes=True)[1]
    assert len(written["annotations"]) == len(content["annotations"])
