"""Which keypoints are absent: the one definition for all that read, write or draw them."""

from __future__ import annotations

from posetrack_app.formats.pose_sequence import BoolArray
from posetrack_app.records import FloatArray


def is_absent(keypoints: FloatArray, scores: FloatArray) -> BoolArray:
    """(..., K): PoseTrack18's 0 0 0, a score of 0 at x = y = 0; `keypoints` (..., K, 2), `scores` (..., K).

    A score of 0 elsewhere is a keypoint that is merely unsure: it has a place.
    """
    absent: BoolArray = (scores == 0) & (keypoints == 0).all(axis=-1)
    return absent
