"""Poses of one video as the networks gave them, before any threshold, in a .npz file: exact, small and fast to read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import write_atomic
from posetrack_app.core.parse_file import parse_file
from posetrack_app.core.records import FrameInfo, Poses

_COLUMNS = tuple(column.name for column in fields(Poses))


@dataclass(frozen=True, eq=False)
class PosesInFrame:
    """One frame, without its pixels, and everyone the networks found in it."""

    info: FrameInfo
    poses: Poses


@dataclass(frozen=True, eq=False)
class PoseStore:
    """The stored poses of one video; `made_with` says which networks and settings they depend on."""

    path: Path
    made_with: Mapping[str, Any]
    frames: Sequence[PosesInFrame]


def write_pose_store(path: Path, made_with: Mapping[str, Any], frames: Iterable[PosesInFrame]) -> None:
    """Write the poses of one video. Numbers are stored as they are, so that linking them later gives the same tracks."""
    frames = list(frames)
    infos = [frame.info for frame in frames]
    no_motion = np.full((2, 3), np.nan)
    arrays: dict[str, NDArray[Any]] = {
        "made_with": np.frombuffer(json.dumps(made_with).encode(), np.uint8),
        "index": np.array([info.index for info in infos], np.int64),
        "seconds": np.array([info.seconds for info in infos], np.float64),
        "size": np.array([info.size for info in infos], np.int64).reshape(-1, 2),
        "is_cut": np.array([info.is_cut for info in infos], bool),
        "camera_motion": np.array(
            [no_motion if info.camera_motion is None else info.camera_motion for info in infos], np.float64
        ).reshape(-1, 2, 3),
        "people": np.array([len(frame.poses) for frame in frames], np.int64),
    }
    if frames:
        arrays |= {
            name: np.concatenate([getattr(frame.poses, name) for frame in frames]) for name in _COLUMNS
        }
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def read_pose_store(path: Path) -> PoseStore:
    """The poses that `write_pose_store` wrote. InputError if the file is missing or damaged."""
    arrays = parse_file(path, "posetrack poses", _arrays)
    try:
        made_with = json.loads(arrays["made_with"].tobytes())
        bounds = np.concatenate([[0], np.cumsum(arrays["people"])]).tolist()
        frames = [
            PosesInFrame(
                _info(arrays, k),
                Poses(**{name: arrays[name][bounds[k] : bounds[k + 1]] for name in _COLUMNS}),
            )
            for k in range(len(arrays["index"]))
        ]
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path} is damaged or of another version; make the poses again") from error
    return PoseStore(path, made_with, frames)


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, EOFError, OSError, AttributeError) as error:  # AttributeError: a plain .npy
        raise ValueError(str(error)) from error


def _info(arrays: Mapping[str, NDArray[Any]], k: int) -> FrameInfo:
    motion, size = arrays["camera_motion"][k], arrays["size"][k].tolist()
    return FrameInfo(
        index=int(arrays["index"][k]),
        seconds=float(arrays["seconds"][k]),
        size=(size[0], size[1]),
        camera_motion=None if np.isnan(motion).any() else motion,
        is_cut=bool(arrays["is_cut"][k]),
    )
