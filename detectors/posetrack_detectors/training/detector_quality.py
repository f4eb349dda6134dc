"""How good boxes are: AP as COCO defines it, and recall, over pictures with labels and boxes to ignore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.training.labels import Array
from posetrack_detectors.training.pictures import Pictures

THRESHOLDS = np.arange(0.5, 0.96, 0.05)


@dataclass(frozen=True)
class Judged:
    """The boxes found in one picture, best first, over IoU thresholds 0.50:0.05:0.95."""

    source: str
    people: int
    scores: Array
    """(N,)"""
    right: Array
    """(10, N) bool"""
    left_out: Array
    """(10, N) bool: counts neither way."""


def detect(detector: PersonDetector, pictures: Pictures, chosen: Sequence[int]) -> list[Judged]:
    """What the detector finds in the chosen pictures, compared with their labels."""
    judged = []
    for index in chosen:
        [(boxes, scores)] = detector([pictures.image(index)])
        people, ignore = pictures.boxes(index)
        right, left_out = judge(boxes, people, ignore)
        judged.append(Judged(pictures.labels[index].source, len(people), scores, right, left_out))
    return judged


def judge(found: Array, boxes: Array, ignore: Array) -> tuple[Array, Array]:
    """For each threshold and each found box (best first): right (T, N) bool, and to be left out (T, N) bool.

    COCO's matching: each detection takes the free person it overlaps best; unmatched ones that lie in an ignored
    box, by the share of the detection, count neither way.
    """
    right = np.zeros((len(THRESHOLDS), len(found)), dtype=bool)
    iou = overlaps(found, boxes)
    covered = overlaps(found, ignore, of_found=True).max(axis=1, initial=0.0)
    for t, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(boxes), dtype=bool)
        for i in range(len(found)):
            candidates = np.where(free, iou[i], -1.0)
            if len(boxes) and candidates.max() >= threshold:
                right[t, i] = True
                free[candidates.argmax()] = False
    return right, ~right & (covered >= THRESHOLDS[:, None])


def overlaps(found: Array, boxes: Array, *, of_found: bool = False) -> Array:
    """(N, M) IoU of boxes (N, 4) and (M, 4), or the share of each found box that lies inside the other."""
    corner = np.maximum(found[:, None, :2], boxes[None, :, :2])
    shared = (np.minimum(found[:, None, 2:], boxes[None, :, 2:]) - corner).clip(0).prod(axis=2)
    area = (found[:, 2:] - found[:, :2]).prod(axis=1)[:, None]
    total = area if of_found else area + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    return np.asarray(shared / np.maximum(total, 1e-9))


def average_precision(scores: Array, right: Array, people: int) -> float:
    """Area under the precision-recall curve, precision taken at 101 recalls and never below a later one."""
    order = np.argsort(-scores, kind="stable")
    hits = right[order].cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(hits / max(people, 1), np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(hits))].mean())


def precision(judged: Sequence[Judged]) -> tuple[float, float]:
    """AP and AP50 of these pictures."""
    scores, people = np.concatenate([one.scores for one in judged]), sum(one.people for one in judged)
    right = np.concatenate([one.right for one in judged], axis=1)
    counted = ~np.concatenate([one.left_out for one in judged], axis=1)
    values = [average_precision(scores[c], r[c], people) for r, c in zip(right, counted, strict=True)]
    return float(np.mean(values)), values[0]


def detector_quality(judged: Sequence[Judged], confident: float) -> dict[str, float]:
    """AP and AP50 of all and of each source, recall at IoU 0.5 of each; false alarms a picture.

    Recall and false alarms count what scores `confident` or more.
    """
    if not judged:
        return {"dev_pictures": 0}
    everything, ap50 = precision(judged)
    quality = {"pictures": len(judged), "people": sum(one.people for one in judged)}
    figures: dict[str, float] = {"ap": everything, "ap50": ap50}
    for source in sorted({one.source for one in judged}):
        mine = [one for one in judged if one.source == source]
        people = sum(one.people for one in mine)
        if not people:
            continue
        figures[f"{source}_ap"], figures[f"{source}_ap50"] = precision(mine)
        hits = sum(int((one.right[0] & (one.scores >= confident)).sum()) for one in mine)
        figures[f"{source}_recall"] = hits / people
    false = sum(int((~one.right[0] & ~one.left_out[0] & (one.scores >= confident)).sum()) for one in judged)
    figures["false_alarms"] = false / len(judged)
    return quality | {name: round(value, 4) for name, value in figures.items()}
