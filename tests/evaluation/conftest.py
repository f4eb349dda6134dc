"""Little PoseTrack18 files: people as points on a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posetrack_app.skeleton import POSETRACK

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

Person = tuple[Any, ...]  # track id, x of every keypoint, how far down; the head size is 30 pixels
Writer = Callable[..., Path]


def person(image: int, track: int, x: float, down: float = 0) -> dict[str, Any]:
    """All 17 keypoints at x, 10 pixels apart in y."""
    keypoints = [value for k in range(17) for value in (x, 100 + 10 * k + down, 1)]
    entry = {"image_id": image, "id": 100 * image + track, "track_id": track, "category_id": 1}
    return {**entry, "keypoints": keypoints, "scores": [0.5] * 17, "bbox_head": [x, 60, 30, 40]}


def video(frames: list[list[Person]], labelled: list[bool] | None = None) -> dict[str, Any]:
    """A PoseTrack18 file; frame k has the image id 1000 + k."""
    images = [
        {"id": 1000 + k, "file_name": f"images/val/000001_mpii_test/{k:06d}.jpg", "is_labeled": True}
        for k in range(len(frames))
    ]
    for image, says in zip(images, labelled or [], strict=False):
        image["is_labeled"] = says
    people = [person(1000 + k, *who) for k, frame in enumerate(frames) for who in frame]
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK.keypoints)}
    return {"images": images, "annotations": people, "categories": [category]}


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """write("gt" or "pred", content, name) -> the folder."""

    def write_file(side: str, content: dict[str, Any], name: str = "000001_mpii_test") -> Path:
        folder = tmp_path / side
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(content))
        return folder

    return write_file


@pytest.fixture
def make_video() -> Callable[..., dict[str, Any]]:
    return video
