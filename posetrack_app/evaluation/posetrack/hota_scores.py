"""HOTA scores from their components: combined over videos, of each video, and the mean of the videos."""

from __future__ import annotations

import numpy as np

from posetrack_app.core.records import BoolArray, FloatArray
from posetrack_app.evaluation.posetrack.hota import HotaParts
from posetrack_app.evaluation.posetrack.scene import JOINTS


def hota_scores(parts: HotaParts) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Scores in 0..1 and counts, (A, 16) each: all videos combined, the 15 joints and their total.

    The total sums the counts of the joints and averages their rates. The average over videos is weighted by their
    matches. A joint that counts in no video is NaN.
    """
    counts, rates = counts_with_total(parts), rates_with_total(parts)
    combined = {name: values.sum(axis=1) for name, values in counts.items()}
    found = counts["HOTA_TP"]
    weight = np.maximum(1, combined["HOTA_TP"])
    averaged = {name: (values * found).sum(axis=1) / weight for name, values in rates.items()}
    averaged["LocA"] = np.where(combined["HOTA_TP"] > 0, averaged["LocA"], 1.0)
    known = np.append(parts.counts.any(axis=0), True)
    return {n: np.where(known, v, np.nan) for n, v in final_scores(combined, averaged).items()}, combined


def video_hota_scores(parts: HotaParts) -> dict[str, FloatArray]:
    """Scores in 0..1 of each video alone, (A, V, 16); the total is the mean of the joints, as in the kit."""
    joints = final_scores(_counts(parts), parts.rates)
    known = np.insert(parts.counts, JOINTS, True, axis=1)
    return {name: np.where(known, _with_mean(v, parts.counts), np.nan) for name, v in joints.items()}


def mean_of_videos(parts: HotaParts) -> dict[str, FloatArray]:
    """Scores in 0..1, (A, 16): the mean of the videos, each scored alone (Protocol 1 of the PoseTrack21 leader board)."""
    means = {}
    for name, values in video_hota_scores(parts).items():
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            means[name] = np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)
    return means


def _counts(parts: HotaParts) -> dict[str, FloatArray]:
    return {"HOTA_TP": parts.true_positives, "HOTA_FN": parts.misses, "HOTA_FP": parts.false_positives}


def counts_with_total(parts: HotaParts) -> dict[str, FloatArray]:
    """HOTA_TP, HOTA_FN and HOTA_FP (A, V, 16); the last column is the sum of the joints."""
    return {n: np.concatenate([v, v.sum(axis=-1, keepdims=True)], axis=-1) for n, v in _counts(parts).items()}


def rates_with_total(parts: HotaParts) -> dict[str, FloatArray]:
    """The rates (A, V, 16); the last column is the mean of the joints that count."""
    return {n: _with_mean(v, parts.counts) for n, v in parts.rates.items()}


def _with_mean(joints: FloatArray, counts: BoolArray) -> FloatArray:
    """(A, V, 16): the joints and the mean of those that count; 0 if none does."""
    mean = np.where(counts, joints, 0.0).sum(axis=-1) / np.maximum(1, counts.sum(axis=-1))
    return np.concatenate([joints, mean[..., None]], axis=-1)


def final_scores(counts: dict[str, FloatArray], rates: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Every score in 0..1 from the counts HOTA_TP, HOTA_FN, HOTA_FP and the rates AssA, AssRe, AssPr, LocA, FragA."""
    hits, misses, false_positives = counts["HOTA_TP"], counts["HOTA_FN"], counts["HOTA_FP"]
    detection = hits / np.maximum(1, hits + misses + false_positives)
    recall = hits / np.maximum(1, hits + misses)
    association, fragments = rates["AssA"], rates["FragA"]
    return {
        "HOTA": np.sqrt(detection * association),
        "DetA": detection,
        "AssA": association,
        "DetRe": recall,
        "DetPr": hits / np.maximum(1, hits + false_positives),
        "AssRe": rates["AssRe"],
        "AssPr": rates["AssPr"],
        "LocA": rates["LocA"],
        "FragA": fragments,
        "RHOTA": np.sqrt(recall * association),
        "FA-HOTA": np.sqrt(detection * np.sqrt(association * fragments)),
        "FA-RHOTA": np.sqrt(recall * np.sqrt(association * fragments)),
    }
