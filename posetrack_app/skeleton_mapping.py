"""COCO and MPII keypoints as PoseTrack ones, for pose networks trained on those sets.

Taken over: everything both sets label. Derived, as neither labels it:

| from | keypoint    | where                                                                             |
|------|-------------|-----------------------------------------------------------------------------------|
| COCO | head_bottom | 0.28 of the way from the shoulders' middle to the nose                            |
| COCO | head_top    | 1.47 of that way, so beyond the nose                                              |
| MPII | nose        | half the way from upper_neck (taken as head_bottom) to head_top                   |
| MPII | ears        | not observable: where the nose is, score 0 (PoseTrack's evaluation leaves them out) |

The shares are medians over labelled people of PoseTrack18 val (`scripts/fit_head_points.py`): 13 people of
three videos, so rough; people seen from behind or looking down differ.
"""

from __future__ import annotations

import numpy as np

from posetrack_app.records import FloatArray
from posetrack_app.skeleton import COCO, POSETRACK, Skeleton

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
        "head_bottom": f"{HEAD_BOTTOM_SHARE:g} of the way from the shoulders' middle to the nose",
        "head_top": f"{HEAD_TOP_SHARE:g} of the way from the shoulders' middle to the nose",
    },
    MPII.name: {
        "head_bottom": "upper_neck",
        "nose": f"{NOSE_SHARE:g} of the way from upper_neck to head_top",
        "left_ear": "not observable: where the nose is, score 0",
        "right_ear": "not observable: where the nose is, score 0",
    },
}
"""For each source the keypoints that it does not label, and where they are put; for the output's `info`."""


def to_posetrack(
    skeleton: str, keypoints: FloatArray, keypoint_scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Keypoints (N, K, 2) and scores (N, K) of "coco", "mpii" or "posetrack18" to PoseTrack18's 17.

    A derived keypoint has the lowest score of those it comes from.
    """
    if skeleton == POSETRACK.name:
        return keypoints, keypoint_scores
    source = {COCO.name: COCO, MPII.name: MPII}[skeleton]
    place = {name: i for i, name in enumerate(source.keypoints)}
    points = {name: keypoints[:, i] for name, i in place.items()}
    scores = {name: keypoint_scores[:, i] for name, i in place.items()}
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
    return np.stack([points[n] for n in names], axis=1), np.stack([scores[n] for n in names], axis=1)
