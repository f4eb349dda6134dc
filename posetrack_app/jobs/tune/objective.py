"""What tuning maximises: MOTA, HOTA or mAP, or a weighted mean of them, from the parts of a score that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FloatArray, IntArray
from posetrack_app.evaluation.posetrack.average_precision import (
    RankedJoints,
    joint_scores,
    rank_joints,
    video_scores,
)
from posetrack_app.evaluation.posetrack.clear_mot import count_events, mot_scores
from posetrack_app.evaluation.posetrack.hota import HotaParts, hota_parts
from posetrack_app.evaluation.posetrack.hota_scores import hota_scores, video_hota_scores
from posetrack_app.evaluation.posetrack.protocols import POSEVAL, Protocol
from posetrack_app.evaluation.posetrack.scene import JOINTS, Candidates, Scene
from posetrack_app.evaluation.report.tables import with_total

MEASURES = ("mAP", "MOTA", "HOTA")


@dataclass(frozen=True)
class Objective:
    """The weights of the measures, above 0 and with the sum 1, and the rules they are scored by."""

    weights: Mapping[str, float]
    protocol: Protocol

    def combine(self, scores: Mapping[str, float]) -> float:
        """The weighted mean of scores in percent; undefined ones count 0."""
        return sum(weight * float(np.nan_to_num(scores[name])) for name, weight in self.weights.items())

    def combine_videos(self, scores: Mapping[str, FloatArray]) -> FloatArray:
        """(V,) the same for each video."""
        columns = [weight * np.nan_to_num(scores[name]) for name, weight in self.weights.items()]
        total: FloatArray = np.sum(columns, axis=0)
        return total

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return next(iter(self.weights))
        return " + ".join(f"{weight:g} {name}" for name, weight in self.weights.items())


def read_objective(text: str, protocol: Protocol) -> Objective:
    """The objective in words: "MOTA", or "MOTA=2,mAP=1" for a mean with these weights. InputError if it is none."""
    names = {name.lower(): name for name in MEASURES}
    weights: dict[str, float] = {}
    for part in text.split(","):
        word, _, number = part.partition("=")
        name = names.get(word.strip().lower())
        try:
            weight = float(number) if number else 1.0
        except ValueError:
            weight = 0.0
        if name is None or name in weights or not 0 < weight < 1e6:
            raise InputError(
                f"'{text}' is not an objective; write one of {', '.join(MEASURES)}, or several with weights above 0, such "
                "as MOTA=2,mAP=1",
                option="objective",
            )
        weights[name] = weight
    if "HOTA" in weights and protocol is POSEVAL:
        raise InputError("the protocol poseval has no HOTA; use protocol corrected", option="protocol")
    total = sum(weights.values())
    return Objective({name: weight / total for name, weight in weights.items()}, protocol)


@dataclass(frozen=True, eq=False)
class Parts:
    """What the scores of some videos are computed from; the parts of several groups of videos can be joined.

    `mot` (5, V, 15): objects, predictions, matches, switches and summed distance. A part that no measure needs is None.
    """

    mot: FloatArray | None
    hota: HotaParts | None
    ranked: RankedJoints | None


def score_parts(scene: Scene, candidates: Candidates, protocol: Protocol, measures: Sequence[str]) -> Parts:
    """The parts that the measures need; nothing else is computed."""
    mot = None
    if "MOTA" in measures:
        counts = count_events(scene, candidates, protocol)
        mot = np.stack(
            [counts.objects, counts.hypotheses, counts.matches, counts.switches, counts.distance]
        ).astype(np.float64)
    return Parts(
        mot,
        hota_parts(scene, candidates, protocol) if "HOTA" in measures else None,
        rank_joints(scene, candidates) if "mAP" in measures else None,
    )


def joined_parts(parts: Sequence[Parts]) -> Parts:
    """The parts of all videos of these groups."""
    mots = [part.mot for part in parts if part.mot is not None]
    hotas = [part.hota for part in parts if part.hota is not None]
    ranks = [part.ranked for part in parts if part.ranked is not None]
    return Parts(
        np.concatenate(mots, axis=1) if mots else None,
        _joined_hota(hotas) if hotas else None,
        _joined_ranks(ranks) if ranks else None,
    )


def _joined_hota(parts: Sequence[HotaParts]) -> HotaParts:
    def join(arrays: Sequence[FloatArray], axis: int = 1) -> FloatArray:
        return np.concatenate(arrays, axis=axis)

    return HotaParts(
        join([part.true_positives for part in parts]),
        join([part.misses for part in parts]),
        join([part.false_positives for part in parts]),
        {name: join([part.rates[name] for part in parts]) for name in parts[0].rates},
        np.concatenate([part.counts for part in parts]),
    )


def _joined_ranks(parts: Sequence[RankedJoints]) -> RankedJoints:
    """Ranked together: highest score first, of equal ones the later video first."""
    first = np.cumsum([0, *(len(part.truths) for part in parts)])
    # Back to rising scores, so that a stable sort keeps the order of equal ones.
    score = np.concatenate([part.score[::-1] for part in parts])
    order = np.argsort(score, kind="stable")[::-1]
    video = np.concatenate([part.video[::-1] + start for part, start in zip(parts, first, strict=False)])
    return RankedJoints(
        joint=np.concatenate([part.joint[::-1] for part in parts])[order],
        video=video[order],
        score=score[order],
        correct=np.concatenate([part.correct[::-1] for part in parts])[order],
        truths=np.concatenate([part.truths for part in parts]),
    )


def total_scores(parts: Parts, protocol: Protocol) -> dict[str, float]:
    """The measures in percent, of all videos together, as `posetrack evaluate` gives them."""
    scores: dict[str, float] = {}
    if parts.ranked is not None:
        ap = joint_scores(parts.ranked, protocol.ap_without_truth).ap
        scores["mAP"] = 100 * float(with_total(ap)[-1])
    if parts.mot is not None:
        scores["MOTA"] = 100 * float(with_total(_mota(parts.mot.sum(axis=1)))[-1])
    if parts.hota is not None:
        scores["HOTA"] = 100 * float(hota_scores(parts.hota)[0]["HOTA"].mean(axis=0)[-1])
    return scores


def scores_by_video(parts: Parts, protocol: Protocol) -> dict[str, FloatArray]:
    """The measures in percent of each video, (V,)."""
    scores: dict[str, FloatArray] = {}
    if parts.ranked is not None:
        ap = video_scores(parts.ranked, protocol.ap_without_truth).ap.reshape(-1, JOINTS)
        scores["mAP"] = 100 * with_total(ap)[:, -1]
    if parts.mot is not None:
        scores["MOTA"] = 100 * with_total(_mota(parts.mot))[:, -1]
    if parts.hota is not None:
        scores["HOTA"] = 100 * video_hota_scores(parts.hota)["HOTA"].mean(axis=0)[:, -1]
    return scores


def _mota(counts: FloatArray) -> FloatArray:
    objects, hypotheses, matches, switches, distance = counts
    return mot_scores(_whole(objects), _whole(hypotheses), _whole(matches), _whole(switches), distance).mota


def _whole(counts: FloatArray) -> IntArray:
    return counts.astype(np.int64)
