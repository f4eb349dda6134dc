"""PoseTrack annotation files of either layout, told apart by their keys as poseval does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import load_json
from posetrack_app.formats.pose_sequence import PoseSequence
from posetrack_app.formats.posetrack17 import posetrack17_sequence
from posetrack_app.formats.posetrack18 import posetrack18_sequence


def posetrack_sequence(path: Path, content: Any, fixed_order: bool = False) -> PoseSequence:
    """The people of a parsed PoseTrack17 (`annolist`) or PoseTrack18 (`images`) file."""
    if isinstance(content, dict) and isinstance(content.get("annolist"), list) and not fixed_order:
        return posetrack17_sequence(path, content)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return posetrack18_sequence(path, content, fixed_order)
    if fixed_order:
        raise InputError(
            f"{path}: PoseTrack21 scoring reads PoseTrack18 files only ('images' and 'annotations')"
        )
    raise InputError(
        f"{path}: is no PoseTrack file: it has neither a list 'annolist' (2017) nor 'images' (2018)"
    )


def read_posetrack(path: Path, fixed_order: bool = False) -> PoseSequence:
    """Read one annotation or prediction file."""
    return posetrack_sequence(path, load_json(path), fixed_order)
