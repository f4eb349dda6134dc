"""What lies at --data: our shards, a PoseTrack18 tree, a COCO tree or one COCO file; and a part held out for dev."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from posetrack_detectors.training.labels import FEWEST_KEYPOINTS, LabelledPicture

from posetrack_app.errors import InputError
from posetrack_app.evaluation.dataset import annotation_folder
from posetrack_app.training.coco_labels import read_coco
from posetrack_app.training.posetrack_labels import read_posetrack
from posetrack_app.training.shard_labels import is_shards, read_shards

HELD_OUT = 20
"""One picture in so many is held out where no dev pictures are given."""
_COCO_FILES = {"pose": ("person_keypoints",), "detector": ("instances", "person_keypoints")}


@dataclass(frozen=True)
class TrainingData:
    """Pictures to learn from and others to measure on."""

    train: list[LabelledPicture]
    dev: list[LabelledPicture]


def read_training_data(
    data: Path, task: str, images: Path | None = None, dev: Path | None = None
) -> TrainingData:
    """The pictures for `task` "pose" or "detector".

    `dev` is a COCO file to measure on; without it the set's own dev or val pictures are, or one picture in twenty,
    chosen by its name. `images` is the folder of a COCO file's pictures; those to measure on are sought there where
    they are not beside their own file. InputError where there is nothing to learn from.
    """
    train, held_out = _read(data, task, images)
    if dev is not None:
        held_out = read_coco(dev, source="dev", elsewhere=images)
    elif held_out is None:
        order = sorted(train, key=lambda picture: hashlib.sha256(picture.name.encode()).digest())
        count = math.ceil(len(order) / HELD_OUT)
        held_out, train = order[:count], order[count:]
    if task == "pose" and not is_shards(data):  # most pictures of COCO show nobody: spare the disk
        train = [picture for picture in train if _has_pose(picture)]
        held_out = [picture for picture in held_out if _has_pose(picture)]
    usable = map(_has_pose if task == "pose" else _has_box, train)
    if not any(usable):
        needed = f"with {FEWEST_KEYPOINTS} labelled keypoints" if task == "pose" else "with a box"
        raise InputError(f"{data}: holds nobody {needed} to learn from")
    return TrainingData(train, held_out)


def _read(
    data: Path, task: str, images: Path | None
) -> tuple[list[LabelledPicture], list[LabelledPicture] | None]:
    if data.is_file():
        return read_coco(data, images), None
    if not data.is_dir():
        raise InputError(f"{data}: there is no such file or folder")
    if is_shards(data):
        return read_shards(data, "train", task), read_shards(data, "dev", task)
    for kind in _COCO_FILES[task]:
        files = sorted((data / "annotations").glob(f"{kind}_train*.json"))
        if files:
            others = sorted((data / "annotations").glob(f"{kind}_val*.json"))
            held_out = read_coco(others[0], elsewhere=images) if others else None
            return read_coco(files[0], images), held_out
    if _is_posetrack(data, "train"):
        return read_posetrack(data, "train"), read_posetrack(data, "val") if _is_posetrack(
            data, "val"
        ) else None
    raise InputError(
        f"{data}: is no set to train on; give a COCO file, or a folder with annotations/train/*.json (PoseTrack18) or "
        f"annotations/{_COCO_FILES[task][0]}_train*.json (COCO)"
    )


def _is_posetrack(root: Path, split: str) -> bool:
    try:
        annotation_folder(root, split)
    except InputError:
        return False
    return True


def _has_pose(picture: LabelledPicture) -> bool:
    return any(not p.ignore and (p.weights > 0).sum() >= FEWEST_KEYPOINTS for p in picture.people)


def _has_box(picture: LabelledPicture) -> bool:
    return any(not p.ignore for p in picture.people)
