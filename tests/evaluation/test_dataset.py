"""`posetrack dataset check` lists missing and unusual files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from posetrack_app.cli import posetrack
from posetrack_app.core.errors import InputError
from posetrack_app.evaluation.dataset import check_dataset


@pytest.fixture
def tree(tmp_path: Path, make_video: Any) -> Path:
    """A complete data set with one val sequence of three frames."""
    content = make_video([[(0, 100.0), (1, 400.0)], [], [(0, 120.0)]], [True, False, True])
    target = tmp_path / "annotations" / "val" / "000001_mpii_test.json"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(content))
    for image in content["images"]:
        file = tmp_path / image["file_name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.zeros((8, 8, 3), np.uint8))
    return tmp_path


def _check(root: Path) -> tuple[int, str]:
    result = CliRunner().invoke(posetrack, ["dataset", "check", str(root)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_a_complete_data_set(tree: Path) -> None:
    code, printed = _check(tree)
    assert code == 0
    assert "1 sequence, 3 frames (2 labelled), 3 people in 2 tracks" in printed
    assert "170 in v0.45; 74 in v0.2" in printed
    assert printed.endswith("nothing missing or unusual\n")


def test_faults_are_listed(tree: Path) -> None:
    images = tree / "images/val/000001_mpii_test"
    (images / "000001.jpg").unlink()
    complete = (images / "000002.jpg").read_bytes()
    (images / "000002.jpg").write_bytes(complete[:-20])
    (tree / "annotations/val/000002_mpii_test.json").write_text("{")
    (tree / "annotations/val/notes.txt").write_text("")
    (tree / "images/val/000009_mpii_test").mkdir()
    code, printed = _check(tree)
    assert code == 1
    assert f"missing: 000001_mpii_test.json: 1 of 3 images, first {images / '000001.jpg'}" in printed
    assert f"unusual: {images / '000002.jpg'} is not a complete JPEG or PNG image" in printed
    assert "000002_mpii_test.json is not a valid JSON file" in printed
    assert "notes.txt is not an annotation file" in printed
    assert "000009_mpii_test: images without annotations" in printed
    assert printed.endswith("5 faults\n")


def test_the_label_version_is_inferred_from_the_number_of_files(tree: Path) -> None:
    first = tree / "annotations/val/000001_mpii_test.json"
    for k in range(2, 75):
        (first.parent / f"{k:06d}_mpii_test.json").write_text(first.read_text())
    assert next(check_dataset(tree)).release == "label version v0.2"


def test_not_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no annotations/val"):
        _check(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        _check(tmp_path / "nowhere")


@pytest.mark.data
def test_the_sample(shared: Path) -> None:
    code, printed = _check(shared / "data" / "posetrack18_sample")
    assert code == 0
    assert "3 sequences, 3 frames (3 labelled), 14 people in 14 tracks" in printed
