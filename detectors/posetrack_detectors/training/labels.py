"""Labelled images and people for training, whatever file format they were read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BODY = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)
KEYPOINTS = ("nose", "head_bottom", "head_top", "left_ear", "right_ear", *_BODY, "left_eye", "right_eye")
"""The 19 outputs of the pose networks trained here: PoseTrack18's 17 and the eyes, so that COCO's 17 are included."""
_OTHER_SIDE = {"left": "right", "right": "left"}
MIRRORED = tuple(
    KEYPOINTS.index(name if side not in _OTHER_SIDE else f"{_OTHER_SIDE[side]}_{part}")
    for name in KEYPOINTS
    for side, _, part in [name.partition("_")]
)
"""`MIRRORED[i]` is the keypoint that i becomes in a flipped image."""
_BODY_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
SIGMAS = np.array([0.026, 0.079, 0.079, 0.035, 0.035, *_BODY_SIGMAS, 0.025, 0.025])
"""COCO's OKS sigmas; the head's bottom and top have those of the shoulders."""
LOWER_BODY = tuple(i for i, name in enumerate(KEYPOINTS) if name.endswith(("hip", "knee", "ankle")))
UPPER_BODY = tuple(i for i in range(len(KEYPOINTS)) if i not in LOWER_BODY)
HEAD = tuple(
    i for i, name in enumerate(KEYPOINTS) if name.endswith(("nose", "ear", "eye", "head_top", "head_bottom"))
)
LIMBS = tuple(
    (KEYPOINTS.index(f"{side}_{upper}"), KEYPOINTS.index(f"{side}_{lower}"))
    for side in ("left", "right")
    for upper, lower in (("elbow", "wrist"), ("knee", "ankle"))
)
MIN_KEYPOINTS = 4
"""A pose is trained only on people with at least this many labelled keypoints."""


@dataclass(frozen=True)
class LabelledPerson:
    """One person: `box` (4,) x1 y1 x2 y2 and `keypoints` (19, 2) in pixels of the image."""

    box: Array
    keypoints: Array
    weights: Array
    """(19,) weight of each keypoint in training; 0 means unlabelled, not invisible."""
    measured: Array
    """(19,) bool: a human placed the keypoint, not a teacher network."""
    ignore: bool = False
    """Neither a person nor background for the detector (crowds, uncertain boxes); the keypoints are not used."""
    pose_box: Array | None = None
    """The box (4,) from which to cut the person's crop, if it is not `box`."""


@dataclass(frozen=True)
class LabelledImage:
    """One image; `read` returns it as (height, width, 3) RGB uint8, possibly in another size."""

    name: str
    size: tuple[int, int]
    """(height, width) to which the labels refer."""
    people: tuple[LabelledPerson, ...]
    file: Path
    """The image file, or the archive that contains it; the image is decoded again if this file changes."""
    read: Callable[[], NDArray[np.uint8]]
    source: str = "images"
    """The part of the data it belongs to; dev results are given per source."""
    share: float = 1.0
    """How often it is drawn, relative to other images."""


def no_keypoints() -> tuple[Array, Array, Array]:
    """`keypoints`, `weights` and `measured` of a person with a box only."""
    count = len(KEYPOINTS)
    return np.zeros((count, 2)), np.zeros(count), np.zeros(count, dtype=bool)
