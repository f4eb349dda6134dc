"""COCO keypoint AP and AR by object keypoint similarity (OKS), and CrowdPose's variant of it.

The figures are those of pycocotools (https://cocodataset.org/#keypoints-eval) and xtcocotools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.pose_sequence import BoolArray
from posetrack_app.records import FloatArray
from posetrack_app.skeleton import COCO, POSETRACK

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_DETECTIONS = 20
SIGMAS = {
    **dict(zip(POSETRACK.keypoints, POSETRACK.sigmas, strict=True)),
    **dict(zip(COCO.keypoints, COCO.sigmas, strict=True)),
    "head": 0.079,
    "neck": 0.079,
}
"""OKS fall-off of every keypoint we know by name."""
_AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_CROWDPOSE_AREA = 0.53  # of the box: CrowdPose gives no segment areas
_CROWD_LEVELS = (("AP_E", -1.0, 0.2), ("AP_M", 0.2, 0.8), ("AP_H", 0.8, 2.0))
_TINY = float(np.spacing(1))


@dataclass(frozen=True, eq=False)
class OksScores:
    """`stats` 0..1 by their usual names (-1: nothing to find), AP and recall by threshold, OKS of each image.

    `oks[image]` is (D, G): detections by falling score, at most 20, against the annotations in file order.
    """

    stats: dict[str, float]
    ap_by_threshold: list[float]
    recall_by_threshold: list[float]
    oks: dict[int, FloatArray]


@dataclass(frozen=True, eq=False)
class _Image:
    """One image: D detections by falling score, G annotated people in file order."""

    oks: FloatArray
    scores: FloatArray
    detected_areas: FloatArray
    areas: FloatArray
    ignored: BoolArray
    crowd: BoolArray


def score_keypoints(
    truth_path: Path, truth: Any, results_path: Path, results: Sequence[Mapping[str, Any]]
) -> OksScores:
    """AP and AR of parsed COCO files; images with a `crowdIndex` are scored by CrowdPose's rules."""
    _check_truth(truth_path, truth)
    crowdpose = any("crowdIndex" in image for image in truth["images"])
    sigmas = _sigmas(truth_path, truth)
    images = _images(truth_path, truth, results_path, results, sigmas, crowdpose)
    ranges = ("all",) if crowdpose else ("all", "medium", "large")
    curves = {name: _precision_recall(list(images.values()), _AREAS[name]) for name in ranges}
    precision, recall = curves["all"]
    stats: dict[str, float] = {}
    for name, table in (("AP", precision), ("AR", recall)):
        stats |= {name: _mean(table), f"{name}50": _mean(table[0]), f"{name}75": _mean(table[5])}
        if name == "AP" and not crowdpose:
            stats |= {"AP_M": _mean(curves["medium"][0]), "AP_L": _mean(curves["large"][0])}
    if crowdpose:
        index = {image["id"]: float(image.get("crowdIndex", 0)) for image in truth["images"]}
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
    """(D,) OKS of `keypoints` (D, K, 2) with one annotated person `truth` (K, 3), `box` x y w h, `area` px².

    Mean over the labelled keypoints of exp(-d² / (2 area (2 sigma)²)). A person without labelled keypoints is
    as near as the keypoints are to its box enlarged three times.
    """
    labelled = truth[:, 2] > 0
    if labelled.any():
        apart = keypoints[:, labelled] - truth[labelled, :2]
        sigmas = sigmas[labelled]
    else:
        low, high = box[:2] - box[2:], box[:2] + 2 * box[2:]
        apart = np.maximum(0, low - keypoints) + np.maximum(0, keypoints - high)
    exponent = (apart**2).sum(axis=2) / (2 * sigmas) ** 2 / (area + _TINY) / 2
    similarity: FloatArray = np.exp(-exponent).mean(axis=1)
    return similarity


def _check_truth(path: Path, truth: Any) -> None:
    """InputError where these cannot be COCO annotations."""
    lists = ("images", "annotations")
    if not isinstance(truth, dict) or not all(isinstance(truth.get(name), list) for name in lists):
        raise InputError(
            f"{path}: is no COCO annotation file (with lists 'images' and 'annotations'); "
            "a list of results is scored only against one"
        )
    for k, image in enumerate(truth["images"]):
        if not isinstance(image, dict) or not isinstance(image.get("id"), (int, str)):
            raise InputError(f"{path}: images[{k}] must be an object with an 'id'")


