"""Read PoseTrack annotation files of either layout; as in poseval, their keys tell which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json
from posetrack_app.formats.posetrack.read17 import posetrack17_sequence
from posetrack_app.formats.posetrack.read18 import posetrack18_sequence
from posetrack_app.formats.posetrack.sequence import PoseSequence


def posetrack_sequence(path: Path, content: Any, fixed_order: bool = False) -> PoseSequence:
    """The people in a parsed PoseTrack17 (`annolist`) or PoseTrack18 (`images`) file; see `posetrack18_sequence`."""
    if isinstance(content, dict) and isinstance(content.get("annolist"), list) and not fixed_order:
        return posetrack17_sequence(path, content)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return posetrack18_sequence(path, content, fixed_order)
    if fixed_order:
        raise InputError(
            f"{path} is not a PoseTrack18 file ('images' and 'annotations'), which PoseTrack21 scoring needs"
        )
    raise InputError(
        f"{path} is not a PoseTrack file: it has neither a list 'annolist' (2017) nor a list 'images' (2018)"
    )


def read_posetrack(path: Path, fixed_order: bool = False) -> PoseSequence:
    """The people in an annotation or prediction file; see `posetrack18_sequence` for `fixed_order`."""
    return posetrack_sequence(path, load_json(path), fixed_order)
