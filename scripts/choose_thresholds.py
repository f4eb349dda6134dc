"""Score thresholds of the default preset, chosen on the dev pictures.

python scripts/choose_thresholds.py --data ../shared/data/train [--weights FILE.safetensors | --write]

tracker.confident: from there on a detection may found a person. The score of the best F0.5 (van Rijsbergen: precision is
worth twice as much): in a video a person missed is asked for again in the next frame, while one found wrongly stays.
detector.min_score and tracker.weak: the lowest score whose F2 (recall is worth twice as much) is at most 0.01 below the
best, as weak ones only carry known people on, where the prediction supports them. Every source of pictures counts the
same. Also printed, for the embedded weights: the keypoint score of the best F1.
`--write` puts the first three into configs/default.toml and posetrack_app/config.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from dev_pictures import dev_pictures, parser, person_detector, pose_estimator
from posetrack_detectors.calibration import RIGHT
from posetrack_detectors.training.detector_quality import Judged, detect
from posetrack_detectors.training.pose_crops import people_with_keypoints
from posetrack_detectors.training.pose_quality import distances, predict, source_weights

from posetrack_app.formats.whole import write_whole

ROOT = Path(__file__).parents[1]


def best_score(
    scores: np.ndarray,
    right: np.ndarray,
    weights: np.ndarray,
    total: float,
    beta: float,
    slack: float = 0.0,
) -> tuple[float, float]:
    """The lowest score from which on the F_beta is the best, but for `slack`, and that.

    `total` is the weight of all there is to find.
    """
    order = np.argsort(-scores, kind="stable")
    hits, taken = (weights * right)[order].cumsum(), weights[order].cumsum()
    f_beta = (1 + beta**2) * hits / (taken + beta**2 * total)
    # Equal scores are taken or left together.
    ends = np.append(np.diff(scores[order]) != 0, True)
    f_beta = np.where(ends, f_beta, -1.0)
    best = np.flatnonzero(f_beta >= f_beta.max() - slack)[-1]  # scores fall
    return float(scores[order][best]), float(f_beta[best])


def detections(judged: list[Judged]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Scores, whether right at IoU 0.5, weights, and the weight of all people."""
    people: dict[str, int] = {}
    for one in judged:
        people[one.source] = people.get(one.source, 0) + one.people
    kept = [(one, ~one.left_out[0], 1 / people[one.source]) for one in judged if people[one.source]]
    scores = np.concatenate([one.scores[counted] for one, counted, _ in kept])
    right = np.concatenate([one.right[0][counted] for one, counted, _ in kept])
    weights = np.concatenate([np.full(counted.sum(), weight) for _, counted, weight in kept])
    return scores, right, weights, float(sum(count > 0 for count in people.values()))


def write_setting(section: str, name: str, value: float) -> None:
    """Into configs/default.toml and the default of config.py."""
    toml, code = ROOT / "configs/default.toml", ROOT / "posetrack_app/config.py"
    for file, start, line in (
        (toml, rf"^\[{section}\]", rf"^({name} = )[0-9.]+( *)"),
        (code, rf"^class {section.capitalize()}Config", rf"^(    {name}: float = )[0-9.]+()"),
    ):
        text = file.read_text()
        match = re.search(start, text, re.MULTILINE)
        assert match is not None, f"{file}: {start}"
        head, tail = text[: match.start()], text[match.start() :]
        found = re.search(line, tail, re.MULTILINE)
        assert found is not None, f"{file}: {line}"
        written = f"{found[1]}{value:g}"
        if found[2]:  # the comments behind stay in their column
            written = f"{written} ".ljust(len(found[0]))
        write_whole(file, head + tail[: found.start()] + written + tail[found.end() :])


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--write", action="store_true", help="put the choice into the default settings")
    options = made.parse_args()
    if options.weights is not None and options.write:
        made.error("the default settings are for the embedded weights: leave out --weights or --write")
    pictures = dev_pictures(options, "detector")
    scores, right, weights, total = detections(
        detect(person_detector(options), pictures, range(len(pictures)))
    )
    confident, f_half = best_score(scores, right, weights, total, beta=0.5)
    weak, f2 = best_score(scores, right, weights, total, beta=2, slack=0.01)
    confident, weak = round(confident, 2), round(min(weak, confident), 2)
    print(f"confident = {confident:g}  (F0.5 {f_half:.3f})")
    print(f"min_score = weak = {weak:g}  (F2 {f2:.3f})")
    if options.weights is not None:
        return
    people = [p for p in people_with_keypoints(pictures, fewest=1) if p.label.measured.any()]
    estimator = pose_estimator(options, flip=False)
    keypoints, chances = predict(estimator, pictures, people)
    counted = source_weights(people)
    good = distances(people, keypoints) <= RIGHT
    least, f1 = best_score(
        chances.ravel(), good.ravel(), counted.ravel(), float((good * counted).sum()), beta=1
    )
    print(
        f"keypoints from {least:.2f} on: best F1 {f1:.3f}{'' if estimator.calibration else ' (not calibrated)'}"
    )
    if options.write:
        for section, name, value in (
            ("detector", "min_score", weak), ("tracker", "confident", confident), ("tracker", "weak", weak),
        ):  # fmt: skip
            write_setting(section, name, value)


if __name__ == "__main__":
    main()
