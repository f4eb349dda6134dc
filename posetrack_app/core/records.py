"""The records that flow through the pipeline. They hold columns: row i of every column is the same person.

Each stage adds columns: `Detections`, then `Poses`, then `TrackedPoses`. A track is all rows with one id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

_Rows = TypeVar("_Rows", bound="Detections")

DETECTED, PROPAGATED, INTERPOLATED, EDITED = range(4)
ORIGINS = ("detected", "propagated", "interpolated", "edited")
"""How a person or keypoint was obtained: detected; propagated from the previous frame by optical flow; interpolated
between frames; or edited by hand.
"""


@dataclass(frozen=True, eq=False)
class FrameInfo:
    """One frame without its pixels.

    `index` counts the frames of the video from 0. `seconds` is the true presentation time from the start of the video.
    `size` is (width, height) in pixels, (0, 0) if unknown. `file_name` is set for image folders. `camera_motion`
    (2, 3) is the affine map from pixels of the previous frame to pixels of this one, if known. `is_cut`: first
    frame of a new shot, or of another size: the size may change in mid-film, and coordinates are always those of this
    frame's own image.
    """

    index: int
    seconds: float
    size: tuple[int, int] = (0, 0)
    file_name: str = ""
    camera_motion: FloatArray | None = None
    is_cut: bool = False


class HasInfo(Protocol):
    """A frame with or without its pixels."""

    @property
    def info(self) -> FrameInfo: ...


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame. `image` is (H, W, 3) uint8 RGB, upright as displayed."""

    info: FrameInfo
    image: NDArray[np.uint8]

    @classmethod
    def of(cls, index: int, seconds: float, image: NDArray[np.uint8], file_name: str = "") -> Frame:
        """A frame from its image, which gives the size."""
        return cls(FrameInfo(index, seconds, (image.shape[1], image.shape[0]), file_name), image)


@dataclass(frozen=True, eq=False, kw_only=True)
class Detections:
    """People found in one frame.

    `boxes` (N, 4) are x1 y1 x2 y2 in pixels of the whole frame, `scores` (N,) are from 0 to 1, `origins` (N,) are
    DETECTED, PROPAGATED or INTERPOLATED. Raises ValueError if the lengths differ.
    """

    boxes: FloatArray
    scores: FloatArray
    origins: IntArray

    @staticmethod
    def detected(boxes: FloatArray, scores: FloatArray) -> Detections:
        """People that the detector found."""
        return Detections(boxes=boxes, scores=scores, origins=np.full(len(boxes), DETECTED, dtype=np.int8))

    def with_keypoints(
        self, keypoints: FloatArray, keypoint_scores: FloatArray, appearance: FloatArray | None = None
    ) -> Poses:
        """The same people with keypoints (N, K, 2) and their scores (N, K). Each keypoint gets its person's origin."""
        origins = np.repeat(self.origins[:, None], keypoint_scores.shape[-1], axis=1)
        return Poses(
            boxes=self.boxes,
            scores=self.scores,
            origins=self.origins,
            keypoints=keypoints,
            keypoint_scores=keypoint_scores,
            keypoint_origins=origins,
            appearance=np.zeros((len(self), 0)) if appearance is None else appearance,
        )

    def __post_init__(self) -> None:
        people = len(self.boxes)
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Poses(Detections):
    """Detections with keypoints.

    `keypoints` (N, K, 2) are x y in pixels of the whole frame; `keypoint_scores` and `keypoint_origins` are (N, K).
    `appearance` (N, D) are features that are similar for the same person; D is 0 if the estimator gives none.
    """

    keypoints: FloatArray
    keypoint_scores: FloatArray
    keypoint_origins: IntArray
    appearance: FloatArray

    def with_ids(self, ids: IntArray, smoothed_keypoints: FloatArray | None = None) -> TrackedPoses:
        """The same people with ids (N,). Without `smoothed_keypoints` the raw keypoints are used for them."""
        columns = {column.name: getattr(self, column.name) for column in fields(Poses)}
        smoothed = self.keypoints if smoothed_keypoints is None else smoothed_keypoints
        return TrackedPoses(**columns, ids=ids, smoothed_keypoints=smoothed)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keypoints.ndim != 3 or self.keypoints.shape[2] != 2:
            raise ValueError(f"keypoints must be (N, K, 2), got {self.keypoints.shape}")
        for name in ("keypoint_scores", "keypoint_origins"):
            if getattr(self, name).shape != self.keypoints.shape[:2]:
                raise ValueError(
                    f"{name} must be {self.keypoints.shape[:2]}, got {getattr(self, name).shape}"
                )


@dataclass(frozen=True, eq=False, kw_only=True)
class TrackedPoses(Poses):
    """Poses with ids.

    `ids` (N,) are integers. `smoothed_keypoints` (N, K, 2) are the keypoints after temporal smoothing, for display;
    `keypoints` stay as the network predicted them.
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


def joined_rows(parts: Sequence[_Rows]) -> _Rows:
    """The rows of all `parts`, which are at least one, in their order."""
    columns: dict[str, Any] = {
        column.name: np.concatenate([getattr(part, column.name) for part in parts])
        for column in fields(parts[0])
    }
    return type(parts[0])(**columns)


def is_missing(keypoints: FloatArray, scores: FloatArray) -> BoolArray:
    """(..., K) missing keypoints, which PoseTrack18 writes as 0 0 0: score 0 at x = y = 0.

    `keypoints` are (..., K, 2), `scores` (..., K). A keypoint elsewhere has a position even if its score is 0.
    """
    missing: BoolArray = (scores == 0) & (keypoints == 0).all(axis=-1)
    return missing
