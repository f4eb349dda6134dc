"""Read poses without identities: from tracks files, PoseTrack18 files or COCO keypoint results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json
from posetrack_app.core.skeletons import COCO
from posetrack_app.formats.tracks_json.reader import parse_tracks
from posetrack_app.formats.tracks_json.tracks import Tracks

_MAX_FRAMES_PER_IMAGE = 100
"""If the image ids span more frames than this per image with people, they cannot be frame numbers of one video."""


def read_poses(path: Path) -> Tracks:
    """The poses in a tracks file, a PoseTrack18 file or a list of COCO keypoint results; all ids are 0.

    A COCO list has no frames: `image_id` counts them at 25 per second, from 0 or, if the ids are large, from the lowest
    id. Ids that do not occur are frames without people. Raises InputError naming the file and the wrong entry.
    """
    content = load_json(path)
    if isinstance(content, list):
        content = _with_frames(path, content)
    return parse_tracks(path, content, with_ids=False)


def _with_frames(path: Path, results: Sequence[Any]) -> dict[str, Any]:
    """COCO keypoint results as a file with images and categories."""
    for k, person in enumerate(results):
        if not isinstance(person, dict) or type(person.get("image_id")) is not int:
            raise InputError(f"{path}: entry {k}: a COCO result needs an integer 'image_id'")
        if "keypoints" not in person:
            raise InputError(f"{path}: entry {k} has no 'keypoints'; linking needs poses, not only boxes")
    if not results:
        raise InputError(f"{path} contains no poses; an empty list does not say how many frames there are")
    image_ids = {person["image_id"] for person in results}
    first, last = min(image_ids), max(image_ids)
    if first >= 0 and last < _MAX_FRAMES_PER_IMAGE * len(image_ids):
        first = 0  # the ids are frame numbers, and the first frames have no people
    if last - first >= _MAX_FRAMES_PER_IMAGE * len(image_ids):
        raise InputError(
            f"{path}: its image_ids ({first} to {last}) are not the frame numbers of one video; "
            "write one file for each video"
        )
    return {
        "categories": [{"keypoints": list(COCO.keypoints)}],
        "images": [
            {"id": number, "frame_index": number - first, "file_name": f"{number - first:06d}.jpg"}
            for number in range(first, last + 1)
        ],
        "annotations": [_with_scores(person) for person in results],
    }


def _with_scores(person: Mapping[str, Any]) -> Mapping[str, Any]:
    """A COCO result with `scores`, from the third values of its keypoints: confidences, or 0, 1, 2 in ground truth."""
    keypoints = person["keypoints"]
    thirds = keypoints[2::3] if isinstance(keypoints, list) else []
    if person.get("scores") or not all(isinstance(value, (int, float)) for value in thirds):
        return person
    return {**person, "scores": [min(max(float(value), 0.0), 1.0) for value in thirds]}
