"""Scores as numbers to print or store: percentages, one column per joint and the total, None for NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from posetrack_app.core.records import FloatArray
from posetrack_app.evaluation.posetrack.average_precision import ApScores
from posetrack_app.evaluation.posetrack.clear_mot import MotCounts, MotScores, mot_scores
from posetrack_app.evaluation.posetrack.hota import ALPHAS, HotaParts
from posetrack_app.evaluation.posetrack.hota_scores import hota_scores, mean_of_videos, video_hota_scores
from posetrack_app.evaluation.posetrack.identity import identity_scores
from posetrack_app.evaluation.posetrack.protocols import POSETRACK21, Protocol
from posetrack_app.evaluation.posetrack.scene import JOINTS
from posetrack_app.evaluation.posetrack.score import PoseTrackScores
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS

COLUMNS = ("Head", "Shou", "Elb", "Wri", "Hip", "Knee", "Ankl", "Total")
JOINT_GROUPS = ((12, 13, 14), (8, 9), (7, 10), (6, 11), (2, 3), (1, 4), (0, 5))
JOINT_NAMES = tuple("neck" if name == "head_bottom" else name for name in SCORED_KEYPOINTS)
POSETRACK21_JOINTS = (
    "nose", "head_bottom", "head_top", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_TO_POSETRACK21 = [*(SCORED_KEYPOINTS.index(name) for name in POSETRACK21_JOINTS), JOINTS]


def number(value: float | None, digits: int = 1) -> str:
    """One decimal, as in the papers; a dash for an undefined value."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 1) -> str:
    """With a plus or a minus sign; a dash for an undefined value."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else number(0.0, digits)


def with_total(joints: FloatArray) -> FloatArray:
    """(..., 16): the 15 joints, and the mean of those that are not NaN."""
    defined = ~np.isnan(joints)
    with np.errstate(invalid="ignore"):
        mean = np.where(defined, joints, 0.0).sum(axis=-1) / defined.sum(axis=-1)
    return np.concatenate([joints, mean[..., None]], axis=-1)


def paper_row(joints: FloatArray) -> FloatArray:
    """(8,) Head, Shou, Elb, Wri, Hip, Knee, Ankl as in the papers, and the total of the 15 joints."""
    total = with_total(joints)[-1]
    return np.array([*(joints[list(group)].mean() for group in JOINT_GROUPS), total])


def percent(values: FloatArray) -> Any:
    """Percentages with 9 decimals, as nested lists; None for NaN."""
    rounded = np.round(np.asarray(values, np.float64) * 100, 9)
    table = rounded.astype(object)
    table[np.isnan(rounded)] = None
    return table.tolist()


def scores_as_json(scores: PoseTrackScores) -> dict[str, Any]:
    """All scores of a protocol, as `posetrack evaluate` writes them to JSON.

    `ap` and `mot` list the 15 joints (`joints`) and the total, `hota` likewise (`hota_joints`).
    """
    names = scores.scene.names
    content: dict[str, Any] = {
        "joints": list(JOINT_NAMES),
        "frames_evaluated": len(scores.scene.frame_video),
        "ap": _ap_as_json(scores.ap),
        "ap_per_sequence": {
            name: {
                "ap": percent(with_total(scores.ap_by_video.ap.reshape(-1, JOINTS)[k])),
                "pre": percent(with_total(scores.ap_by_video.precision.reshape(-1, JOINTS)[k])),
                "rec": percent(with_total(scores.ap_by_video.recall.reshape(-1, JOINTS)[k])),
            }
            for k, name in enumerate(names)
        },
    }
    if scores.tracking is not None:
        content["mot"] = _mot_as_json(scores.tracking, scores.protocol)
        content["mot_per_sequence"] = {
            name: _mot_as_json(scores.tracking, scores.protocol, slice(k, k + 1))
            for k, name in enumerate(names)
        }
    if scores.hota is not None:
        content |= _hota_as_json(scores.hota, scores.whole_set, names)
    if scores.protocol is POSETRACK21:
        content["posemap"] = {
            key: dict(zip(COLUMNS, percent(paper_row(values)), strict=True))
            for key, values in (
                ("map", scores.ap.ap),
                ("precision", scores.ap.precision),
                ("recall", scores.ap.recall),
            )
        }
    if scores.problem is not None:
        content["mot_error"] = str(scores.problem)
    return content


def _ap_as_json(ap: ApScores) -> dict[str, Any]:
    return {
        "ap": percent(with_total(ap.ap)),
        "pre": percent(with_total(ap.precision)),
        "rec": percent(with_total(ap.recall)),
        "num_gt": ap.truths.tolist(),
        "num_pred": ap.predictions.tolist(),
        "num_tp": ap.hits.tolist(),
        "table": percent(paper_row(ap.ap)),
        "table_pre": percent(paper_row(ap.precision)),
        "table_rec": percent(paper_row(ap.recall)),
    }


def summed_mot_scores(counts: MotCounts) -> MotScores:
    """The scores of all videos together, (15,) each."""
    columns = (counts.objects, counts.hypotheses, counts.matches, counts.switches, counts.distance)
    return mot_scores(*(column.sum(axis=0) for column in columns))


def _mot_as_json(counts: MotCounts, protocol: Protocol, videos: slice = slice(None)) -> dict[str, Any]:
    """The scores of the chosen videos together."""
    objects, hypotheses, matches, switches, distance = (
        column[videos].sum(axis=0)
        for column in (counts.objects, counts.hypotheses, counts.matches, counts.switches, counts.distance)
    )
    undefined = np.nan if protocol.averages_annotated_joints else 0.0
    scores = mot_scores(objects, hypotheses, matches, switches, distance, undefined)
    found = matches + switches
    totals = [with_total(values)[-1] for values in (scores.motp, scores.precision, scores.recall)]
    content = {
        "mota": percent(with_total(scores.mota)),
        "motp": percent(with_total(scores.motp)),
        "pre": percent(with_total(scores.precision)),
        "rec": percent(with_total(scores.recall)),
        "counts": {
            "num_misses": (objects - found).tolist(),
            "num_switches": switches.tolist(),
            "num_false_positives": (hypotheses - found).tolist(),
            "num_matches": matches.tolist(),
            "num_detections": found.tolist(),
            "num_objects": objects.tolist(),
            "sum_distance": np.round(distance, 9).tolist(),
        },
        "table": percent(np.array([*paper_row(scores.mota), *totals])),
    }
    if protocol.scores_identity:
        kept = counts.identity[videos].sum(axis=0)
        identity = identity_scores(objects, hypotheses, kept)
        content |= {
            "idf1": percent(with_total(identity.idf1)),
            "idp": percent(with_total(identity.precision)),
            "idr": percent(with_total(identity.recall)),
        }
        content["counts"]["num_identity_matches"] = kept.tolist()
    return content


def _hota_as_json(
    parts: HotaParts, whole_set: dict[str, FloatArray] | None, names: list[str]
) -> dict[str, Any]:
    scores, counts = hota_scores(parts)
    by_video = video_hota_scores(parts)
    pooled = {"combined": scores, "mean_of_sequences": mean_of_videos(parts)}
    if whole_set is not None:
        pooled["whole_set"] = whole_set
    return {
        "hota_joints": list(POSETRACK21_JOINTS),
        "alphas": np.round(ALPHAS, 2).tolist(),
        "hota": {
            "mean_over_alpha": {n: percent(v.mean(axis=0)[_TO_POSETRACK21]) for n, v in scores.items()},
            "by_alpha": {n: percent(scores[n][:, _TO_POSETRACK21]) for n in ("HOTA", "DetA", "AssA", "LocA")},
            "counts_by_alpha": {n: v[:, _TO_POSETRACK21].astype(int).tolist() for n, v in counts.items()},
        },
        "hota_pooled": {
            name: {n: percent(v.mean(axis=0)[_TO_POSETRACK21]) for n, v in values.items()}
            for name, values in pooled.items()
        },
        "hota_per_sequence_mean_over_alpha": {
            name: {n: percent(v.mean(axis=0)[k][_TO_POSETRACK21]) for n, v in by_video.items()}
            for k, name in enumerate(names)
        },
    }
