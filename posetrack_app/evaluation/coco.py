"""COCO keypoint AP and AR by object keypoint similarity (OKS), and CrowdPose's variant of it.

The scores equal those of pycocotools (https://cocodataset.org/#keypoints-eval) and xtcocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.records import BoolArray, FloatArray
from posetrack_app.evaluation.coco_people import (
    ImagePeople,
    add_annotated,
    add_detected,
    read_images,
    read_sigmas,
)

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 20
_AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_CROWDPOSE_AREA = 0.53  # as a share of the box: CrowdPose has no segment areas
_CROWD_LEVELS = (("AP_E", -1.0, 0.2), ("AP_M", 0.2, 0.8), ("AP_H", 0.8, 2.0))
_TINY = float(np.spacing(1))


@dataclass(frozen=True, eq=False)
class OksScores:
    """`stats` in 0..1 by their usual names (-1: undefined), AP and recall for each OKS threshold, OKS of each image.

    `oks[image]` is (D, G): at most 20 detections, highest score first, against the annotations in file order.
    """

    stats: dict[str, float]
    ap_by_threshold: list[float]
    recall_by_threshold: list[float]
    oks: dict[int, FloatArray]


@dataclass(frozen=True, eq=False)
class _Image:
    """One image: D detections, highest score first, and G annotated people in file order."""

    oks: FloatArray
    scores: FloatArray
    detected_areas: FloatArray
    areas: FloatArray
    ignored: BoolArray
    crowd: BoolArray


def score_keypoints(truth_path: Path, truth: Any, results_path: Path, results: Sequence[Any]) -> OksScores:
    """AP and AR of parsed COCO files. If an image has a `crowdIndex`, all are scored by the rules of CrowdPose.

    Raises InputError if the files do not have the COCO format.
    """
    people = read_images(truth_path, truth)
    crowdpose = any(image.crowd_index is not None for image in people.values())
    sigmas, category = read_sigmas(truth_path, truth)
    add_annotated(people, truth_path, truth["annotations"], len(sigmas), category, crowdpose)
    add_detected(people, results_path, results, len(sigmas), category, truth_path)
    images = {key: _image(image, sigmas, crowdpose) for key, image in people.items()}
    ranges = ("all",) if crowdpose else ("all", "medium", "large")
    curves = {name: _precision_recall(list(images.values()), _AREAS[name]) for name in ranges}
    precision, recall = curves["all"]
    stats: dict[str, float] = {}
    for name, table in (("AP", precision), ("AR", recall)):
        stats |= {name: _mean(table), f"{name}50": _mean(table[0]), f"{name}75": _mean(table[5])}
        if name == "AP" and not crowdpose:
            stats |= {"AP_M": _mean(curves["medium"][0]), "AP_L": _mean(curves["large"][0])}
    if crowdpose:
        index = {key: image.crowd_index or 0.0 for key, image in people.items()}
        for name, low, high in _CROWD_LEVELS:
            subset = [image for key, image in images.items() if low <= index[key] < high]
            stats[name] = round(float(_precision_recall(subset, _AREAS["all"])[0].mean()), 4)
    else:
        stats |= {"AR_M": _mean(curves["medium"][1]), "AR_L": _mean(curves["large"][1])}
    return OksScores(
        stats,
        [_mean(row) for row in precision],
        recall.tolist(),
        {key: image.oks for key, image in images.items() if image.oks.size},
    )


def object_keypoint_similarity(
    keypoints: FloatArray, truth: FloatArray, box: FloatArray, area: float, sigmas: FloatArray
) -> FloatArray:
    """(D,) OKS of `keypoints` (D, K, 2) with one annotated person `truth` (K, 3), `box` x y w h, `area` in px².

    Mean over the labelled keypoints of exp(-d² / (2 area (2 sigma)²)). Without labelled keypoints, d is the distance to
    the box of three times the size (pycocotools).
    """
    labelled = truth[:, 2] > 0
    if labelled.any():
        offset = keypoints[:, labelled] - truth[labelled, :2]
        sigmas = sigmas[labelled]
    else:
        low, high = box[:2] - box[2:], box[:2] + 2 * box[2:]
        offset = np.maximum(0, low - keypoints) + np.maximum(0, keypoints - high)
    exponent = (offset**2).sum(axis=2) / (2 * sigmas) ** 2 / (area + _TINY) / 2
    similarity: FloatArray = np.exp(-exponent).mean(axis=1)
    return similarity


def _image(people: ImagePeople, sigmas: FloatArray, crowdpose: bool) -> _Image:
    annotated = people.annotated
    scores = np.array([person.score for person in people.detected], np.float64)
    order = np.argsort(-scores, kind="stable")[:MAX_DETECTIONS]
    found = np.array([people.detected[k].keypoints for k in order]).reshape(len(order), len(sigmas), 3)
    boxes = np.array([person.box for person in annotated]).reshape(len(annotated), 4)
    if crowdpose:
        areas = boxes[:, 2] * boxes[:, 3] * _CROWDPOSE_AREA
    else:
        areas = np.array([person.area for person in annotated], np.float64)
    detected_areas = np.array([people.detected[k].area for k in order], np.float64)
    oks = np.zeros((len(found), len(annotated)))
    for k, person in enumerate(annotated):
        oks[:, k] = object_keypoint_similarity(
            found[..., :2], person.keypoints, person.box, float(areas[k]), sigmas
        )
    crowd = np.array([person.is_crowd for person in annotated], bool)
    ignored = crowd | np.array([person.labelled == 0 for person in annotated], bool)
    return _Image(oks, scores[order], detected_areas, areas, ignored, crowd)


def _precision_recall(
    images: Sequence[_Image], area_range: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Precision (T, 101) at the recall points and final recall (T,); -1 if there are no people to find."""
    low, high = area_range
    people = 0
    scores, hits, skipped = [], [], []
    for image in images:
        ignored = image.ignored | (image.areas < low) | (image.areas > high)
        people += int((~ignored).sum())
        hit, skip = _match(image, ignored)
        outside = (image.detected_areas < low) | (image.detected_areas > high)
        scores.append(image.scores)
        hits.append(hit)
        skipped.append(skip | (~hit & outside))
    levels = len(OKS_THRESHOLDS)
    if not people:
        return np.full((levels, len(RECALLS)), -1.0), np.full(levels, -1.0)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit, skip = np.concatenate(hits, axis=1)[:, order], np.concatenate(skipped, axis=1)[:, order]
    true_positives = np.cumsum(hit & ~skip, axis=1).astype(np.float64)
    false_positives = np.cumsum(~hit & ~skip, axis=1)
    precision = np.zeros((levels, len(RECALLS)))
    for level in range(levels if len(order) else 0):
        curve = true_positives[level] / (false_positives[level] + true_positives[level] + _TINY)
        curve = np.maximum.accumulate(curve[::-1])[::-1]
        position = np.searchsorted(true_positives[level] / people, RECALLS, side="left")
        reached = position < len(curve)
        precision[level, reached] = curve[position[reached]]
    return precision, true_positives[:, -1] / people if len(order) else np.zeros(levels)


def _match(image: _Image, ignored: BoolArray) -> tuple[BoolArray, BoolArray]:
    """(T, D) the matched detections, and which of them are matched to an ignored person.

    In order of score, each detection is matched to the free person with the highest OKS at or above the threshold (the
    last one if several are equal), to an ignored person only if there is no other. A crowd can be matched repeatedly.
    """
    thresholds = np.minimum(OKS_THRESHOLDS, 1 - 1e-10)[:, None]
    levels, people = len(OKS_THRESHOLDS), len(ignored)
    hit = np.zeros((levels, len(image.oks)), bool)
    skip = np.zeros_like(hit)
    taken = np.zeros((levels, people), bool)
    for k, oks in enumerate(image.oks if people else ()):
        possible = (oks >= thresholds) & (~taken | image.crowd)
        real = possible & ~ignored
        possible = np.where(real.any(axis=1, keepdims=True), real, possible)
        value = np.where(possible, oks, -1.0)
        best = people - 1 - np.argmax(value[:, ::-1], axis=1)
        level = np.flatnonzero(possible.any(axis=1))
        hit[level, k] = True
        skip[level, k] = ignored[best[level]]
        taken[level, best[level]] = True
    return hit, skip


def _mean(values: FloatArray) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0
