"""`posetrack evaluate`: scores of predictions against ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from posetrack_app.core.files import StrPath
from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.evaluate import evaluate as score


def evaluate(
    truth: StrPath,
    predictions: StrPath,
    *,
    protocols: Sequence[str] = ("corrected", "poseval"),
    keypoint_threshold: float | None = None,
    sweep: bool = False,
) -> Evaluation:
    """Score predictions against ground truth, two files or two folders: `posetrack evaluate`.

    Args:
        truth: PoseTrack17, 18 or 21 files, COCO, CrowdPose or MPII annotations, or MOTChallenge boxes.
        predictions: the same kind; files in folders are paired by their names.
        protocols: for PoseTrack files, any of `core.choices.PROTOCOLS`.
        keypoint_threshold: drop predicted keypoints below this score first (PoseTrack files).
        sweep: also score at 20 keypoint thresholds (PoseTrack files).

    Returns the scores: `.totals` in percent, `.as_json()` everything. Raises InputError for files that cannot be scored.
    """
    return score(Path(truth), Path(predictions), protocols, keypoint_threshold, sweep)
