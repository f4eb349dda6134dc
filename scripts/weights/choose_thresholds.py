"""Fit the person score of the default preset on dev images, and choose its thresholds.

python scripts/weights/choose_thresholds.py --data ../shared/data/train --data ../shared/data/train2
    [--weights FILE.safetensors | --write]

[person_score]: logistic regression of "is a labelled person, at IoU 0.5" on the logits of the box score and of the mean
keypoint score. The thresholds are on this score.

tracker.high_score: from this score on a detection may start a track. It has the best F0.5 (van Rijsbergen; precision has
twice the weight of recall): in a video, a missed person is likely to be found in the next frame, but a false positive
starts a track.

tracker.low_score, propagation.min_score, and detector.min_score on the box score: the lowest score with an F2 (recall has
twice the weight) at most 0.01 below the best one, because low-score detections only continue tracks where the prediction
supports them.

All sources have the same weight. `--weights` is another detector. The keypoint score with the best F1 is printed as well.
`--write` stores all of them in configs/default.toml and posetrack_app/core/config.py.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from dev_images import load_images, parser, people_labelled_by_humans, person_detector
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.training.detector_quality import match_detections
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.pose_quality import distances, predict, source_weights
from posetrack_detectors.weights.calibration import CORRECT_DISTANCE
from scipy.optimize import minimize

from posetrack_app.core.config import PersonScoreConfig, PoseConfig
from posetrack_app.core.files import write_atomic
from posetrack_app.models.build import build_pose_estimator
from posetrack_app.pipeline.person_score import person_scores

ROOT = Path(__file__).parents[2]


def best_score(
    scores: np.ndarray,
    correct: np.ndarray,
    weights: np.ndarray,
    total: float,
    beta: float,
    slack: float = 0.0,
) -> tuple[float, float]:
    """The lowest threshold with an F_beta at most `slack` below the best one, and that F_beta.

    `total` is the weight of everything that could be found.
    """
    order = np.argsort(-scores, kind="stable")
    hits, taken = (weights * correct)[order].cumsum(), weights[order].cumsum()
    f_beta = (1 + beta**2) * hits / (taken + beta**2 * total)
    # Equal scores are above or below a threshold together.
    ends = np.append(np.diff(scores[order]) != 0, True)
    f_beta = np.where(ends, f_beta, -1.0)
    best = np.flatnonzero(f_beta >= f_beta.max() - slack)[-1]  # scores are in descending order
    return float(scores[order][best]), float(f_beta[best])


@dataclass(frozen=True)
class ScoredDetections:
    """The N detections of all dev images that count, with `total`, the weight of all people."""

    box_scores: np.ndarray
    keypoint_scores: np.ndarray
    """(N,) means over the keypoints."""
    correct: np.ndarray
    """(N,) bool, at IoU 0.5."""
    weights: np.ndarray
    total: float


def scored_detections(detector: PersonDetector, estimator: PoseEstimator, images: Images) -> ScoredDetections:
    """Run both networks on all images; each source of images has the same weight."""
    people: dict[str, int] = {}
    rows = []
    for index in range(len(images)):
        image = images.image(index)
        [(boxes, scores)] = detector([image])
        labelled, ignore = images.boxes(index)
        correct, ignored = match_detections(boxes, labelled, ignore)
        _, keypoint_scores, _ = estimator([image] * len(boxes), list(boxes))
        source = images.labels[index].source
        people[source] = people.get(source, 0) + len(labelled)
        rows += [
            (source, *row)
            for row, is_ignored in zip(
                zip(scores, keypoint_scores.mean(axis=1), correct[0], strict=True), ignored[0], strict=True
            )
            if not is_ignored
        ]
    kept = [row for row in rows if people[row[0]]]
    sources, box_scores, mean_scores, is_correct = zip(*kept, strict=True)
    return ScoredDetections(
        np.array(box_scores, dtype=float),
        np.array(mean_scores, dtype=float),
        np.array(is_correct, dtype=bool),
        np.array([1 / people[source] for source in sources]),
        float(sum(count > 0 for count in people.values())),
    )


def fit_person_score(found: ScoredDetections) -> PersonScoreConfig:
    """The maximum-likelihood weights of the two logits."""

    def loss(values: np.ndarray) -> float:
        scores = person_scores(found.box_scores, found.keypoint_scores, PersonScoreConfig(*values))
        chance = np.where(found.correct, scores, 1 - scores).clip(1e-12)
        return -float((found.weights * np.log(chance)).sum() / found.weights.sum())

    start = loss(np.array([1.0, 0.0, 0.0]))
    best = minimize(loss, np.array([1.0, 0.0, 0.0]), method="Nelder-Mead", options={"maxiter": 2000})
    fitted = PersonScoreConfig(*(round(float(value), 3) for value in best.x))
    print(f"log loss {start:.3f} of the box score, {best.fun:.3f} of {fitted}")
    return fitted


def write_setting(section: str, name: str, value: float) -> None:
    """Write a setting into configs/default.toml and the default in config.py."""
    class_name = "".join(word.capitalize() for word in section.split("_"))
    toml, code = ROOT / "configs/default.toml", ROOT / "posetrack_app/core/config.py"
    for file, start, line in (
        (toml, rf"^\[{section}\]", rf"^({name} = )-?[0-9.]+( *)"),
        (code, rf"^class {class_name}Config", rf"^(    {name}: float = _(?:fraction|number)\()-?[0-9.]+()"),
    ):
        text = file.read_text()
        match = re.search(start, text, re.MULTILINE)
        assert match is not None, f"{file}: {start}"
        head, tail = text[: match.start()], text[match.start() :]
        found = re.search(line, tail, re.MULTILINE)
        assert found is not None, f"{file}: {line}"
        written = f"{found[1]}{value:g}"
        if found[2]:  # keep the comment in its column
            written = f"{written} ".ljust(len(found[0]))
        write_atomic(file, head + tail[: found.start()] + written + tail[found.end() :])


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--write", action="store_true", help="write the choice into the default settings")
    options = made.parse_args()
    if options.weights is not None and options.write:
        made.error("the default settings are for the embedded weights: leave out --weights or --write")
    images = load_images(options, "detector")
    estimator, _ = build_pose_estimator(PoseConfig(), options.device, "float32")
    found = scored_detections(person_detector(options), estimator, images)
    fitted = fit_person_score(found)
    scores = person_scores(found.box_scores, found.keypoint_scores, fitted)
    high_score, f_half = best_score(scores, found.correct, found.weights, found.total, beta=0.5)
    low_score, f2 = best_score(scores, found.correct, found.weights, found.total, beta=2, slack=0.01)
    min_score, box_f2 = best_score(
        found.box_scores, found.correct, found.weights, found.total, beta=2, slack=0.01
    )
    high_score, low_score, min_score = (round(value, 2) for value in (high_score, low_score, min_score))
    print(f"high_score = {high_score:g}  (F0.5 {f_half:.3f})")
    print(f"low_score = {low_score:g}  (F2 {f2:.3f})")
    print(f"detector min_score = {min_score:g}  (F2 of the box score {box_f2:.3f})")
    if options.weights is not None:
        return
    people = people_labelled_by_humans(images)
    keypoints, keypoint_scores = predict(estimator, images, people)
    counted = source_weights(people)
    good = distances(people, keypoints) <= CORRECT_DISTANCE
    threshold, f1 = best_score(
        keypoint_scores.ravel(), good.ravel(), counted.ravel(), float((good * counted).sum()), beta=1
    )
    note = "" if estimator.calibration else " (not calibrated)"
    print(f"keypoints from {threshold:.2f} on: best F1 {f1:.3f}{note}")
    if options.write:
        for section, name, value in (
            *(("person_score", name, value) for name, value in asdict(fitted).items()),
            ("detector", "min_score", min_score),
            ("propagation", "min_score", low_score),
            ("tracker", "high_score", high_score),
            ("tracker", "low_score", low_score),
        ):
            write_setting(section, name, value)


if __name__ == "__main__":
    main()
