"""COCO and MPII keypoints as PoseTrack18 keypoints, for pose networks trained on those datasets.

Keypoints that both datasets label are copied. The others are derived:

| from | keypoint    | position                                                                              |
|------|-------------|---------------------------------------------------------------------------------------|
| COCO | head_bottom | 0.28 of the way from the midpoint of the shoulders to the nose                        |
| COCO | head_top    | 1.47 of that way, so beyond the nose                                                  |
| MPII | nose        | halfway from upper_neck (used as head_bottom) to head_top                             |
| MPII | ears        | unknown: at the nose with score 0 (PoseTrack's evaluation leaves ears out)            |

The shares are medians over labelled people of PoseTrack18 val (`scripts/weights/fit_head_points.py`). They are rough: 13
people of three videos, and people seen from behind or looking down differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from posetrack_detectors.pose_estimator import PoseEstimator

from posetrack_app.core.protocols import PoseArrays
from posetrack_app.core.records import FloatArray
from posetrack_app.core.skeletons import COCO, POSETRACK, POSETRACK_EYES, Skeleton

MPII = Skeleton(
    name="mpii",
    keypoints=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder",
        "left_elbow", "left_wrist",
    ),
    limbs=(
        (0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (8, 12), (12, 11), (11, 10),
        (8, 13), (13, 14), (14, 15),
    ),
    sigmas=(
        0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026, 0.062, 0.072, 0.179, 0.179,
        0.072, 0.062,
    ),
)  # fmt: skip

HEAD_BOTTOM_SHARE, HEAD_TOP_SHARE, NOSE_SHARE = 0.28, 1.47, 0.50

DERIVED = {
    COCO.name: {
        "head_bottom": f"{HEAD_BOTTOM_SHARE:g} of the way from the midpoint of the shoulders to the nose",
        "head_top": f"{HEAD_TOP_SHARE:g} of the way from the midpoint of the shoulders to the nose",
    },
    MPII.name: {
        "head_bottom": "upper_neck",
        "nose": f"{NOSE_SHARE:g} of the way from upper_neck to head_top",
        "left_ear": "unknown: at the nose with score 0",
        "right_ear": "unknown: at the nose with score 0",
    },
}
"""By skeleton: the keypoints that it lacks and how they are derived, for `info` in the tracks file."""


def to_posetrack(
    skeleton: str, keypoints: FloatArray, keypoint_scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """PoseTrack18 keypoints (N, 17, 2) and scores (N, 17) from (N, K, 2) and (N, K) of the named `skeleton`.

    A derived keypoint gets the lowest score of its sources.
    """
    if skeleton in (POSETRACK.name, POSETRACK_EYES.name):
        count = len(POSETRACK.keypoints)
        return keypoints[:, :count], keypoint_scores[:, :count]
    source = {COCO.name: COCO, MPII.name: MPII}[skeleton]
    points = {name: keypoints[:, i] for i, name in enumerate(source.keypoints)}
    scores = {name: keypoint_scores[:, i] for i, name in enumerate(source.keypoints)}
    if source is COCO:
        shoulders = (points["left_shoulder"] + points["right_shoulder"]) / 2
        seen = np.minimum(scores["left_shoulder"], scores["right_shoulder"])
        for name, share in (("head_bottom", HEAD_BOTTOM_SHARE), ("head_top", HEAD_TOP_SHARE)):
            points[name] = shoulders + share * (points["nose"] - shoulders)
            scores[name] = np.minimum(seen, scores["nose"])
    else:
        points["head_bottom"], scores["head_bottom"] = points["upper_neck"], scores["upper_neck"]
        points["nose"] = points["head_bottom"] + NOSE_SHARE * (points["head_top"] - points["head_bottom"])
        scores["nose"] = np.minimum(scores["head_bottom"], scores["head_top"])
        for ear in ("left_ear", "right_ear"):
            points[ear], scores[ear] = points["nose"], np.zeros_like(scores["nose"])
    names = POSETRACK.keypoints
    return np.stack([points[name] for name in names], axis=1), np.stack(
        [scores[name] for name in names], axis=1
    )


@dataclass(frozen=True)
class InPosetrackOrder:
    """An estimator whose output is PoseTrack18's 17 keypoints; `skeleton` names what `estimate` predicts."""

    estimate: PoseEstimator
    skeleton: str

    def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        keypoints, scores, appearance = self.estimate(images, boxes)
        return *to_posetrack(self.skeleton, keypoints, scores), appearance
