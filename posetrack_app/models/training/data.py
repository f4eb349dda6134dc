"""Read training data (shards, a PoseTrack18 or COCO folder, a COCO file) and hold out a part of it as dev images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posetrack_detectors.training.labels import MIN_KEYPOINTS, LabelledImage

from posetrack_app.core.errors import InputError
from posetrack_app.formats.posetrack.dataset import annotation_folder
from posetrack_app.models.training.coco_labels import read_coco
from posetrack_app.models.training.posetrack_labels import read_posetrack
from posetrack_app.models.training.shard_labels import is_shards, read_shards

HELD_OUT = 20
"""One image in this many is held out if the data has no dev images."""
_COCO_FILES = {"pose": ("person_keypoints",), "detector": ("instances", "person_keypoints")}


@dataclass(frozen=True)
class TrainingData:
    """Images to train on, and dev images to measure on."""

    train: list[LabelledImage]
    dev: list[LabelledImage]


def read_training_data(
    data: Sequence[Path], task: str, images: Path | None = None, dev: Path | None = None
) -> TrainingData:
    """The images of all data sets together; InputError if there is nothing to train on.

    Args:
        data: Files or folders, one for each data set.
        task: "pose" or "detector".
        images: Folder of the images of COCO files; dev images are also searched beside their own file.
        dev: A COCO file to measure on. Without it, the dev or val images of each set are used, or one image in twenty,
            chosen by its name.
    """
    train: list[LabelledImage] = []
    held_out: list[LabelledImage] = []
    for path in data:
        set_train, set_dev = _read_set(path, task, images)
        if dev is None and set_dev is None:
            set_train, set_dev = _hold_out(set_train)
        if task == "pose" and not is_shards(path):
            set_train, set_dev = _with_poses(set_train), _with_poses(set_dev or [])
        train += set_train
        held_out += set_dev or []
    if dev is not None:
        held_out = read_coco(dev, source="dev", elsewhere=images)
        if task == "pose" and not all(map(is_shards, data)):
            held_out = _with_poses(held_out)
    if not any(map(_has_pose if task == "pose" else _has_box, train)):
        needed = f"{MIN_KEYPOINTS} labelled keypoints" if task == "pose" else "a box"
        raise InputError(
            f"{', '.join(map(str, data))}: no person with {needed}, so there is nothing to train on"
        )
    return TrainingData(train, held_out)


def _hold_out(images: list[LabelledImage]) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Split into images to train on and dev images; the split depends on the names only."""
    order = sorted(images, key=lambda image: hashlib.sha256(image.name.encode()).digest())
    count = math.ceil(len(order) / HELD_OUT)
    return order[count:], order[:count]


def _read_set(
    path: Path, task: str, images: Path | None
) -> tuple[list[LabelledImage], list[LabelledImage] | None]:
    """The images to train on and the dev images of one data set; None if it has no dev images."""
    if path.is_file():
        return read_coco(path, images), None
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    if is_shards(path):
        return read_shards(path, "train", task), read_shards(path, "dev", task)
    for kind in _COCO_FILES[task]:
        files = sorted((path / "annotations").glob(f"{kind}_train*.json"))
        if files:
            dev_files = sorted((path / "annotations").glob(f"{kind}_val*.json"))
            dev = read_coco(dev_files[0], elsewhere=images) if dev_files else None
            return read_coco(files[0], images), dev
    if _is_posetrack(path, "train"):
        dev = read_posetrack(path, "val") if _is_posetrack(path, "val") else None
        return read_posetrack(path, "train"), dev
    raise InputError(
        f"{path} is not a training set; give a COCO file, or a folder with annotations/train/*.json (PoseTrack18) or "
        f"annotations/{_COCO_FILES[task][0]}_train*.json (COCO)"
    )


def _is_posetrack(root: Path, split: str) -> bool:
    try:
        annotation_folder(root, split)
    except InputError:
        return False
    return True


def _with_poses(images: list[LabelledImage]) -> list[LabelledImage]:
    """Only images with a pose to train on: most COCO images have none, and decoding them costs disk space."""
    return [image for image in images if _has_pose(image)]


def _has_pose(image: LabelledImage) -> bool:
    return any(not p.ignore and (p.weights > 0).sum() >= MIN_KEYPOINTS for p in image.people)


def _has_box(image: LabelledImage) -> bool:
    return any(not p.ignore for p in image.people)
