"""Name a file of another format, and the command that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.text_file import decoded

_HEAD = 4096


def refuse_other_format(path: Path, content: Any) -> None:
    """InputError if parsed JSON is not a tracks or PoseTrack18 file but another one that we know."""
    if (name := _json_format(content)) is not None:
        raise InputError(f"{path} is {name}")


def refuse_text_format(path: Path) -> None:
    """InputError if the file starts like MOTChallenge text."""
    try:
        with path.open("rb") as file:
            head = decoded(file.read(_HEAD))
    except (OSError, UnicodeDecodeError):
        return
    if _is_mot(next((line for line in head.splitlines() if line.strip()), "")):
        raise InputError(
            f"{path} is MOTChallenge text, which has boxes and no keypoints; posetrack evaluate scores it"
        )


def _is_mot(line: str) -> bool:
    try:
        return len([float(cell) for cell in line.rstrip(" ,").split(",")]) >= 6
    except ValueError:
        return False


def _json_format(content: Any) -> str | None:
    if isinstance(content, list):
        first = content[0] if content and isinstance(content[0], Mapping) else {}
        if "keypoints" in first:
            return "a list of COCO keypoint results; posetrack link gives them identities, posetrack evaluate scores them"
        if "bbox" in first:
            return "a list of COCO boxes; posetrack benchmark can start from them"
        return None
    if not isinstance(content, Mapping):
        return None
    if "annolist" in content:
        return "a PoseTrack17 file; posetrack evaluate reads it"
    if "joint_missing" in content:
        return "a file of MPII joints; posetrack evaluate reads it"
    if str(content.get("format", "")).startswith("posetrack-evaluation"):
        return "a file of scores that posetrack evaluate wrote; a later evaluate can compare with it as its baseline"
    if "machine" in content and "versions" in content:
        return "the manifest of a run; give the tracks file beside it"
    people = content.get("annotations")
    if "images" in content and isinstance(people, list) and _are_without_ids(people):
        return (
            "a COCO annotation file without identities (track_id); posetrack link assigns them if it is one video, "
            "posetrack evaluate scores results against it"
        )
    return None


def _are_without_ids(people: list[Any]) -> bool:
    return bool(people) and not any(isinstance(one, Mapping) and "track_id" in one for one in people)
