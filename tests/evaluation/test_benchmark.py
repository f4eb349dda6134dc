"""posetrack benchmark with networks that know the answer."""

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

from posetrack_app import assemble, benchmark
from posetrack_app.cli import posetrack
from posetrack_app.config import Config, PropagationConfig
from posetrack_app.errors import InputError
from posetrack_app.evaluation.evaluation import Evaluation
from posetrack_app.records import FloatArray
from posetrack_app.skeleton import POSETRACK

SHAPE = np.random.default_rng(1).uniform(0, 1, (17, 2)) * (60, 160)
EXTENT = np.ptp(np.delete(SHAPE, (3, 4), axis=0), axis=0)
START = np.delete(SHAPE, (3, 4), axis=0).min(axis=0)
NAME = "000001_mpii_test"


class Estimator:
    """Everybody is SHAPE, placed by the box; the ears too, which the ground truth lacks."""

    def __call__(
        self, images: Sequence[Any], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, FloatArray]:
        corners = np.array([box[:2] for box in boxes]).reshape(-1, 1, 2) + 0.15 * EXTENT - START
        return corners + SHAPE, np.full((len(boxes), 17), 0.8)


class NoDetector:
    def __call__(self, images: Sequence[Any], /) -> list[tuple[FloatArray, FloatArray]]:
        return [(np.zeros((0, 4)), np.zeros(0)) for _ in images]


@pytest.fixture
def tree(tmp_path: Path, make_video: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two people through five frames, the second frame unlabelled; networks replaced by the fakes."""
    content = make_video([[(0, 0.0), (1, 0.0)] for _ in range(5)], [True, False, True, True, True])
    content["annotations"] = [p for p in content["annotations"] if p["image_id"] != 1001]
    for person in content["annotations"]:
        left = 20 + 300 * person["track_id"] + 2 * (person["image_id"] - 1000)
        place = SHAPE + np.array([left, 40])
        visible = np.array([[k not in (3, 4)] for k in range(17)])
        person["keypoints"] = (np.append(place, visible, axis=1) * visible).ravel().tolist()
    root = tmp_path / "root"
    target = root / "annotations" / "val" / f"{NAME}.json"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(content))
    for image in content["images"]:
        picture = root / image["file_name"]
        picture.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(picture), np.zeros((240, 640, 3), np.uint8))
    weights = {"pose": {"network": "fake", "weights": "fake", "sha256": "0"}}
    parts = assemble.Parts(NoDetector(), Estimator(), POSETRACK, "cpu", "float32", weights)
    monkeypatch.setattr(benchmark, "build_parts", lambda config, device: parts)
    return root


def _run(tree: Path, **options: Any) -> tuple[Evaluation, list[str], dict[str, Any]]:
    said: list[str] = []
    out = tree.parent / "out"
    result = benchmark.run_benchmark("posetrack18", tree, out, say=said.append, **options)
    return result, said, json.loads((out / "predictions" / f"{NAME}.json").read_text())


def test_with_true_boxes_the_perfect_estimator_is_perfect(tree: Path) -> None:
    result, said, written = _run(tree, gt_boxes=True)
    assert result.totals["corrected mAP"] == pytest.approx(100)
    assert result.totals["poseval MOTA"] == pytest.approx(100)
    assert said == [f"1 of 1: {NAME}: 5 frames, 8 poses"]
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
    written = _run(tree, detections=file)[2]
    assert len(written["annotations"]) == 4
    assert len(_run(tree)[2]["annotations"]) == 0  # the fake detector finds nobody
    file.write_text(json.dumps([{"image_id": 1000}]))
    with pytest.raises(InputError, match="entry 0 needs 'image_id', 'bbox'"):
        _run(tree, detections=file)
    file.write_text(json.dumps([{**rows[0], "image_id": 7}]))
    with pytest.raises(InputError, match="none of its 'image_id's is that of a frame"):
        _run(tree, detections=file)


def test_where_the_detector_rests_so_do_the_given_boxes(tree: Path) -> None:
    config = replace(Config(), propagation=PropagationConfig(detect_every=2))
    written = _run(tree, gt_boxes=True, config=config)[2]
    truth = json.loads((tree / "annotations" / "val" / f"{NAME}.json").read_text())
    # Every second frame with boxes; in those between the flow carries people on.
    for image_id in (1000, 1003):
        found, true = (
            sorted(
                person["keypoints"][:2] for person in content["annotations"] if person["image_id"] == image_id
            )
            for content in (written, truth)
        )
        np.testing.assert_allclose(found, true, atol=0.01)


def test_resume_keeps_only_what_was_made_the_same_way(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tree, gt_boxes=True)
    assert _run(tree, gt_boxes=True, resume=True)[1] == [f"1 of 1: {NAME}: done before"]
    assert "poses" in _run(tree, gt_boxes=True)[1][0]
    assert "poses" in _run(tree, resume=True)[1][0]  # other boxes
    changed = replace(Config(), tracker=replace(Config().tracker, patience_frames=7))
    assert "poses" in _run(tree, resume=True, config=changed)[1][0]
    assert "done before" in _run(tree, resume=True, config=changed)[1][0]
    monkeypatch.setattr("posetrack_app.benchmark.__version__", "0.0.1")
    assert "poses" in _run(tree, resume=True, config=changed)[1][0]


def test_a_missing_picture_and_another_layout_are_named(tree: Path) -> None:
    with pytest.raises(InputError, match="is laid out as posetrack18, not as posetrack17"):
        benchmark.run_benchmark("posetrack17", tree, tree.parent / "out", say=print)
    picture = tree / f"images/val/{NAME}/000003.jpg"
    picture.unlink()
    with pytest.raises(InputError, match=r"frame 3: the picture .*000003.jpg is missing or broken"):
        _run(tree)


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
        say=lambda _: None,
    )
    assert (result.totals["corrected mAP"] or 0) > 10
    assert sorted(path.name for path in (tmp_path / "predictions").iterdir()) == sorted(
        path.name for path in (root / "annotations" / "val").iterdir()
    )


def test_with_true_boxes_nobody_is_left_out(tree: Path) -> None:
    """Neither who is in few labelled frames, nor who stands close to another, nor of whom one keypoint is labelled."""
    file = tree / "annotations" / "val" / f"{NAME}.json"
    content = json.loads(file.read_text())
    seldom = [p for p in content["annotations"] if p["track_id"] == 0 and p["image_id"] in (1000, 1004)]
    close = [p for p in content["annotations"] if p["track_id"] == 1]
    for person in close:
        double = json.loads(json.dumps(person)) | {"track_id": 2, "id": person["id"] + 1000}
        double["keypoints"][::3] = [x + 2 * (x > 0) for x in double["keypoints"][::3]]
        content["annotations"].append(double)
    content["annotations"] = [p for p in content["annotations"] if p["track_id"] or p in seldom]
    seldom[0]["keypoints"][3:] = [0] * 48
    file.write_text(json.dumps(content))
    written = _run(tree, gt_boxes=True)[2]
    assert len(written["annotations"]) == len(content["annotations"])
