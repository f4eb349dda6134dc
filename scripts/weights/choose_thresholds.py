"""Choose the score thresholds of the default preset on dev images.

python scripts/weights/choose_thresholds.py --data ../shared/data/train --data ../shared/data/train2
    [--weights FILE.safetensors | --write]

tracker.high_score: from this score on a detection may start a track. It has the best F0.5 (van Rijsbergen; precision has
twice the weight of recall): in a video, a missed person is likely to be found in the next frame, but a false positive
starts a track.

detector.min_score and tracker.low_score: the lowest score with an F2 (recall has twice the weight) at most 0.01 below
the best one, because low-score detections only continue tracks where the prediction supports them.

All sources have the same weight. For the embedded weights the keypoint score with the best F1 is printed as well.
`--write` stores the first three in configs/default.toml and posetrack_app/core/config.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from dev_images import load_images, parser, people_labelled_by_humans, person_detector, pose_estimator
from posetrack_detectors.training.detector_quality import MatchedDetections, detect
from posetrack_detectors.training.pose_quality import distances, predict, source_weights
from posetrack_detectors.weights.calibration import CORRECT_DISTANCE

from posetrack_app.core.files import write_atomic

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


def detections(results: list[MatchedDetections]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Scores, whether correct at IoU 0.5, weights, and the total weight of all people."""
    people: dict[str, int] = {}
    for one in results:
        people[one.source] = people.get(one.source, 0) + one.people
    kept = [(one, ~one.ignored[0], 1 / people[one.source]) for one in results if people[one.source]]
    scores = np.concatenate([one.scores[counted] for one, counted, _ in kept])
    correct = np.concatenate([one.correct[0][counted] for one, counted, _ in kept])
    weights = np.concatenate([np.full(counted.sum(), weight) for _, counted, weight in kept])
    return scores, correct, weights, float(sum(count > 0 for count in people.values()))


def write_setting(section: str, name: str, value: float) -> None:
    """Write a setting into configs/default.toml and the default in config.py."""
    toml, code = ROOT / "configs/default.toml", ROOT / "posetrack_app/core/config.py"
    for file, start, line in (
        (toml, rf"^\[{section}\]", rf"^({name} = )[0-9.]+( *)"),
        (code, rf"^class {section.capitalize()}Config", rf"^(    {name}: float = _fraction\()[0-9.]+()"),
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
    scores, correct, weights, total = detections(detect(person_detector(options), images, range(len(images))))
    high_score, f_half = best_score(scores, correct, weights, total, beta=0.5)
    low_score, f2 = best_score(scores, correct, weights, total, beta=2, slack=0.01)
    high_score, low_score = round(high_score, 2), round(min(low_score, high_score), 2)
    print(f"high_score = {high_score:g}  (F0.5 {f_half:.3f})")
    print(f"min_score = low_score = {low_score:g}  (F2 {f2:.3f})")
    if options.weights is not None:
        return
    people = people_labelled_by_humans(images)
    estimator = pose_estimator(options, flip=False)
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
            ("detector", "min_score", low_score),
            ("tracker", "high_score", high_score),
            ("tracker", "low_score", low_score),
        ):
            write_setting(section, name, value)


if __name__ == "__main__":
    main()
