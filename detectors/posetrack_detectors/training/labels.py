"""What is known about the pictures to learn from, whatever file it was read from."""

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
"""The 19 outputs of our pose nets: PoseTrack18's 17 and the eyes, so that COCO's 17 are in it too."""
_OTHER_SIDE = {"left": "right", "right": "left"}
MIRRORED = tuple(
    KEYPOINTS.index(name if side not in _OTHER_SIDE else f"{_OTHER_SIDE[side]}_{part}")
    for name in KEYPOINTS
    for side, _, part in [name.partition("_")]
)
"""`MIRRORED[i]` is the keypoint that i becomes in a mirrored picture."""
_BODY_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
SIGMAS = np.array([0.026, 0.079, 0.079, 0.035, 0.035, *_BODY_SIGMAS, 0.025, 0.025])
"""OKS sigmas (COCO's; the shoulders' for the head's bottom and top)."""
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
FEWEST_KEYPOINTS = 4
"""A person with fewer labelled keypoints is nothing to learn a pose from."""


@dataclass(frozen=True)
class LabelledPerson:
    """One person: `box` (4,) x1 y1 x2 y2 and `keypoints` (19, 2) in pixels of the picture."""

    box: Array
    keypoints: Array
    weights: Array
    """(19,) how much each keypoint counts in training; 0 is unlabelled, which is not absent."""
    measured: Array
    """(19,) True where a human placed the keypoint, not a teacher network."""
    ignore: bool = False
    """Neither a person nor background for the detector (crowds, uncertain boxes); its keypoints are not used."""
    pose_box: Array | None = None
    """The box to cut the person's crop from where that is not `box`."""


@dataclass(frozen=True)
class LabelledPicture:
    """One picture; `read` gives it as (height, width, 3) RGB uint8, whatever its size, once."""

    name: str
    size: tuple[int, int]
    """(height, width) in which the people are labelled."""
    people: tuple[LabelledPerson, ...]
    file: Path
    """Where it lies, alone or with others; a changed file is decoded again."""
    read: Callable[[], NDArray[np.uint8]]
    source: str = "pictures"
    """The part of the data it is of, for shares of the draw and for figures apart."""
    share: float = 1.0
    """How often it is drawn, relative to others."""


def no_keypoints() -> tuple[Array, Array, Array]:
    """Keypoints, weights and measured of a person of whom only the box is known."""
    count = len(KEYPOINTS)
    return np.zeros((count, 2)), np.zeros(count), np.zeros(count, dtype=bool)
