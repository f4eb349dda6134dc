"""Quality of person boxes on labelled images: COCO's AP and recall, with boxes to ignore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import Array

THRESHOLDS = np.arange(0.5, 0.96, 0.05)
"""COCO's IoU thresholds."""


@dataclass(frozen=True)
class MatchedDetections:
    """The detections in one image, best first, matched with its labels at T = 10 IoU thresholds."""

    source: str
    people: int
    """Labelled people in the image."""
    scores: Array
    """(N,)"""
    correct: Array
    """(T, N) bool"""
    ignored: Array
    """(T, N) bool: neither correct nor wrong."""


def detect(detector: PersonDetector, images: Images, chosen: Sequence[int]) -> list[MatchedDetections]:
    """Run the detector on the chosen images and match its detections with the labels."""
    results = []
    for index in chosen:
        [(boxes, scores)] = detector([images.image(index)])
        people, ignore = images.boxes(index)
        correct, ignored = match_detections(boxes, people, ignore)
        source = images.labels[index].source
        results.append(MatchedDetections(source, len(people), scores, correct, ignored))
    return results


def match_detections(boxes: Array, people: Array, ignore: Array) -> tuple[Array, Array]:
    """For each of T thresholds and each of N boxes (best first): correct (T, N) bool, ignored (T, N) bool.

    COCO's matching: each box takes the unmatched person it overlaps best. An unmatched box that lies in a box to
    ignore, by its own share, is ignored.
    """
    correct = np.zeros((len(THRESHOLDS), len(boxes)), dtype=bool)
    iou = overlaps(boxes, people)
    covered = overlaps(boxes, ignore, of_box=True).max(axis=1, initial=0.0)
    for t, threshold in enumerate(THRESHOLDS):
        unmatched = np.ones(len(people), dtype=bool)
        for i in range(len(boxes)):
            free = np.where(unmatched, iou[i], -1.0)
            if len(people) and free.max() >= threshold:
                correct[t, i] = True
                unmatched[free.argmax()] = False
    return correct, ~correct & (covered >= THRESHOLDS[:, None])


def overlaps(boxes: Array, others: Array, *, of_box: bool = False) -> Array:
    """(N, M) IoU of boxes (N, 4) and (M, 4), or with `of_box` the share of each box that lies inside the other."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared = (np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - corner).clip(0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None]
    total = area if of_box else area + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    return np.asarray(shared / np.maximum(total, 1e-9))


def average_precision(scores: Array, correct: Array, people: int) -> float:
    """COCO's AP: the mean of the interpolated precision at 101 recalls."""
    order = np.argsort(-scores, kind="stable")
    hits = correct[order].cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(hits / max(people, 1), np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(hits))].mean())


def precision(results: Sequence[MatchedDetections]) -> tuple[float, float]:
    """AP and AP50 over these images."""
    scores, people = np.concatenate([one.scores for one in results]), sum(one.people for one in results)
    correct = np.concatenate([one.correct for one in results], axis=1)
    counted = ~np.concatenate([one.ignored for one in results], axis=1)
    values = [average_precision(scores[k], c[k], people) for c, k in zip(correct, counted, strict=True)]
    return float(np.mean(values)), values[0]


def detector_quality(results: Sequence[MatchedDetections], min_score: float) -> dict[str, float]:
    """AP and AP50 of all images and of each source, recall at IoU 0.5 of each source, false positives per image.

    Recall and false positives count detections from `min_score` on.
    """
    if not results:
        return {"dev_images": 0}
    quality = {"images": len(results), "people": sum(one.people for one in results)}
    figures: dict[str, float] = {}
    figures["ap"], figures["ap50"] = precision(results)
    for source in sorted({one.source for one in results}):
        own = [one for one in results if one.source == source]
        people = sum(one.people for one in own)
        if not people:
            continue
        figures[f"{source}_ap"], figures[f"{source}_ap50"] = precision(own)
        hits = sum(int((one.correct[0] & (one.scores >= min_score)).sum()) for one in own)
        figures[f"{source}_recall"] = hits / people
    wrong = sum(int((~one.correct[0] & ~one.ignored[0] & (one.scores >= min_score)).sum()) for one in results)
    figures["false_positives"] = wrong / len(results)
    return quality | {name: round(value, 4) for name, value in figures.items()}