def _sigmas(path: Path, truth: Mapping[str, Any]) -> FloatArray:
    categories = [c for c in truth.get("categories", ()) if "keypoints" in c]
    if len(categories) != 1:
        raise InputError(f"{path}: needs exactly one category with 'keypoints', has {len(categories)}")
    names = categories[0]["keypoints"]
    unknown = [name for name in names if name not in SIGMAS]
    if unknown:
        raise InputError(
            f"{path}: no OKS sigma is known for {', '.join(unknown)}; known: {', '.join(SIGMAS)}"
        )
    return np.array([SIGMAS[name] for name in names])


def _images(
    truth_path: Path,
    truth: Mapping[str, Any],
    results_path: Path,
    results: Sequence[Mapping[str, Any]],
    sigmas: FloatArray,
    crowdpose: bool,
) -> dict[int, _Image]:
    """Every image in the order of their ids, with what is annotated and detected there."""
    annotated: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    detected: dict[int, list[Mapping[str, Any]]] = {key: [] for key in annotated}
    for path, people, target in (
        (truth_path, truth["annotations"], annotated),
        (results_path, results, detected),
    ):
        for k, person in enumerate(people):
            if not isinstance(person, dict):
                raise InputError(f"{path}: person {k} must be an object with 'image_id' and 'keypoints'")
            if person.get("image_id") not in target:
                raise InputError(
                    f"{path}: person {k} is in image {person.get('image_id')}, which {truth_path} lacks"
                )
            if len(person.get("keypoints", ())) != 3 * len(sigmas):
                raise InputError(
                    f"{path}: person {k} (image {person['image_id']}) "
                    f"needs 'keypoints' with {3 * len(sigmas)} numbers"
                )
            needed = ("bbox",) if crowdpose else ("bbox", "area")
            missing = [key for key in (needed if target is annotated else ("score",)) if key not in person]
            if missing:
                raise InputError(f"{path}: person {k} (image {person['image_id']}) has no '{missing[0]}'")
            target[person["image_id"]].append(person)
    return {key: _image(annotated[key], detected[key], sigmas, crowdpose) for key in sorted(annotated)}


def _image(
    annotated: Sequence[Mapping[str, Any]],
    detected: Sequence[Mapping[str, Any]],
    sigmas: FloatArray,
    crowdpose: bool,
) -> _Image:
    scores = np.array([person["score"] for person in detected], np.float64)
    order = np.argsort(-scores, kind="stable")[:MOST_DETECTIONS]
    found = np.array([detected[k]["keypoints"] for k in order], np.float64).reshape(
        len(order), len(sigmas), 3
    )
    truth = np.array([p["keypoints"] for p in annotated], np.float64).reshape(len(annotated), len(sigmas), 3)
    boxes = np.array([p["bbox"] for p in annotated], np.float64).reshape(len(annotated), 4)
    if crowdpose:
        areas = boxes[:, 2] * boxes[:, 3] * _CROWDPOSE_AREA
    else:
        areas = np.array([person["area"] for person in annotated], np.float64)
    extent = np.ptp(found[..., :2], axis=1) if len(found) else np.zeros((0, 2))
    oks = np.zeros((len(found), len(truth)))
    for k in range(len(truth)):
        oks[:, k] = object_keypoint_similarity(found[..., :2], truth[k], boxes[k], float(areas[k]), sigmas)
    crowd = np.array([bool(person.get("iscrowd", 0)) for person in annotated], bool)
    labelled = [
        p["num_keypoints"] if "num_keypoints" in p else int((t[:, 2] > 0).sum())
        for p, t in zip(annotated, truth, strict=True)
    ]
    return _Image(
        oks, scores[order], extent[:, 0] * extent[:, 1], areas, crowd | (np.array(labelled, int) == 0), crowd
    )


def _precision_recall(
    images: Sequence[_Image], area_range: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Precision (T, 101) at the recall points and final recall (T,); -1 where nobody is to be found."""
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
    right = np.cumsum(hit & ~skip, axis=1).astype(np.float64)
    wrong = np.cumsum(~hit & ~skip, axis=1)
    precision = np.zeros((levels, len(RECALLS)))
    for level in range(levels if len(order) else 0):
        curve = right[level] / (wrong[level] + right[level] + _TINY)
        curve = np.maximum.accumulate(curve[::-1])[::-1]
        place = np.searchsorted(right[level] / people, RECALLS, side="left")
        reached = place < len(curve)
        precision[level, reached] = curve[place[reached]]
    return precision, right[:, -1] / people if len(order) else np.zeros(levels)


def _match(image: _Image, ignored: BoolArray) -> tuple[BoolArray, BoolArray]:
    """(T, D) matched detections, and those of them matched to an ignored person.

    Best score first, each takes the person of highest OKS at or above the threshold who is free (the later of
    equals), an ignored one only if there is no other; a crowd may be taken often.
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
