"""Labelled people from a folder of shards: annotations-{train,dev}.json.gz in COCO's layout, images in shard-*.tar.

A keypoint has v = 2 if a human placed it and v = 1 if a teacher network did; `kp_scores` are its weights.
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
from posetrack_detectors.training.labels import KEYPOINTS, LabelledImage, LabelledPerson

from posetrack_app.core.errors import InputError

SHARES: Mapping[str, Mapping[str, float]] = {
    "pose": {
        "lspet": 0.6, "coco_train2017": 5.0, "ade20k_val": 2.0, "video_frames": 2.0, "images_misc": 3.0,
        "inria_person": 1.0, "pennfudan": 1.0, "hd_coco": 4.0, "hd_openimages": 1.5, "sports": 1.2, "workouts": 1.5,
        "yoga": 2.0, "hd_crossings": 1.2, "hd_cctv": 2.0, "hd_railway": 1.5, "person_misc": 1.5, "mask_crowds": 0.7,
    },
    "detector": {
        "lspet": 0.4, "coco_train2017": 6.0, "inria_person": 2.0, "pennfudan": 2.5, "ade20k_val": 2.5,
        "ade20k_negative": 2.0, "negative": 1.5, "video_frames": 2.0, "images_misc": 2.0, "hd_coco": 3.0,
        "hd_openimages": 1.2, "ccp": 0.5, "workouts": 0.7, "hd_crossings": 2.0, "hd_cctv": 4.0, "hd_railway": 3.0,
    },
}  # fmt: skip
"""How often an image, or a person, of each source is drawn for each task; 1 for other sources.

Athletes (LSPET, mostly one person per image) are the largest source. Everyday people, streets and crowds are rarer, so
they are drawn more often.
"""


def is_shards(root: Path) -> bool:
    """Whether `root` is such a folder."""
    return (root / "annotations-train.json.gz").is_file()


def read_shards(root: Path, split: str, task: str) -> list[LabelledImage]:
    """The images of the split "train" or "dev"; `task`, "pose" or "detector", chooses the `SHARES`."""
    path = root / f"annotations-{split}.json.gz"
    try:
        with gzip.open(path) as file:
            labels = json.load(file)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    people: dict[int, list[LabelledPerson]] = defaultdict(list)
    for annotation in labels["annotations"]:
        people[annotation["image_id"]].append(_person(annotation))
    members = {
        shard: _members(root / f"shard-{shard}.tar")
        for shard in {image["shard"] for image in labels["images"]}
    }
    labelled = []
    for image in labels["images"]:
        name, shard = image["file_name"], image["shard"]
        path = root / f"shard-{shard}.tar"
        if name not in members[shard]:
            raise InputError(f"{path}: image {name} is missing; copy or download the shard again")
        read = partial(_read_member, path, *members[shard][name])
        share = SHARES[task].get(image["source"], 1.0)
        size = image["height"], image["width"]
        own = tuple(people[image["id"]])
        labelled.append(LabelledImage(name, size, own, path, read, image["source"], share))
    return labelled


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
    """Offset and size of every file in a tar."""
    try:
        with tarfile.open(path, "r:") as tar:
            return {member.name: (member.offset_data, member.size) for member in tar}
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error


def _read_member(path: Path, offset: int, size: int) -> NDArray[np.uint8]:
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError(f"{path}: the image at byte {offset} is damaged; copy or download the shard again")
    return np.asarray(bgr[:, :, ::-1], dtype=np.uint8)
