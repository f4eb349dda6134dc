"""Fit the calibration of keypoint scores on dev people, and print or draw how reliable the scores are.

python scripts/weights/calibrate_pose.py --data ../shared/data/train --data ../shared/data/train2
    [--weights FILE.safetensors] [--svg FILE.svg] [--write]

The printed numbers are cross-fitted: each fifth of the images is scored by a calibration fitted to the other four. The
one that `--write` stores in the weight file is fitted to all. All sources have the same weight, and only keypoints
labelled by humans count.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dev_images import load_images, parser, people_labelled_by_humans, pose_estimator, weight_file
from posetrack_detectors.training.pose_crops import PosedPerson
from posetrack_detectors.training.pose_quality import calibrate, distances, predict, source_weights
from posetrack_detectors.weights.calibration import (
    CORRECT_DISTANCE,
    expected_calibration_error,
    reliability,
    write_calibration,
)

from posetrack_app.core.files import write_atomic
from posetrack_app.formats.svg_chart import chart_file, line_chart

FOLDS = 5


def cross_fitted(people: list[PosedPerson], keypoints: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """(N, K) scores, each from a calibration that was not fitted to the same image."""
    scores = np.empty_like(heights)
    folds = np.array([person.image % FOLDS for person in people])
    for fold in range(FOLDS):
        others, own = np.flatnonzero(folds != fold), folds == fold
        fitted = calibrate([people[i] for i in others], keypoints[others], heights[others])
        scores[own] = fitted(heights[own])
    return scores


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--svg", type=Path, help="draw the reliability curve into this file")
    made.add_argument(
        "--write", action="store_true", help="store the calibration fitted to all in the weight file"
    )
    options = made.parse_args()
    images = load_images(options, "pose")
    people = people_labelled_by_humans(images)
    estimator = pose_estimator(options, flip=False)
    estimator.calibration = None
    keypoints, heights = predict(estimator, images, people)
    calibrated = cross_fitted(people, keypoints, heights)
    correct, weights = distances(people, keypoints) <= CORRECT_DISTANCE, source_weights(people)
    sources = np.array([person.source for person in people])
    print(
        f"{int((weights > 0).sum())} labelled keypoints; correct: within {CORRECT_DISTANCE:.2f} OKS standard deviations"
    )
    print("| expected calibration error | heatmap height | calibrated, cross-fitted |\n|---|---|---|")
    for name in ("all", *sorted(set(sources))):
        rows = np.ones(len(people), dtype=bool) if name == "all" else sources == name
        errors = [
            expected_calibration_error(s[rows], correct[rows], weights[rows]) for s in (heights, calibrated)
        ]
        print(f"| {name} | {errors[0]:.3f} | {errors[1]:.3f} |")
    print("\n| score | share correct | share of keypoints |\n|---|---|---|")
    for score, share, part in reliability(calibrated, correct, weights):
        print(f"| {score:.2f} | {share:.2f} | {part:.2f} |")
    if options.svg:
        lines = [("ideal", np.array([0.0, 1.0]), np.array([0.0, 1.0]))]
        for name, scores in (("heatmap height", heights), ("calibrated, cross-fitted", calibrated)):
            score, share, _ = np.array(reliability(scores, correct, weights)).T
            lines.append((name, score, share))
        chart = line_chart(lines, "keypoint score", "share of correct keypoints", (0, 1), (0, 1))
        write_atomic(options.svg, chart_file(chart, [name for name, *_ in lines]))
    if options.write:
        write_calibration(weight_file(options, "pose"), calibrate(people, keypoints, heights))
        print(f"\nstored in {weight_file(options, 'pose')}")


if __name__ == "__main__":
    main()
