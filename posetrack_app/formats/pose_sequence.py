"""One annotated or predicted video as columns, however its file is laid out; what the evaluation reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from posetrack_app.errors import InputError
from posetrack_app.records import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

SCORED_KEYPOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    "head_bottom", "nose", "head_top",
)  # fmt: skip
"""The 15 keypoints PoseTrack scores, in the order of their PoseTrack17 ids."""

NO_SCORE = -9999.0
"""The score of a predicted keypoint whose file gives none: it ranks last."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Where each of N people stands in its file: `frame` (N,) rising, `person` (N,), both from 0."""

    path: Path
    frame_names: list[str]
    frame: IntArray
    person: IntArray

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: BoolArray | IntArray) -> Rows:
        return Rows(self.path, self.frame_names, self.frame[rows], self.person[rows])

    def fail(self, row: int, problem: str) -> NoReturn:
        """Raise InputError naming the file, the frame and the person."""
        self.fail_frame(int(self.frame[row]), f"person {self.person[row]} {problem}")

    def fail_frame(self, frame: int, problem: str) -> NoReturn:
        """Raise InputError naming the file and the frame."""
        raise InputError(f"{self.path}: frame {frame} ({self.frame_names[frame]}): {problem}")

    def fail_first(
        self, people: Sequence[Mapping[str, Any]], good: Callable[[Mapping[str, Any]], bool], problem: str
    ) -> NoReturn:
        """Raise InputError for the first of `people` that is not good."""
        self.fail(next(k for k, person in enumerate(people) if not good(person)), problem)


def rows_in_frame_order(path: Path, frame_names: list[str], frame: IntArray) -> Rows:
    """Rows whose people are numbered within their frame; `frame` must rise."""
    first = np.searchsorted(frame, frame)
    return Rows(path, frame_names, frame, np.arange(len(frame)) - first)


@dataclass(frozen=True, eq=False)
class PoseSequence:
    """People of one video, rows in frame order (file order inside a frame); F frames, N people, 15 keypoints.

    `keypoints` (N, 15, 2) are pixels as the file gives them, `present` (N, 15) says which of them count,
    `scores` (N, 15). `head_boxes` (N, 4) x1 y1 x2 y2 are NaN where the file has none. `has_points` (N,) is
    False for a PoseTrack17 person without a list of points. `ids` (N,) are -1 where such a person has none.
    `labelled` (F,) is the file's `is_labeled`, or "has people" where it does not say. `image_ids` (F,) are
    empty in PoseTrack17. `ignore_regions` maps a frame to its polygons, each (n, 2).
    """

    rows: Rows
    layout: str
    image_ids: IntArray
    labelled: BoolArray
    ids: IntArray
    keypoints: FloatArray
    present: BoolArray
    scores: FloatArray
    head_boxes: FloatArray
    has_points: BoolArray
    ignore_regions: dict[int, list[FloatArray]]

    @property
    def path(self) -> Path:
        return self.rows.path

    @property
    def name(self) -> str:
        """The video's name: its file's name without .json."""
        return self.rows.path.stem

    @property
    def frame(self) -> IntArray:
        """(N,) each person's frame, from 0."""
        return self.rows.frame

    @property
    def frame_count(self) -> int:
        return len(self.rows.frame_names)

    def has_people(self) -> BoolArray:
        """(F,) frames with at least one person."""
        return frames_with_people(self.rows)


def frames_with_people(rows: Rows) -> BoolArray:
    """(F,) frames with at least one person."""
    return np.bincount(rows.frame, minlength=len(rows.frame_names)) > 0


def check_regions(rows: Rows, regions: Mapping[int, Sequence[FloatArray]]) -> None:
    """Every ignore region must be a polygon."""
    for frame, polygons in regions.items():
        for k, polygon in enumerate(polygons):
            if len(polygon) < 3:
                rows.fail_frame(
                    frame, f"ignore region {k} has {len(polygon)} points; a polygon needs at least 3"
                )


def integer_ids(values: Sequence[Any]) -> IntArray | None:
    """The track ids as (N,) int64, or None when one of them is missing or no integer."""
    if not values:
        return np.zeros(0, np.int64)
    try:
        ids = np.array(values)
    except ValueError:  # a list among numbers
        return None
    return ids.astype(np.int64) if ids.dtype.kind in "iu" and ids.ndim == 1 else None
