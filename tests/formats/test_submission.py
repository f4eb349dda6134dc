"""The archive for the PoseTrack servers, and the check of it: a table of the faults that users met."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.core.skeletons import COCO, POSETRACK
from posetrack_app.evaluation.evaluate import evaluate_posetrack
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.jobs.submission import check_submission, make_submission

NAMES = ("000001_mpii_test", "000002_mpii_test")
FRAMES = 4


def content(name: str, labelled: bool) -> dict[str, Any]:
    """Two people in four frames, who walk; with labels, the annotations, otherwise the predictions."""
    images = [
        {"id": 10**10 + 7 * k, "frame_id": 10**10 + 7 * k, "file_name": f"images/test/{name}/{k:06d}.jpg"}
        for k in range(FRAMES)
    ]
    shape = np.random.default_rng(1).uniform(20, 90, (17, 2)).round(1)
    people: list[dict[str, Any]] = []
    for k in range(FRAMES):
        for person in range(2):
            keypoints = np.column_stack([shape + (200 * person + 5 * k, 0), np.ones(17)])
            keypoints[3:5] = 0
            entry = {"id": len(people) + 1, "image_id": images[k]["id"], "track_id": person, "category_id": 1}
            entry |= {"keypoints": keypoints.ravel().tolist(), "bbox": [200 * person + 5 * k, 20, 70, 70]}
            entry |= {"bbox_head": [0, 0, 30, 40]} if labelled else {"scores": [0.8] * 17, "score": 0.9}
            people.append(entry)
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK.keypoints)}
    return {"images": images, "annotations": people, "categories": [category]}


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """The test split: its annotation files list frames, but no people."""
    folder = tmp_path / "annotations" / "test"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / f"{name}.json").write_text(json.dumps(content(name, True) | {"annotations": []}))
    return folder


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    folder = tmp_path / "predictions"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.json").write_text(json.dumps(content(name, False)))
    return folder


def change(folder: Path, alter: Callable[[dict[str, Any]], None]) -> None:
    file = folder / f"{NAMES[0]}.json"
    value = json.loads(file.read_text())
    alter(value)
    file.write_text(json.dumps(value))


@pytest.mark.parametrize("dataset", ["posetrack18", "posetrack21"])
def test_an_archive_has_every_listed_frame_and_passes_the_check(
    frames: Path, predictions: Path, tmp_path: Path, dataset: str
) -> None:
    out = tmp_path / "results.zip"
    report = make_submission(predictions, out, frames=frames, dataset=dataset)
    assert report.summary() == f"{out}: 2 sequences, 8 frames, 16 poses"
    assert check_submission(out, dataset=dataset, frames=frames) == []
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == [f"{name}.json" for name in NAMES]
        archive.extractall(tmp_path / "unpacked")
    # The server's side: the hidden labels, scored with the unpacked files.
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in NAMES:
        (hidden / f"{name}.json").write_text(json.dumps(content(name, True)))
    totals = evaluate_posetrack(hidden, tmp_path / "unpacked", ["poseval"]).totals
    assert totals["poseval mAP"] == totals["poseval MOTA"] == pytest.approx(100)
    again = tmp_path / "again.zip"
    make_submission(predictions, again, frames=frames, dataset=dataset)
    assert again.read_bytes() == out.read_bytes()
    with pytest.raises(InputError, match="already exists"):
        make_submission(predictions, out, frames=frames)


def test_the_layout_of_2017(predictions: Path, tmp_path: Path) -> None:
    frames = tmp_path / "test17"
    frames.mkdir()
    for name in NAMES:
        listed = [
            {"image": [{"name": f"images/test/{name}/{k:08d}.jpg"}], "annorect": []}
            for k in range(FRAMES + 1)
        ]
        (frames / f"{name}.json").write_text(json.dumps({"annolist": listed}))
    out = tmp_path / "results.zip"
    make_submission(predictions, out, frames=frames, dataset="posetrack17")
    assert check_submission(out, dataset="posetrack17", frames=frames) == []
    with zipfile.ZipFile(out) as archive:
        archive.extractall(tmp_path / "unpacked")
    found = read_posetrack(tmp_path / "unpacked" / f"{NAMES[0]}.json")
    given = read_posetrack(predictions / f"{NAMES[0]}.json")
    assert found.rows.frame_names[4].endswith("00000004.jpg")
    assert found.frame.tolist() == given.frame.tolist()  # the fifth frame has nobody
    np.testing.assert_allclose(found.keypoints, given.keypoints)
    assert (found.ids.tolist(), found.scores.tolist()) == (given.ids.tolist(), given.scores.tolist())


def set_first(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["annotations"][0].update({key: value})


def other_order(data: dict[str, Any]) -> None:
    data["categories"][0]["keypoints"] = [*POSETRACK.keypoints[1:], POSETRACK.keypoints[0]]


@pytest.mark.parametrize(
    ("dataset", "alter", "fault"),
    [
        ("posetrack18", set_first("track_id", 10000), "track id 10000; poseval accepts ids up to 9999"),
        ("posetrack18", set_first("track_id", -3), "track id -3; ids are 0 or more"),
        ("posetrack18", set_first("track_id", 1), "frame 0 has two people with the track id 1"),
        ("posetrack18", set_first("track_id", "a"), "has no integer 'track_id'"),
        ("posetrack18", set_first("scores", []), "15 keypoints have no score; AP ranks them last"),
        ("posetrack18", set_first("keypoints", [0] * 50), "needs 'keypoints' as a list of 51 finite numbers"),
        ("posetrack18", set_first("keypoints", [0] * 51), "1 person has no keypoint, first in frame 0"),
        ("posetrack18", lambda data: data["images"].pop(), "has 3 frames, but"),
        ("posetrack18", lambda data: data["images"][1].update(file_name="images/test/000001_mpii_test/9.jpg"),
         "frame 1 is 'images/test/000001_mpii_test/9.jpg', but the annotations list"),
        ("posetrack18", lambda data: data["images"][2].update(id=5), "frame 2 has the id 5, but the annotations list"),
        ("posetrack17", lambda data: None, "has the layout of posetrack18; the posetrack17 server reads that of"),
        ("posetrack21", other_order, "not in the order of PoseTrack18"),
        ("posetrack21", lambda data: data["annotations"][0]["keypoints"].__setitem__(0, -2.0),
         "1 keypoint is at x <= 0 or y <= 0"),
        ("posetrack18", lambda data: data["categories"].clear(), "categories"),
    ],
)  # fmt: skip
def test_each_fault_is_named(
    frames: Path, predictions: Path, dataset: str, alter: Callable[[dict[str, Any]], None], fault: str
) -> None:
    change(predictions, alter)
    faults = check_submission(predictions, dataset=dataset, frames=frames)
    assert any(fault in line and NAMES[0] in line for line in faults), faults
    if dataset == "posetrack18":
        assert not any(NAMES[1] in line for line in faults)


def test_faults_of_the_archive(frames: Path, predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.zip"
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(predictions.iterdir()):
            archive.write(file, f"results/{file.name}")
        archive.writestr("__MACOSX/results/._a.json", "")
    faults = check_submission(out, frames=frames)
    assert len(faults) == 2
    assert "the server then finds 0 results" in faults[0]
    assert "__MACOSX" in faults[1]
    out.write_bytes(out.read_bytes()[:200])
    with pytest.raises(InputError, match=r"is neither a folder nor a .zip file"):
        check_submission(out)
    with pytest.raises(InputError, match="no such file or folder"):
        check_submission(tmp_path / "none")


def test_faults_of_the_folder(frames: Path, predictions: Path, tmp_path: Path) -> None:
    shutil.move(predictions / f"{NAMES[0]}.json", predictions / "other.json")
    faults = check_submission(predictions, frames=frames)
    assert faults[0] == (
        f"1 sequence is missing of 2, first {NAMES[0]}.json; the server needs a file for each"
    )
    assert "1 file is of no sequence of the split, first other.json" in faults[1]
    assert check_submission(predictions) == []  # without the lists
    (predictions / "other.json").write_text("{")
    assert "other.json is not a valid JSON file" in check_submission(predictions)[0]
    assert "give that folder" in check_submission(predictions.parent)[0]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert check_submission(empty) == [f"{empty} has no .json file"]


def test_wrong_input_of_the_archive(frames: Path, predictions: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"servers take .zip files"):
        make_submission(predictions, tmp_path / "results.json", frames=frames)
    with pytest.raises(InputError, match="has several splits; give the annotations of one, such as"):
        make_submission(predictions, tmp_path / "a.zip", frames=tmp_path)
    change(predictions, lambda data: data["categories"][0].update(keypoints=list(COCO.keypoints)))
    with pytest.raises(InputError, match="needs the keypoints of PoseTrack18, not those of coco"):
        make_submission(predictions, tmp_path / "a.zip", frames=frames)
    (predictions / f"{NAMES[1]}.json").unlink()
    with pytest.raises(
        InputError, match=r"has no 000002_mpii_test.json; the server needs a file for each of the 2"
    ):
        make_submission(predictions, tmp_path / "a.zip", frames=frames)
    assert not (tmp_path / "a.zip").exists()


def test_the_commands(frames: Path, predictions: Path, tmp_path: Path) -> None:
    def run(*words: Any) -> Any:
        return CliRunner().invoke(posetrack, [str(word) for word in words])

    out = tmp_path / "results.zip"
    made = run("convert", predictions, "--to", "posetrack-submission", "--out", out, "--frames", frames)
    assert made.output == f"{out}: 2 sequences, 8 frames, 16 poses\n"
    checked = run("submit-check", out, "--frames", frames)
    assert (checked.exit_code, checked.output) == (0, "nothing is wrong\n")
    assert "were not compared" in run("submit-check", out).output
    refused = run("submit-check", out, "--dataset", "posetrack17", "--frames", frames)
    assert refused.exit_code == 1
    assert refused.output.endswith("2 faults\n")
    missing = run("convert", predictions, "--to", "posetrack-submission", "--out", tmp_path / "b.zip")
    assert "needs --frames" in str(missing.exception)
