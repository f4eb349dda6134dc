"""How far scores depend on the choice of sequences: bootstrap intervals, and a paired test of two results.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993. Sequences are drawn with replacement and pooled like the
complete set; frames of one sequence depend on each other and are never drawn on their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from posetrack_app.core.records import FloatArray
from posetrack_app.evaluation.posetrack.average_precision import RankedJoints
from posetrack_app.evaluation.posetrack.clear_mot import MotCounts, mot_scores
from posetrack_app.evaluation.posetrack.hota import HotaParts
from posetrack_app.evaluation.posetrack.hota_scores import counts_with_total, rates_with_total
from posetrack_app.evaluation.posetrack.identity import identity_scores
from posetrack_app.evaluation.posetrack.scene import JOINTS
from posetrack_app.evaluation.posetrack.score import PoseTrackScores

RESAMPLES = 1000
_LEVELS = 200
"""Ranks per joint that AP distinguishes here; with more keypoints the AP of a resample is off by some hundredths."""
_BLOCK = 100


@dataclass(frozen=True)
class Interval:
    """The 95 % interval of a score in percent, or None without a defined score."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """A score of one result minus that of another, in points: its 95 % interval, and the two-sided p value."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None


def draw_sequences(count: int, resamples: int = RESAMPLES, seed: int = 0) -> FloatArray:
    """(B, V): how often each of `count` sequences is drawn."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def resampled_scores(scores: PoseTrackScores, weights: FloatArray) -> dict[str, FloatArray]:
    """mAP, MOTA, MOTP, IDF1, HOTA, DetA and AssA in percent, (B,) each, of the sequences weighted by `weights` (B, V)."""
    values = {"mAP": _mean_ap(scores.ranked, weights, scores.protocol.ap_without_truth)}
    if scores.tracking is not None:
        undefined = np.nan if scores.protocol.averages_annotated_joints else 0.0
        values |= _mot(scores.tracking, weights, undefined, scores.protocol.scores_identity)
    if scores.hota is not None:
        values |= _hota(scores.hota, weights)
    return {name: 100 * value for name, value in values.items()}


def intervals(resampled: Mapping[str, FloatArray]) -> dict[str, Interval]:
    """The percentile interval of every score."""
    return {name: Interval(*_middle(values)) for name, values in resampled.items()}


def paired_differences(
    before: Mapping[str, FloatArray],
    after: Mapping[str, FloatArray],
    totals: Mapping[str, float | None],
    sequences: int,
) -> dict[str, Difference]:
    """`after` minus `before` on the same resamples; `totals` are the differences on the complete set.

    p is twice the share of the resamples in which the difference is 0 or has the other sign. It is not below that of a
    sign test, 2 / 2^V for V sequences: a few sequences cannot show that a difference is no chance.
    """
    found = {}
    smallest = 2.0 ** (1 - min(sequences, 100))
    for name in before.keys() & after.keys():
        difference = after[name] - before[name]
        difference = difference[np.isfinite(difference)]
        p = None
        if len(difference):
            tail = 1 + min(int((difference <= 0).sum()), int((difference >= 0).sum()))
            p = min(1.0, max(smallest, 2 * tail / (len(difference) + 1)))
        found[name] = Difference(totals.get(name), *_middle(difference), p)
    return {name: found[name] for name in before if name in found}


def _middle(values: FloatArray) -> tuple[float | None, float | None]:
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None
    low, high = np.percentile(values, (2.5, 97.5)).tolist()
    return low, high


def _mot(counts: MotCounts, weights: FloatArray, undefined: float, identity: bool) -> dict[str, FloatArray]:
    columns = (counts.objects, counts.hypotheses, counts.matches, counts.switches, counts.distance)
    objects, hypotheses, matches, switches, distance = (weights @ column for column in columns)
    scores = mot_scores(objects, hypotheses, matches, switches, distance, undefined)
    values = {"MOTA": _mean(scores.mota), "MOTP": _mean(scores.motp)}
    if identity:
        values["IDF1"] = _mean(identity_scores(objects, hypotheses, weights @ counts.identity).idf1)
    return values


def _mean(joints: FloatArray) -> FloatArray:
    """(B,): the mean of the joints that are defined."""
    known = ~np.isnan(joints)
    with np.errstate(invalid="ignore"):
        mean: FloatArray = np.where(known, joints, 0.0).sum(axis=-1) / known.sum(axis=-1)
    return mean


def _hota(parts: HotaParts, weights: FloatArray) -> dict[str, FloatArray]:
    """The total column: counts pooled over videos and joints, association weighted by the matches."""
    counts = {name: weights @ values[..., JOINTS].T for name, values in counts_with_total(parts).items()}
    found = counts_with_total(parts)["HOTA_TP"][..., JOINTS]
    association = weights @ (rates_with_total(parts)["AssA"][..., JOINTS] * found).T
    association /= np.maximum(1, counts["HOTA_TP"])
    detection = counts["HOTA_TP"] / np.maximum(1, sum(counts.values()))
    return {
        "HOTA": np.sqrt(detection * association).mean(axis=1),
        "DetA": detection.mean(axis=1),
        "AssA": association.mean(axis=1),
    }


def _mean_ap(ranked: RankedJoints, weights: FloatArray, without_truth: float | None) -> FloatArray:
    hits, predictions = _levels(ranked)
    blocks = []
    for rows in _blocks(weights):
        hit = (rows @ hits).reshape(len(rows), JOINTS, -1)
        found = np.cumsum(hit, axis=2)
        made = np.cumsum((rows @ predictions).reshape(hit.shape), axis=2)
        precision = found / np.maximum(1, made)
        envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
        truths = rows @ ranked.truths
        with np.errstate(divide="ignore", invalid="ignore"):
            ap = (envelope * hit).sum(axis=2) / truths
        ap[made[..., -1] == 0] = 0.0
        if without_truth is not None:
            ap[truths == 0] = without_truth
        blocks.append(_mean(ap))
    return np.concatenate(blocks)


def _blocks(weights: FloatArray) -> Iterator[FloatArray]:
    """Some resamples at a time, which limits the memory."""
    for start in range(0, len(weights), _BLOCK):
        yield weights[start : start + _BLOCK]


def _levels(ranked: RankedJoints) -> tuple[FloatArray, FloatArray]:
    """(V, 15 L) each: hits and predictions by video, joint and level, the ranks of a joint divided evenly into levels."""
    order = np.argsort(ranked.joint, kind="stable")
    count = np.bincount(ranked.joint, minlength=JOINTS)
    levels = max(1, min(_LEVELS, int(count.max(initial=1))))
    joint = ranked.joint[order]
    rank = np.arange(len(order)) - (np.cumsum(count) - count)[joint]
    level = rank * levels // np.maximum(levels, count[joint])
    key = (ranked.video[order] * JOINTS + joint) * levels + level
    shape = (len(ranked.truths), JOINTS * levels)
    size = shape[0] * shape[1]
    hits = np.bincount(key[ranked.correct[order]], minlength=size).astype(np.float64)
    predictions = np.bincount(key, minlength=size).astype(np.float64)
    return hits.reshape(shape), predictions.reshape(shape)
