"""Malformed input gives one line that names the file, the frame and the person."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.core.skeletons import COCO, POSETRACK
from posetrack_app.evaluation.evaluate import evaluate
from posetrack_app.formats.posetrack.read import read_posetrack

EDGE = Path(__file__).resolve().parents[1] / "golden" / "eval" / "edge"
FILE = "920001_mpii_test.json"
FRAME_0 = r"frame 0 \(images/val/920001_mpii_test/000000.jpg\)"
Change = Callable[[dict[str, Any]], Any]
Log = pytest.LogCaptureFixture

REFUSED = {
    "e01_prediction_file_missing": "pred",
    "e02_frame_count": rf"pred/{FILE} has 4 frames, but the ground truth .*gt/{FILE} has 5",
    "e03_duplicate_track_id": rf"pred/{FILE}: {FRAME_0}: person 1 has the track id 0 of another",
    "e04_no_track_id_18": rf"pred/{FILE}: {FRAME_0}: person 0 has no integer 'track_id'",
    "e05_no_track_id_17": r"pred/920001_mpii.json: frame 0 \(.*00000001.jpg\): person 0 has no integer 'track_id'",
    "e06_no_head_box": rf"gt/{FILE}: {FRAME_0}: person 1 has no head box",
    "e09_no_categories": rf"pred/{FILE}: 'categories' must have exactly one entry",
    "e11_two_point_region": rf"gt/{FILE}: frame 1 .*: ignore region 0 has 2 points",
}
MAP = {  # as computed by poseval, if it can
    "e07_single_frame": 91.666666667,
    "e12_prediction_order": 23.862433862,
    "e13_gt_duplicate_id": 88.894444444,
    "e14_no_ground_truth_at_all": 0.0,
    "e15_zero_head": 74.608465608,
    "e16_no_prediction_at_all": 0.0,
    "e17_missing_scores_in_some_people": 88.299206349,
    "e18_no_ignore_keys": 88.894444444,
    "e19_is_labeled_false_with_people": 88.894444444,
    "e20_other_image_ids": 88.894444444,
}
# Poseval fails here, but the corrected protocol can score the files.
CORRECTED = {
    "e08_track_id_10000": 88.894444444,
    "e10_video_name": 88.894444444,
    "e12_prediction_order": 88.894444444,
}


def _evaluate(case: str, protocol: str) -> dict[str, float | None]:
    return evaluate(EDGE / case / "gt", EDGE / case / "pred", [protocol]).totals


@pytest.mark.parametrize("protocol", ["poseval", "corrected"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, protocol: str) -> None:
    with pytest.raises(InputError) as refusal:
        _evaluate(case, protocol)
    assert re.search(REFUSED[case], str(refusal.value))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("case", MAP)
def test_scored_as_poseval(case: str) -> None:
    assert _evaluate(case, "poseval")["poseval mAP"] == pytest.approx(MAP[case], abs=1e-6)


@pytest.mark.parametrize("case", CORRECTED)
def test_scored_although_poseval_cannot(case: str) -> None:
    assert _evaluate(case, "corrected")["corrected mAP"] == pytest.approx(CORRECTED[case], abs=1e-6)


def test_every_recorded_case_is_tested() -> None:
    assert {path.name for path in EDGE.iterdir() if path.is_dir()} == {*REFUSED, *MAP, *CORRECTED}


def test_the_command_prints_one_line_and_exits_with_2() -> None:
    case = EDGE / "e03_duplicate_track_id"
    command = [sys.executable, "-m", "posetrack_app", "evaluate", str(case / "gt"), str(case / "pred")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(rf"posetrack: .*{FILE}: {FRAME_0}: person 1 has .*\n", done.stderr)


def _people(content: dict[str, Any]) -> list[dict[str, Any]]:
    people: list[dict[str, Any]] = content["annotations"]
    return people


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: _people(c)[1].update(keypoints=[1, 2]),
            "frame 0 .*person 1 needs 'keypoints' as a list of 51",
        ),
        (lambda c: _people(c)[1]["keypoints"].__setitem__(4, float("nan")), "person 1 needs 'keypoints'"),
        (lambda c: _people(c)[1]["keypoints"].__setitem__(4, None), "person 1 needs 'keypoints'"),
        (lambda c: _people(c)[2].update(scores=[0.5]), "frame 1 .*person 0 needs 'scores' as a list of 17"),
        (lambda c: _people(c)[2].update(track_id=1.5), "frame 1 .*person 0 has no integer 'track_id'"),
        (lambda c: c["images"][1].pop("file_name"), r"images\[1\] needs an integer 'id' and a 'file_name'"),
        (lambda c: c["images"][1].update(id=1000), "have the same id"),
        (
            lambda c: c["annotations"][0].update(image_id="1000"),
            r"annotations\[0\] needs a number as 'image_id'",
        ),
        (lambda c: c["images"][1].update(file_name="images/val/000002_mpii/0.jpg"), "frames of 2 videos"),
        (
            lambda c: c["categories"][0]["keypoints"].__setitem__(2, "left_eye"),
            "does not name the keypoints head_top",
        ),
        (lambda c: c.pop("annotations"), "it has no list 'annotations'"),
        (lambda c: c["images"].insert(0, 7), r"images\[0\] must be an object"),
        (lambda c: c["annotations"].append(None), r"annotations\[\d+\] must be an object"),
        (lambda c: c.update(categories=[True]), r"categories\[0\] must be an object"),
        (lambda c: c["categories"][0].update(keypoints=True), "must be a list of names"),
        (lambda c: c["images"][0].update(id=10**30), "needs an integer 'id'"),
        (lambda c: c["images"][0].update(ignore_regions_x=[3], ignore_regions_y=[4]), "lists of lists"),
        (lambda c: c.pop("images"), "is not a PoseTrack file"),
    ],
)
def test_what_is_wrong_with_a_prediction(write: Any, make_video: Any, change: Change, message: str) -> None:
    frames = [[(0, 100.0), (1, 400.0)], [(0, 110.0)]]
    truth = write("gt", make_video(frames))
    content = make_video(frames)
    change(content)
    with pytest.raises(InputError, match=message):
        evaluate(truth, write("pred", content), ["corrected"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update(annorect=f["annorect"][0]), "needs 'image.0..name' and a list 'annorect'"),
        (lambda f: f.update(annorect=["somebody"]), "frame 0 .*person 0 must be an object"),
        (
            lambda f: f["annorect"][0].update(annopoints=f["annorect"][0]["annopoints"][0]),
            "person 0 needs 'annopoints' as a list",
        ),
        (
            lambda f: f["annorect"][0]["annopoints"][0].update(point={"id": [0], "x": [1], "y": [2]}),
            "person 0 needs 'point' in 'annopoints' as a list",
        ),
        (
            lambda f: f["annorect"][0]["annopoints"][0]["point"][0].update(id=[1.5]),
            "person 0 has a point without 'id'",
        ),
    ],
)
def test_what_is_wrong_with_a_posetrack17_file(tmp_path: Path, change: Change, message: str) -> None:
    person = {"track_id": [0], "annopoints": [{"point": [{"id": [3], "x": [10.0], "y": [20.0]}]}]}
    frame = {"image": [{"name": "images/val/000001_mpii_test/0.jpg"}], "annorect": [person]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"annolist": [frame]}))
    assert read_posetrack(file).keypoints[0, 3].tolist() == [10, 20]
    no_points: list[Any] = [[], [[]], [{}], [{"point": None}]]
    for empty in no_points:
        content = {"annolist": [{**frame, "annorect": [{"annopoints": empty}]}]}
        (tmp_path / "empty.json").write_text(json.dumps(content))
        assert not read_posetrack(tmp_path / "empty.json").has_points.any()
    change(frame)
    file.write_text(json.dumps({"annolist": [frame]}))
    with pytest.raises(InputError, match=message):
        read_posetrack(file)


def test_thresholds_are_numbers(write: Any, make_video: Any) -> None:
    truth = write("gt", make_video([[(0, 100.0)]]))
    with pytest.raises(InputError, match="the keypoint threshold must be a number, got nan"):
        evaluate(truth, truth, ["corrected"], float("nan"))


@pytest.mark.parametrize("head", [[5, 5, 5, 5], [1, 2, None, 4]])
def test_mpii_people_need_a_head_box(tmp_path: Path, head: list[Any]) -> None:
    """It is the unit of all distances. Without it all keypoints would count as missed."""
    joints = [[[10.0 * k, 20.0] for k in range(16)]] * 2
    truth = {"gt": joints, "joint_missing": [[0] * 16] * 2, "head_box_x1y1x2y2": [[0, 0, 30, 40], head]}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "pred.json").write_text(json.dumps({"pred": joints}))
    with pytest.raises(InputError, match=r"gt\.json: person 1 has no valid head box"):
        evaluate(tmp_path / "gt.json", tmp_path / "pred.json", ["corrected"])


def test_times_are_not_frame_numbers(tmp_path: Path) -> None:
    """They would mean millions of empty frames."""
    (tmp_path / "gt.txt").write_text("1764000000000,1,10,10,50,50,1\n")
    with pytest.raises(InputError, match="line 1 is not 'frame,id,x,y,width,height"):
        evaluate(tmp_path / "gt.txt", tmp_path / "gt.txt", ["corrected"])


@pytest.mark.parametrize("row", ["1,1,10,,50,50,1", "1,1,10,10,nan,50,1", "1,1,10,10,50"])
def test_a_row_without_one_of_its_numbers_is_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "good.txt").write_text(
        "1,1,10,10,50,50,1,-1,-1,-1\r\n2 1 10 10 50 50 1\n3, 1, 10, 10, 50, 50,\n"
    )
    assert evaluate(tmp_path / "good.txt", tmp_path / "good.txt", ["corrected"]).totals["MOTA"] == 100
    (tmp_path / "gt.txt").write_text(f"1,1,10,10,50,50,1\n{row}\n")
    with pytest.raises(InputError, match="line 2 is not 'frame,id,x,y,width,height"):
        evaluate(tmp_path / "gt.txt", tmp_path / "good.txt", ["corrected"])


def test_hidden_files_are_skipped(write: Any, make_video: Any) -> None:
    """macOS writes a `._` file beside each file on foreign disks."""
    truth, predicted = write("gt", make_video([[(0, 100.0)]])), write("pred", make_video([[(0, 100.0)]]))
    (truth / "._000001_mpii_test.json").write_bytes(b"\0\5\26\7")
    assert evaluate(truth, predicted, ["corrected"]).totals["corrected mAP"] == 100


def _coco_person(x: float, side: float, **more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(0, side, (17, 2)) + [x, 0], np.full((17, 1), 2)], axis=1)
    return {"image_id": 1, "category_id": 1, "keypoints": points.ravel().tolist(), **more}


def _coco_stats(tmp_path: Path, results: list[dict[str, Any]]) -> dict[str, float | None]:
    person = _coco_person(0, 60, id=1, area=3600, bbox=[0, 0, 60, 60], iscrowd=0, num_keypoints=17)
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}
    truth = {"images": [{"id": 1}], "annotations": [person], "categories": [category]}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return evaluate(tmp_path / "gt.json", tmp_path / "results.json", ["corrected"]).totals


@pytest.mark.parametrize(("boxes", "ap"), [(False, 100), (True, 50)])
def test_coco_areas_of_results_are_those_of_their_boxes(tmp_path: Path, boxes: bool, ap: float) -> None:
    """As in pycocotools, if the first result has one. Without, the extent of the false positive is too small to count."""
    false_positive, found = _coco_person(900, 20, score=0.9), _coco_person(0, 60, score=0.8)
    if boxes:
        false_positive["bbox"], found["bbox"] = [890, 0, 40, 40], [0, 0, 60, 60]
    assert _coco_stats(tmp_path, [false_positive, found])["AP_M"] == pytest.approx(ap, abs=0.1)


def test_coco_results_of_other_categories_are_not_people(tmp_path: Path) -> None:
    false_positive, found = _coco_person(900, 60, score=0.9), _coco_person(0, 60, score=0.8)
    assert _coco_stats(tmp_path, [false_positive, found])["AP"] == pytest.approx(50, abs=0.1)
    assert _coco_stats(tmp_path, [{**false_positive, "category_id": 2}, found])["AP"] == pytest.approx(
        100, abs=0.1
    )


def test_empty_keypoints_are_a_person_without_labels(tmp_path: Path) -> None:
    """As CVAT writes people whose keypoints were not labelled; pycocotools gives AP 1.0 here."""
    truth, results = _coco()
    truth["annotations"].append(
        {"image_id": 1, "bbox": [60, 0, 30, 30], "area": 0, "keypoints": [], "num_keypoints": 0}
    )
    assert _evaluate_coco(tmp_path, truth, results)["AP"] == 100


def test_coco_categories_without_keypoints_are_not_people(tmp_path: Path, caplog: Log) -> None:
    """pycocotools gives AP 1.0 here too: a category without labelled people is in no mean."""
    truth, results = _coco()
    for entry in (*truth["annotations"], *results):
        entry["category_id"] = 1
    truth["categories"] = [{**truth["categories"][0], "id": 1}, {"id": 2, "name": "dog", "keypoints": []}]
    truth["annotations"].append(
        {"image_id": 1, "bbox": [60, 0, 30, 30], "area": 900, "keypoints": [], "category_id": 2}
    )
    assert _evaluate_coco(tmp_path, truth, results)["AP"] == 100
    assert not caplog.text


@pytest.mark.parametrize("side", ["truth", "results"])
def test_the_image_1_0_is_the_image_1(tmp_path: Path, side: str) -> None:
    """pandas writes ids as 1.0 if a cell of the column is empty; pycocotools takes them."""
    truth, results = _coco()
    for image in truth["images"] if side == "truth" else ():
        image["id"] = float(image["id"])
    for person in results if side == "results" else ():
        person["image_id"] = float(person["image_id"])
    assert _evaluate_coco(tmp_path, truth, results)["AP"] == 100


def test_results_of_another_category_are_counted_in_a_line(tmp_path: Path, caplog: Log) -> None:
    truth, results = _coco()
    truth["categories"][0]["id"] = 3
    for person in results:
        person["category_id"] = 1
    assert _evaluate_coco(tmp_path, truth, results)["AP"] == 0  # as in pycocotools
    assert "2 of 2 results are of category 1, the annotations' people are 3" in caplog.text


def _evaluate_coco(tmp_path: Path, truth: Any, results: Any) -> dict[str, float | None]:
    for name, content in (("gt", truth), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return evaluate(tmp_path / "gt.json", tmp_path / "results.json", ["corrected"]).totals


def test_coco_results_in_an_object_are_named(tmp_path: Path) -> None:
    truth, results = _coco()
    with pytest.raises(InputError, match=r"results.json is not a list: COCO keypoint results are"):
        _evaluate_coco(tmp_path, truth, {"annotations": results})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_mot_text_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    """Spreadsheets and PowerShell write one, and lines that end in CRLF."""
    rows = "\r\n".join(f"{frame},1,{100 + frame},50,40,90,1,1,1.0" for frame in range(1, 7))
    mark = "\ufeff" if encoding.endswith("le") else ""
    (tmp_path / "gt.txt").write_bytes((mark + rows).encode(encoding))
    (tmp_path / "pred.txt").write_text(rows)
    assert evaluate(tmp_path / "gt.txt", tmp_path / "pred.txt", ["corrected"]).totals["MOTA"] == 100


def test_not_json(write: Any, make_video: Any) -> None:
    truth = write("gt", make_video([[(0, 100.0)]]))
    predicted = write("pred", {})
    (predicted / "000001_mpii_test.json").write_text("{")
    with pytest.raises(InputError, match="is not a valid JSON file"):
        evaluate(truth, predicted, ["corrected"])
    with pytest.raises(InputError, match="no such file or folder"):
        evaluate(truth, predicted / "nowhere", ["corrected"])


@pytest.mark.parametrize(
    ("truth", "results", "message"),
    [
        ([], [], "gt.json is not a COCO annotation file"),
        ({"annolist": []}, [], "gt.json is not a COCO annotation file"),
        ({"images": [], "annotations": {}}, [], "gt.json is not a COCO annotation file"),
        ({"images": [7], "annotations": []}, [], r"gt.json: images\[0\] must be an object with an 'id'"),
        ({"images": [{}], "annotations": []}, [], r"gt.json: images\[0\] must be an object with an 'id'"),
        ({"images": [{"id": 1}], "annotations": [None]}, [], "gt.json: person 0 must be an object"),
        ({"images": [{"id": 1}], "annotations": []}, [7], "results.json: person 0 must be an object"),
    ],
)
def test_coco_results_need_coco_annotations(tmp_path: Path, truth: Any, results: Any, message: str) -> None:
    if isinstance(truth, dict):
        truth["categories"] = [{"keypoints": list(POSETRACK.keypoints)}]
    for name, content in (("gt", truth), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        evaluate(tmp_path / "gt.json", tmp_path / "results.json", ["corrected"])


def _coco() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth with one person in each of two images, and correct results."""
    keypoints = [float(7 * k % 50) if k % 3 < 2 else 2.0 for k in range(51)]
    people = [{"image_id": k, "keypoints": keypoints} for k in (1, 2)]
    truth = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [{**person, "bbox": [0, 0, 50, 50], "area": 1200} for person in people],
        "categories": [{"keypoints": list(COCO.keypoints)}],
    }
    return truth, [{**person, "score": 0.5} for person in people]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, r: t.update(categories=7), "exactly one category with 'keypoints', but has 0"),
        (lambda t, r: t.update(categories=[7, None]), "exactly one category with 'keypoints', but has 0"),
        (lambda t, r: t["categories"][0].update(keypoints="nose"), "must be a list of names"),
        (lambda t, r: t["categories"][0].update(keypoints=["tail"]), "no OKS sigma for tail"),
        (lambda t, r: t["images"][0].update(id="1"), "some image ids are numbers and some are text"),
        (
            lambda t, r: t["images"][0].update(crowdIndex="full"),
            r"images\[0\] needs 'crowdIndex' as a number",
        ),
        (lambda t, r: t["annotations"][1].update(image_id=[2]), r"gt.json: person 1 is in image \[2\]"),
        (lambda t, r: t["annotations"][1].pop("area"), r"gt.json: person 1 \(image 2\) has no 'area'"),
        (lambda t, r: t["annotations"][1].update(area={}), r"person 1 \(image 2\) needs 'area' as a number"),
        (lambda t, r: t["annotations"][1].update(bbox=[1, 2, 3]), "needs 'bbox' with 4 numbers"),
        (lambda t, r: t["annotations"][1].update(bbox=[1, 2, 3, None]), "needs 'bbox' with 4 numbers"),
        (lambda t, r: r[0].update(keypoints=3), r"results.json: person 0 .* 'keypoints' with 51 numbers"),
        (
            lambda t, r: r[0]["keypoints"].append("x"),
            r"results.json: person 0 .* 'keypoints' with 51 numbers",
        ),
        (lambda t, r: r[0].update(score="0.9"), r"results.json: person 0 .* needs 'score' as a number"),
        (lambda t, r: r[0].update(keypoints=["1"] * 51), "'keypoints' with 51 numbers"),
        (lambda t, r: r[0].update(score=float("nan")), r"results.json: person 0 .* 'score' as a number"),
        (
            lambda t, r: r[0].update(image_id=3),
            "results.json: person 0 is in image 3, which is missing in .*gt.json",
        ),
    ],
)
def test_what_is_wrong_with_coco_files(
    tmp_path: Path, change: Callable[[dict[str, Any], list[Any]], object], message: str
) -> None:
    truth, results = json.loads(json.dumps(_coco()))
    paths = tmp_path / "gt.json", tmp_path / "results.json"
    for path, content in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(content))
    assert evaluate(*paths, ["corrected"]).totals["AP"] == 100
    change(truth, results)
    for path, content in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        evaluate(*paths, ["corrected"])
