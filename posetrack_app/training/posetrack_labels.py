"""A PoseTrack18 tree (ROOT/annotations/train/*.json, ROOT/images/...): labelled people for training."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from posetrack_detectors.training.labels import LabelledPerson, LabelledPicture, no_keypoints

from posetrack_app.errors import InputError
from posetrack_app.evaluation.dataset import annotation_folder, picture_file
from posetrack_app.formats.json_file import json_files, load_json
from posetrack_app.skeleton import POSETRACK
from posetrack_app.training.coco_labels import columns_of, labelled_person, read_picture


def read_posetrack(root: Path, split: str) -> list[LabelledPicture]:
    """The labelled frames of a split ("train", "val"); regions to ignore become boxes to ignore.

    InputError names the file and what in it cannot be used.
    """
    pictures = []
    for file in json_files(annotation_folder(root, split)):
        pictures.extend(_read_sequence(root, file))
    if not pictures:
        raise InputError(f"{root}: no frame of '{split}' is labelled")
    return pictures


def _read_sequence(root: Path, file: Path) -> list[LabelledPicture]:
    content = load_json(file)
    try:
        names = content["categories"][0].get("keypoints", list(POSETRACK.keypoints))
        columns = columns_of(names)
        people: dict[int, list[LabelledPerson]] = defaultdict(list)
        for annotation in content["annotations"]:
            if _has_place(annotation):
                people[annotation["image_id"]].append(labelled_person(annotation, columns))
        frames = [f for f in content["images"] if f.get("is_labeled", f["id"] in people)]
        if not frames:
            return []
        size = _frame_size(root, frames[0])
        return [
            LabelledPicture(
                frame["file_name"],
                size,
                (*people[frame["id"]], *_ignored(frame)),
                path,
                partial(read_picture, path, size),
                "posetrack",
            )
            for frame in frames
            for path in [picture_file(root, frame["file_name"])]
        ]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: is no PoseTrack18 annotation file ({error!r})") from error


def _has_place(annotation: dict[str, Any]) -> bool:
    """Some people of the set have a head box only."""
    return "bbox" in annotation or any(annotation.get("keypoints", ())[2::3])


def _frame_size(root: Path, frame: dict[str, Any]) -> tuple[int, int]:
    """(height, width) of a video's frames: the file says it, or else its first picture."""
    if "height" in frame and "width" in frame:
        return int(frame["height"]), int(frame["width"])
    height, width = read_picture(picture_file(root, frame["file_name"])).shape[:2]
    return height, width


def _ignored(frame: dict[str, Any]) -> list[LabelledPerson]:
    """A box around every region of unlabelled people."""
    regions = zip(frame.get("ignore_regions_x") or [], frame.get("ignore_regions_y") or [], strict=True)
    boxes = [np.array([min(x), min(y), max(x), max(y)], dtype=float) for x, y in regions if x and y]
    return [LabelledPerson(box, *no_keypoints(), ignore=True) for box in boxes]
