"""Keypoint names, limbs, left/right pairs and OKS sigmas of PoseTrack18 and COCO."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from posetrack_app.core.records import FloatArray


@dataclass(frozen=True)
class Skeleton:
    """`limbs` are pairs of keypoint indices from 0; `sigmas` are the OKS fall-offs per keypoint (COCO: k = 2 sigma)."""

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    mirrored: tuple[int, ...] = field(init=False)
    """`mirrored[i]` is the keypoint that keypoint i becomes when the image is flipped left to right."""

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.keypoints):
            raise ValueError(f"{self.name}: {len(self.keypoints)} keypoints but {len(self.sigmas)} sigmas")
        index = {name: i for i, name in enumerate(self.keypoints)}
        other_side = {"left": "right", "right": "left"}
        mirrored = []
        for name in self.keypoints:
            side, _, part = name.partition("_")
            mirrored.append(index[f"{other_side[side]}_{part}"] if side in other_side else index[name])
        object.__setattr__(self, "mirrored", tuple(mirrored))

    @property
    def sigma_array(self) -> FloatArray:
        """The sigmas as (K,) float64."""
        return np.asarray(self.sigmas, dtype=np.float64)


_BODY = (
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_BODY_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)

# PoseTrack18's order. COCO has no sigmas for head_bottom and head_top; mmpose uses the shoulders' 0.079.
POSETRACK = Skeleton(
    name="posetrack18",
    keypoints=("nose", "head_bottom", "head_top", "left_ear", "right_ear", *_BODY),
    limbs=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
        (7, 9), (8, 10), (0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (1, 6),
    ),
    sigmas=(0.026, 0.079, 0.079, 0.035, 0.035, *_BODY_SIGMAS),
)  # fmt: skip

# The 19 outputs of the embedded pose network.
POSETRACK_EYES = Skeleton(
    name="posetrack18-eyes",
    keypoints=(*POSETRACK.keypoints, "left_eye", "right_eye"),
    limbs=POSETRACK.limbs,
    sigmas=(*POSETRACK.sigmas, 0.025, 0.025),
)

COCO = Skeleton(
    name="coco",
    keypoints=("nose", "left_eye", "right_eye", "left_ear", "right_ear", *_BODY),
    limbs=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
        (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    sigmas=(0.026, 0.025, 0.025, 0.035, 0.035, *_BODY_SIGMAS),
)  # fmt: skip
