"""Small PoseTrack18 files with people whose keypoints are on a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posetrack_app.core.skeletons import POSETRACK

Person = tuple[Any, ...]
"""Track id, x of every keypoint, and optionally an offset in y."""
Writer = Callable[..., Path]


def person(image: int, track: int, x: float, y_offset: float = 0) -> dict[str, Any]:
    """All 17 keypoints are at x, 10 pixels apart in y. The head size is 30 pixels."""
    keypoints = [value for k in range(17) for value in (x, 100 + 10 * k + y_offset, 1)]
    entry = {"image_id": image, "id": 100 * image + track, "track_id": track, "category_id": 1}
    return {**entry, "keypoints": keypoints, "scores": [0.5] * 17, "bbox_head": [x, 60, 30, 40]}


def video(frames: list[list[Person]], labelled: list[bool] | None = None) -> dict[str, Any]:
    """A PoseTrack18 file. Frame k has the image id 1000 + k; `labelled` are its values of `is_labeled`."""
    images = [
        {"id": 1000 + k, "file_name": f"images/val/000001_mpii_test/{k:06d}.jpg", "is_labeled": True}
        for k in range(len(frames))
    ]
    for image, is_labelled in zip(images, labelled or [], strict=False):
        image["is_labeled"] = is_labelled
    people = [person(1000 + k, *values) for k, frame in enumerate(frames) for values in frame]
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK.keypoints)}
    return {"images": images, "annotations": people, "categories": [category]}


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """write(side, content, name) writes a file into the folder "gt" or "pred" and returns the folder."""

    def write_file(side: str, content: dict[str, Any], name: str = "000001_mpii_test") -> Path:
        folder = tmp_path / side
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(content))
        return folder

    return write_file


@pytest.fixture
def make_video() -> Callable[..., dict[str, Any]]:
    return video
