"""Our own training set: annotations-{train,dev}.json.gz in COCO's layout and pictures in shard-*.tar.

Its keypoints have v = 2 where a human and v = 1 where a teacher network placed them, and weights besides.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from posetrack_detectors.training.labels import KEYPOINTS, LabelledPerson, LabelledPicture

from posetrack_app.errors import InputError

# Athletes (LSPET, mostly one a picture) are most; everyday people, streets and crowds are few: show these more often.
SHARES: Mapping[str, Mapping[str, float]] = {
    "pose": {
        "coco_train2017": 5.0, "ade20k_val": 4.0, "video_frames": 3.0, "images_misc": 4.0, "inria_person": 1.5,
        "pennfudan": 1.5,
    },
    "detector": {
        "coco_train2017": 8.0, "inria_person": 4.0, "pennfudan": 4.0, "ade20k_val": 3.0, "ade20k_negative": 3.0,
        "video_frames": 2.0, "images_misc": 2.0,
    },
}  # fmt: skip


def is_shards(root: Path) -> bool:
    """Whether the folder is such a set."""
    return (root / "annotations-train.json.gz").is_file()


def read_shards(root: Path, split: str, task: str) -> list[LabelledPicture]:
    """The pictures of "train" or "dev"; `task` "pose" or "detector" sets how often which source is drawn."""
    path = root / f"annotations-{split}.json.gz"
    try:
        with gzip.open(path) as file:
            labels = json.load(file)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    people: dict[int, list[LabelledPerson]] = defaultdict(list)
    for annotation in labels["annotations"]:
        people[annotation["image_id"]].append(_person(annotation))
    places = {
        shard: _members(root / f"shard-{shard}.tar") for shard in {p["shard"] for p in labels["images"]}
    }
    pictures = []
    for picture in labels["images"]:
        name, shard = picture["file_name"], picture["shard"]
        if name not in places[shard]:
            raise InputError(f"{root}/shard-{shard}.tar: has no picture {name}; it is not whole")
        path = root / f"shard-{shard}.tar"
        read = partial(_read_member, path, *places[shard][name])
        share = SHARES[task].get(picture["source"], 1.0)
        size = picture["height"], picture["width"]
        labelled = tuple(people[picture["id"]])
        pictures.append(LabelledPicture(name, size, labelled, path, read, picture["source"], share))
    return pictures


def _person(annotation: dict[str, Any]) -> LabelledPerson:
    points = np.array(annotation["keypoints"], dtype=np.float64).reshape(len(KEYPOINTS), 3)
    weights = np.array(annotation["kp_scores"], dtype=np.float64) * (points[:, 2] > 0)
    pose_box = _corners(annotation["bbox_kp"]) if "bbox_kp" in annotation else None
    return LabelledPerson(
        _corners(annotation["bbox"]),
        points[:, :2],
        weights,
        points[:, 2] == 2,
        bool(annotation["ignore"]),
        pose_box,
    )


def _corners(xywh: list[float]) -> NDArray[np.float64]:
    x, y, width, height = xywh
    return np.array([x, y, x + width, y + height], dtype=np.float64)


def _members(path: Path) -> dict[str, tuple[int, int]]:
    try:
        with tarfile.open(path, "r:") as tar:
            return {member.name: (member.offset_data, member.size) for member in tar}
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _read_member(path: Path, offset: int, size: int) -> NDArray[np.uint8]:
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError(f"{path}: the picture at byte {offset} is broken")
    return np.asarray(bgr[:, :, ::-1], dtype=np.uint8)
