"""Labelled people from a PoseTrack18 folder (ROOT/annotations/train/*.json, ROOT/images/...)."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from posetrack_detectors.training.labels import LabelledImage, LabelledPerson, no_keypoints

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import json_files, load_json
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.posetrack.dataset import annotation_folder, image_file
from posetrack_app.models.training.coco_labels import columns_of, labelled_person, read_image


def read_posetrack(root: Path, split: str) -> list[LabelledImage]:
    """The labelled frames of a split ("train", "val"); ignore regions become boxes to ignore.

    InputError names the file that cannot be used and says why.
    """
    images = []
    for file in json_files(annotation_folder(root, split)):
        images.extend(_read_sequence(root, file))
    if not images:
        raise InputError(f"{root}: '{split}' has no labelled frames")
    return images


def _read_sequence(root: Path, file: Path) -> list[LabelledImage]:
    content = load_json(file)
    try:
        names = content["categories"][0].get("keypoints", list(POSETRACK.keypoints))
        columns = columns_of(names)
        people: dict[int, list[LabelledPerson]] = defaultdict(list)
        for annotation in content["annotations"]:
            if _has_position(annotation):
                people[annotation["image_id"]].append(labelled_person(annotation, columns))
        frames = [f for f in content["images"] if f.get("is_labeled", f["id"] in people)]
        if not frames:
            return []
        size = _frame_size(root, frames[0])
        return [
            LabelledImage(
                frame["file_name"],
                size,
                (*people[frame["id"]], *_ignored(frame)),
                path,
                partial(read_image, path, size),
                "posetrack",
            )
            for frame in frames
            for path in [image_file(root, frame["file_name"])]
        ]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is not a PoseTrack18 annotation file ({error!r})") from error


def _has_position(annotation: dict[str, Any]) -> bool:
    """False for people with a head box only, of which the data set has some."""
    return "bbox" in annotation or any(annotation.get("keypoints", ())[2::3])


def _frame_size(root: Path, frame: dict[str, Any]) -> tuple[int, int]:
    """(height, width) of a video's frames, from the file or else from the first image."""
    if "height" in frame and "width" in frame:
        return int(frame["height"]), int(frame["width"])
    height, width = read_image(image_file(root, frame["file_name"])).shape[:2]
    return height, width


def _ignored(frame: dict[str, Any]) -> list[LabelledPerson]:
    """A box around every ignore region, which contains unlabelled people."""
    regions = zip(frame.get("ignore_regions_x") or [], frame.get("ignore_regions_y") or [], strict=True)
    boxes = [np.array([min(x), min(y), max(x), max(y)], dtype=float) for x, y in regions if x and y]
    return [LabelledPerson(box, *no_keypoints(), ignore=True) for box in boxes]
