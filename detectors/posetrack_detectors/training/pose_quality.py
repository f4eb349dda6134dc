"""How good keypoints are on people that humans labelled: OKS recall, PCK, and the calibration of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posetrack_detectors.calibration import RIGHT, Calibration, fit_calibration
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.training.labels import KEYPOINTS, MIRRORED, SIGMAS, Array
from posetrack_detectors.training.pictures import Pictures
from posetrack_detectors.training.pose_crops import PosedPerson

BODY_SHARE = 0.53
"""A person's area as a share of the box's; COCO takes the segment's."""
_LEFT_SHOULDER, _RIGHT_HIP = KEYPOINTS.index("left_shoulder"), KEYPOINTS.index("right_hip")


def predict(
    estimator: PoseEstimator, pictures: Pictures, people: Sequence[PosedPerson], batch: int = 32
) -> tuple[Array, Array]:
    """Keypoints (N, 19, 2) in picture pixels and scores (N, 19) of the people in their labelled boxes."""
    found = [
        estimator([pictures.image(p.picture) for p in group], [p.box for p in group])
        for start in range(0, len(people), batch)
        for group in [people[start : start + batch]]
    ]
    keypoints, scores = zip(*found, strict=True)
    return np.concatenate(keypoints), np.concatenate(scores)


def known(people: Sequence[PosedPerson]) -> Array:
    """(N, 19) which keypoints a human labelled."""
    return np.stack([person.label.measured & (person.label.weights > 0) for person in people])


def distances(people: Sequence[PosedPerson], keypoints: Array) -> Array:
    """(N, 19) from the label, in fall-offs of OKS: 2 sigma sqrt(area)."""
    truth = np.stack([person.label.keypoints for person in people])
    boxes = np.stack([person.box for person in people])
    area = BODY_SHARE * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).clip(1)
    return np.asarray(np.linalg.norm(truth - keypoints, axis=2) / (2 * SIGMAS * np.sqrt(area)[:, None]))


def pose_quality(people: Sequence[PosedPerson], keypoints: Array) -> dict[str, float]:
    """For each source: mean OKS, OKS-AR (share of people above 0.50:0.05:0.95, averaged), PCK@0.2 and @0.5 of the torso.

    PCK is over people with the torso (left shoulder to right hip) labelled, `torso_people`; the names start with the
    source.
    """
    labelled = known(people)
    terms = np.exp(-(distances(people, keypoints) ** 2) / 2)
    truth = np.stack([person.label.keypoints for person in people])
    errors = np.linalg.norm(truth - keypoints, axis=2)
    torso = np.linalg.norm(truth[:, _LEFT_SHOULDER] - truth[:, _RIGHT_HIP], axis=1).clip(1)
    upright = labelled[:, [_LEFT_SHOULDER, _RIGHT_HIP]].all(axis=1)
    sources = np.array([person.source for person in people])
    quality: dict[str, float] = {}
    for source in sorted(set(sources)):
        rows = sources == source
        oks = np.array(
            [term[k].mean() for term, k in zip(terms[rows], labelled[rows], strict=True) if k.any()]
        )
        recalls = [(oks > threshold).mean() for threshold in np.arange(0.5, 0.96, 0.05)]
        relative = (errors / torso[:, None])[rows & upright][labelled[rows & upright]]
        figures = {
            "people": len(oks),
            "oks_ar": np.mean(recalls),
            "oks_mean": oks.mean(),
            "torso_people": int((rows & upright).sum()),
            "pck20": (relative < 0.2).mean() if len(relative) else 0.0,
            "pck50": (relative < 0.5).mean() if len(relative) else 0.0,
        }
        quality |= {f"{source}_{name}": round(float(value), 4) for name, value in figures.items()}
    return quality


def source_weights(people: Sequence[PosedPerson]) -> Array:
    """(N, 19) 0 where no human labelled, and else so that every source counts the same."""
    labelled = known(people).astype(float)
    sources = np.array([person.source for person in people])
    for source in set(sources):
        rows = sources == source
        labelled[rows] /= max(1.0, labelled[rows].sum())
    return labelled


def calibrate(people: Sequence[PosedPerson], keypoints: Array, heights: Array) -> Calibration:
    """The map from the heights (N, 19) of keypoints (N, 19, 2) to the chance of being right."""
    return fit_calibration(heights, distances(people, keypoints) <= RIGHT, source_weights(people), MIRRORED)
