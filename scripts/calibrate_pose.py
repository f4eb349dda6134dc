"""Fit the map from heatmap heights to chances on the dev people, and say or draw how true it is.

python scripts/calibrate_pose.py --data ../shared/data/train [--weights FILE.safetensors] [--svg FILE.svg] [--write]

The figures are cross-fitted: each fifth of the pictures is scored by the map fitted to the other four. The map that
`--write` stores in the weight file is fitted to all. Sources count the same, and only keypoints that humans labelled count.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dev_pictures import dev_pictures, parser, pose_estimator, weight_file
from posetrack_detectors.calibration import (
    RIGHT,
    expected_calibration_error,
    reliability,
    write_calibration,
)
from posetrack_detectors.training.pose_crops import PosedPerson, people_with_keypoints
from posetrack_detectors.training.pose_quality import calibrate, distances, predict, source_weights

from posetrack_app.evaluation.svg import chart_file, line_chart
from posetrack_app.formats.whole import write_whole

FOLDS = 5


def cross_fitted(people: list[PosedPerson], keypoints: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """(N, K) chances by maps that never saw the picture."""
    chances = np.empty_like(heights)
    fold = np.array([person.picture % FOLDS for person in people])
    for k in range(FOLDS):
        others, mine = np.flatnonzero(fold != k), fold == k
        fitted = calibrate([people[i] for i in others], keypoints[others], heights[others])
        chances[mine] = fitted(heights[mine])
    return chances


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--svg", type=Path, help="where to draw the reliability curve")
    made.add_argument("--write", action="store_true", help="store the map fitted to all in the weight file")
    options = made.parse_args()
    pictures = dev_pictures(options, "pose")
    people = [p for p in people_with_keypoints(pictures, fewest=1) if p.label.measured.any()]
    estimator = pose_estimator(options, flip=False)
    estimator.calibration = None
    keypoints, heights = predict(estimator, pictures, people)
    chances = cross_fitted(people, keypoints, heights)
    right, weights = distances(people, keypoints) <= RIGHT, source_weights(people)
    sources = np.array([person.source for person in people])
    print(f"{int((weights > 0).sum())} labelled keypoints; right: within {RIGHT:.2f} OKS fall-offs")
    print("| expected calibration error | heights | chances, cross-fitted |\n|---|---|---|")
    for name in ("all", *sorted(set(sources))):
        rows = np.ones(len(people), dtype=bool) if name == "all" else sources == name
        errors = [expected_calibration_error(s[rows], right[rows], weights[rows]) for s in (heights, chances)]
        print(f"| {name} | {errors[0]:.3f} | {errors[1]:.3f} |")
    print("\n| score | share right | share of keypoints |\n|---|---|---|")
    for score, share, part in reliability(chances, right, weights):
        print(f"| {score:.2f} | {share:.2f} | {part:.2f} |")
    if options.svg:
        lines = [("as it should be", np.array([0.0, 1.0]), np.array([0.0, 1.0]))]
        for name, scores in (("heatmap height", heights), ("chance, cross-fitted", chances)):
            score, share, _ = np.array(reliability(scores, right, weights)).T
            lines.append((name, score, share))
        chart = line_chart(lines, "keypoint score", "share of keypoints that are right", (0, 1), (0, 1))
        write_whole(options.svg, chart_file(chart, [name for name, *_ in lines]))
    if options.write:
        write_calibration(weight_file(options, "pose"), calibrate(people, keypoints, heights))
        print(f"\nstored in {weight_file(options, 'pose')}")


if __name__ == "__main__":
    main()
