"""Stored poses whose people need no identity: tracks files, PoseTrack18 detections, COCO keypoint results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import load_json
from posetrack_app.formats.tracks_reader import Tracks, tracks_of
from posetrack_app.skeleton import COCO

_SPARSEST = 100
"""More frames than this for every one with people in it, and the image ids cannot count one video's frames."""


def read_poses(path: Path) -> Tracks:
    """The poses in a tracks file, a PoseTrack18 file or a list of COCO keypoint results; every id is 0.

    A COCO list has no frames of its own: `image_id` counts them, at 25 a second, from 0, or from the first that
    occurs where that is large; ids that do not occur are frames without people. InputError names the file and the
    entry for what is wrong.
    """
    content = load_json(path)
    if isinstance(content, list):
        content = _with_frames(path, content)
    return tracks_of(path, content, with_ids=False)


def _with_frames(path: Path, results: Sequence[Any]) -> dict[str, Any]:
    """COCO keypoint results as a file with images and categories."""
    for place, person in enumerate(results):
        if not isinstance(person, dict) or type(person.get("image_id")) is not int:
            raise InputError(f"{path}: entry {place}: a COCO result needs a whole number as 'image_id'")
        if "keypoints" not in person:
            raise InputError(
                f"{path}: entry {place} has no 'keypoints'; linking needs poses, not boxes alone"
            )
    if not results:
        raise InputError(f"{path}: holds no poses; an empty list does not say how many frames there are")
    numbers = {person["image_id"] for person in results}
    first, last = min(numbers), max(numbers)
    if first >= 0 and last < _SPARSEST * len(numbers):
        first = 0  # they are the frames' places in the video, and nobody is in the first ones
    if last - first >= _SPARSEST * len(numbers):
        raise InputError(
            f"{path}: its image_ids ({first} to {last}) do not count the frames of one video; "
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
    """A COCO result with `scores`, which stand third in its keypoints: in results as confidence, else as 0, 1, 2."""
    keypoints = person["keypoints"]
    thirds = keypoints[2::3] if isinstance(keypoints, list) else []
    if person.get("scores") or not all(isinstance(value, (int, float)) for value in thirds):
        return person
    return {**person, "scores": [min(max(float(value), 0.0), 1.0) for value in thirds]}
