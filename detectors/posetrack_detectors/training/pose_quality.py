"""Quality of keypoints on people labelled by humans: OKS-AR, PCK, and score calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import KEYPOINTS, MIRRORED, SIGMAS, Array
from posetrack_detectors.training.pose_crops import PosedPerson
from posetrack_detectors.weights.calibration import CORRECT_DISTANCE, Calibration, fit_calibration

BODY_SHARE = 0.53
"""Area of a person for OKS, as a share of the box; COCO uses the area of the segment."""
_LEFT_SHOULDER, _RIGHT_HIP = KEYPOINTS.index("left_shoulder"), KEYPOINTS.index("right_hip")


def predict(
    estimator: PoseEstimator, images: Images, people: Sequence[PosedPerson], batch: int = 32
) -> tuple[Array, Array]:
    """Keypoints (N, 19, 2) in image pixels and scores (N, 19) of people, from their labelled boxes."""
    outputs = [
        estimator([images.image(p.image) for p in group], [p.box for p in group])
        for start in range(0, len(people), batch)
        for group in [people[start : start + batch]]
    ]
    keypoints, scores, _ = zip(*outputs, strict=True)
    return np.concatenate(keypoints), np.concatenate(scores)


def human_labelled(people: Sequence[PosedPerson]) -> Array:
    """(N, 19) bool: keypoints that a human labelled."""
    return np.stack([person.label.measured & (person.label.weights > 0) for person in people])


def distances(people: Sequence[PosedPerson], keypoints: Array) -> Array:
    """(N, 19) distances from the labels in OKS standard deviations, 2 * sigma * sqrt(area)."""
    truth = np.stack([person.label.keypoints for person in people])
    boxes = np.stack([person.box for person in people])
    area = BODY_SHARE * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).clip(1)
    return np.asarray(np.linalg.norm(truth - keypoints, axis=2) / (2 * SIGMAS * np.sqrt(area)[:, None]))


def pose_quality(people: Sequence[PosedPerson], keypoints: Array) -> dict[str, float]:
    """Mean OKS, OKS-AR and PCK of each source; names start with the source.

    OKS-AR is the share of people with an OKS above a threshold, averaged over 0.50:0.05:0.95. PCK@0.2 and PCK@0.5 are
    relative to the torso (left shoulder to right hip), over the `torso_people` with both ends labelled.
    """
    labelled = human_labelled(people)
    terms = np.exp(-(distances(people, keypoints) ** 2) / 2)
    truth = np.stack([person.label.keypoints for person in people])
    errors = np.linalg.norm(truth - keypoints, axis=2)
    torso = np.linalg.norm(truth[:, _LEFT_SHOULDER] - truth[:, _RIGHT_HIP], axis=1).clip(1)
    has_torso = labelled[:, [_LEFT_SHOULDER, _RIGHT_HIP]].all(axis=1)
    sources = np.array([person.source for person in people])
    quality: dict[str, float] = {}
    for source in sorted(set(sources)):
        rows = sources == source
        oks = np.array(
            [term[k].mean() for term, k in zip(terms[rows], labelled[rows], strict=True) if k.any()]
        )
        recalls = [(oks > threshold).mean() for threshold in np.arange(0.5, 0.96, 0.05)]
        relative = (errors / torso[:, None])[rows & has_torso][labelled[rows & has_torso]]
        figures = {
            "people": len(oks),
            "oks_ar": np.mean(recalls),
            "oks_mean": oks.mean(),
            "torso_people": int((rows & has_torso).sum()),
            "pck20": (relative < 0.2).mean() if len(relative) else 0.0,
            "pck50": (relative < 0.5).mean() if len(relative) else 0.0,
        }
        quality |= {f"{source}_{name}": round(float(value), 4) for name, value in figures.items()}
    return quality


def source_weights(people: Sequence[PosedPerson]) -> Array:
    """(N, 19) weights that count every source the same; 0 for keypoints that no human labelled."""
    labelled = human_labelled(people).astype(float)
    sources = np.array([person.source for person in people])
    for source in set(sources):
        rows = sources == source
        labelled[rows] /= max(1.0, labelled[rows].sum())
    return labelled


def calibrate(people: Sequence[PosedPerson], keypoints: Array, heights: Array) -> Calibration:
    """Fit the mapping from heatmap heights (N, 19) to the probability that a keypoint (N, 19, 2) is correct."""
    correct = distances(people, keypoints) <= CORRECT_DISTANCE
    return fit_calibration(heights, correct, source_weights(people), MIRRORED)
