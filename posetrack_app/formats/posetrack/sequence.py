"""One annotated or predicted video as columns, the same for every file layout: the input of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import BoolArray, FloatArray, IntArray

SCORED_KEYPOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    "head_bottom", "nose", "head_top",
)  # fmt: skip
"""The 15 keypoints that PoseTrack scores, in the order of their PoseTrack17 ids."""


NO_SCORE = -9999.0
"""For a predicted keypoint without a score: it ranks last."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Where each of N people is in the file: `frame` (N,) rises, `person` (N,) counts within the frame, both from 0."""

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
        self, people: Sequence[Mapping[str, Any]], is_valid: Callable[[Mapping[str, Any]], bool], problem: str
    ) -> NoReturn:
        """Raise InputError for the first of `people` that is not valid."""
        self.fail(next(k for k, person in enumerate(people) if not is_valid(person)), problem)


def rows_in_frame_order(path: Path, frame_names: list[str], frame: IntArray) -> Rows:
    """Rows whose people are numbered within their frame; `frame` must rise."""
    first = np.searchsorted(frame, frame)
    return Rows(path, frame_names, frame, np.arange(len(frame)) - first)


@dataclass(frozen=True, eq=False)
class PoseSequence:
    """The N people in the F frames of one video, in frame order and, within a frame, in the order of the file.

    `keypoints` (N, 15, 2) are in pixels, `present` (N, 15) says which are annotated, `scores` are (N, 15).
    `head_boxes` (N, 4) are x1 y1 x2 y2, NaN if the file has none. `has_points` (N,) is False for a PoseTrack17 person
    without a list of points, and `ids` (N,) are -1 if such a person has no id. `person_ids` (N,) say who it is in all
    videos (PoseTrack21), -1 if the file does not. `labelled` (F,) is the file's
    `is_labeled`, or whether the frame has people if the file does not say. `image_ids` are (F,), or empty in
    PoseTrack17. `integer_frame` (N,): every keypoint number of the person's frame is a JSON integer (read only for
    PoseTrack21, whose kit then cuts the scores). `ignore_regions` maps a frame to its polygons, each (n, 2).
    """

    rows: Rows
    layout: str
    image_ids: IntArray
    labelled: BoolArray
    ids: IntArray
    person_ids: IntArray
    keypoints: FloatArray
    present: BoolArray
    scores: FloatArray
    head_boxes: FloatArray
    has_points: BoolArray
    integer_frame: BoolArray
    ignore_regions: dict[int, list[FloatArray]]

    @property
    def path(self) -> Path:
        return self.rows.path

    @property
    def name(self) -> str:
        """The name of the video: the file name without .json."""
        return self.rows.path.stem

    @property
    def frame(self) -> IntArray:
        """(N,) the frame of each person, from 0."""
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
    """Raise InputError if an ignore region is not a polygon."""
    for frame, polygons in regions.items():
        for k, polygon in enumerate(polygons):
            if len(polygon) < 3:
                rows.fail_frame(
                    frame, f"ignore region {k} has {len(polygon)} points; a polygon needs at least 3"
                )


def integer_ids(values: Sequence[Any]) -> IntArray | None:
    """The ids as (N,) int64; None if one of them is missing or not an integer."""
    if not values:
        return np.zeros(0, np.int64)
    try:
        ids = np.array(values)
    except ValueError:  # a list among numbers
        return None
    return ids.astype(np.int64) if ids.dtype.kind in "iu" and ids.ndim == 1 else None
