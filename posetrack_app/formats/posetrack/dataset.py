"""The folders of a PoseTrack data set."""

from __future__ import annotations

from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import json_files

_ANNOTATION_FOLDERS = ("annotations", "posetrack_data/annotations", "posetrack_data", "annotations_posetrack")


def annotation_folder(root: Path, split: str) -> Path:
    """The folder with a JSON file for each video of the split; InputError if the data set has none."""
    for name in _ANNOTATION_FOLDERS:
        folder = root / name / split
        if folder.is_dir() and json_files(folder):
            return folder
    raise InputError(
        f"{root} has no annotations/{split} with .json files; give the folder that contains 'annotations' and 'images'"
    )


def image_file(root: Path, frame_name: str) -> Path:
    """The image of a frame, whose name may or may not start with "images/"."""
    file = root / frame_name
    return file if file.exists() or frame_name.startswith("images/") else root / "images" / frame_name
