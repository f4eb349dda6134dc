"""Scores of the files that are not PoseTrack files: COCO and CrowdPose keypoints, MPII joints, MOTChallenge boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posetrack_app.evaluation.coco import score_keypoints
from posetrack_app.evaluation.mot import read_mot_boxes, score_boxes
from posetrack_app.evaluation.mpii import score_pckh

Scores = tuple[dict[str, float | None], dict[str, Any]]
"""Totals in percent, and the details behind them."""


def score_boxes_files(truth: Path, predicted: Path) -> Scores:
    """MOTA, IDF1 and HOTA of MOTChallenge boxes."""
    boxes = score_boxes(read_mot_boxes(truth, is_truth=True), read_mot_boxes(predicted))
    totals: dict[str, float | None] = {
        name: 100 * boxes["motmetrics"][name.lower()] for name in ("MOTA", "IDF1")
    }
    for name in ("HOTA", "DetA", "AssA", "LocA"):
        values = boxes["trackeval"][name]
        totals[name] = 100 * sum(values) / len(values)
    return totals, boxes


def score_mpii_files(truth: Path, content: Any, predicted: Path, found: Any) -> Scores:
    """PCKh of MPII joints."""
    pckh = score_pckh(truth, content, predicted, found)
    return {f"PCKh {name}": value for name, value in pckh.items()}, {"PCKh": pckh}


def score_coco_files(truth: Path, content: Any, predicted: Path, found: Any) -> Scores:
    """AP and AR of COCO or CrowdPose keypoints."""
    oks = score_keypoints(truth, content, predicted, found)
    return (
        {name: None if value < 0 else 100 * value for name, value in oks.stats.items()},
        {
            "stats": oks.stats,
            "AP_by_threshold": oks.ap_by_threshold,
            "recall_by_threshold": oks.recall_by_threshold,
        },
    )
