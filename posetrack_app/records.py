"""The columns that flow through the pipeline; row i of every column is the same person."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

_Rows = TypeVar("_Rows", bound="Detections")

DETECTED, PROPAGATED, INTERPOLATED = range(3)
ORIGINS = ("detected", "propagated", "interpolated")
"""Where a person or a keypoint in a frame comes from: the detector found him; the poses of the frame before, moved
by optical flow, led to him; or the frames around say where he or it was, since no network looked or saw it.
"""


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture: `image` (H, W, 3) uint8 RGB as displayed, shown `seconds` after the video's start.

    `file_name` is the picture's, where it is one of a folder. `camera_motion` is the affine map (2, 3) of the
    previous frame's pixels to this one's, where the camera was followed; the film `is_cut` before the first
    frame of a new shot.
    """

    index: int
    seconds: float
    image: NDArray[np.uint8]
    file_name: str | None = None
    camera_motion: FloatArray | None = None
    is_cut: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, eq=False)
class Detections:
    """People found in one frame: `boxes` (N, 4) x1 y1 x2 y2 in pixels of the whole frame, `scores` (N,).

    `origins` (N,) are DETECTED, PROPAGATED or INTERPOLATED; where not given, everybody is detected.
    """

    boxes: FloatArray
    scores: FloatArray
    origins: IntArray = field(kw_only=True, default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        people = len(self.boxes)
        if self.origins is None:
            object.__setattr__(self, "origins", np.zeros(people, dtype=np.int8))
        if self.boxes.shape != (people, 4):
            raise ValueError(f"boxes must be (N, 4), got {self.boxes.shape}")
        for column in fields(self):
            rows = len(getattr(self, column.name))
            if rows != people:
                raise ValueError(f"{column.name} has {rows} rows, boxes has {people}")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self: _Rows, rows: NDArray[Any] | slice) -> _Rows:
        """The chosen rows of every column; `rows` is a mask, an index array or a slice."""
        return type(self)(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})


@dataclass(frozen=True, eq=False)
class Poses(Detections):
    """Detections with `keypoints` (N, K, 2) x y in pixels of the whole frame and `keypoint_scores` (N, K).

    `appearance` (N, D) are features that are alike for the same person; D is 0 where the estimator gives none.
    `keypoint_origins` (N, K) are those of the person where not given.
    """

    keypoints: FloatArray
    keypoint_scores: FloatArray
    appearance: FloatArray = field(kw_only=True, default=None)  # type: ignore[arg-type]
    keypoint_origins: IntArray = field(kw_only=True, default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        if self.appearance is None:
            object.__setattr__(self, "appearance", np.zeros((len(self.boxes), 0)))
        if self.keypoint_origins is None:
            of_person = np.zeros(len(self.boxes), dtype=np.int8) if self.origins is None else self.origins
            keypoints = self.keypoint_scores.shape[-1]
            object.__setattr__(self, "keypoint_origins", np.repeat(of_person[:, None], keypoints, axis=1))
        super().__post_init__()
        if self.keypoints.ndim != 3 or self.keypoints.shape[2] != 2:
            raise ValueError(f"keypoints must be (N, K, 2), got {self.keypoints.shape}")
        if self.keypoint_scores.shape != self.keypoints.shape[:2]:
            raise ValueError(
                f"keypoint_scores must be {self.keypoints.shape[:2]}, got {self.keypoint_scores.shape}"
            )
        if self.keypoint_origins.shape != self.keypoints.shape[:2]:
            raise ValueError(
                f"keypoint_origins must be {self.keypoints.shape[:2]}, got {self.keypoint_origins.shape}"
            )


@dataclass(frozen=True, eq=False)
class TrackedPoses(Poses):
    """Poses with `ids` (N,) int, the identity of each person; a track is all rows with one id.

    `smoothed_keypoints` (N, K, 2) are `keypoints` after temporal smoothing, for display; equal to
    `keypoints` where smoothing is off. `keypoints` stay as the network saw them.
    """

    ids: IntArray
    smoothed_keypoints: FloatArray

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.issubdtype(self.ids.dtype, np.integer):
            raise ValueError(f"ids must be integers, got {self.ids.dtype}")
        if self.smoothed_keypoints.shape != self.keypoints.shape:
            raise ValueError(
                f"smoothed_keypoints must be {self.keypoints.shape}, got {self.smoothed_keypoints.shape}"
            )
