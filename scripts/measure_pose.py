"""The embedded pose net on the dev people, in their labelled boxes: the table of the model card.

python scripts/measure_pose.py --data ../shared/data/train [--weights FILE.safetensors] [--size 256x192] [--trained]
"""

from __future__ import annotations

import time

import numpy as np
from dev_pictures import dev_pictures, parser, pose_estimator, precisions
from posetrack_detectors.training.pose_crops import people_with_keypoints
from posetrack_detectors.training.pose_quality import known, pose_quality, predict

# Of the data set's description (TRAINING.md there): PP-TinyPose with flip, DARK decoding.
ROWS = (
    ("OKS-AR, {coco_people:.0f} COCO people", "coco_oks_ar", "0.713"),
    ("mean OKS, the same", "coco_oks_mean", "0.805"),
    (
        "PCK@0.2 of the torso, {lspet_torso_people:.0f} LSPET people",
        "lspet_pck20",
        "0.65 to 0.70 (all LSPET)",
    ),
    ("PCK@0.5, the same", "lspet_pck50", "0.82 to 0.86 (all LSPET)"),
)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--size", metavar="HxW", help="default: what the weights were trained with")
    made.add_argument("--trained", action="store_true", help="on people it was trained on; of LSPET a tenth")
    options = made.parse_args()
    size = None
    if options.size:
        height, width = (int(side) for side in options.size.split("x"))
        size = width, height
    pictures = dev_pictures(options, "pose", trained=options.trained)
    people = [p for p in people_with_keypoints(pictures, fewest=1) if p.label.measured.any()]
    if options.trained:
        people = [p for i, p in enumerate(people) if p.source != "lspet" or i % 10 == 0]
    coco = "coco_train2017" if options.trained else "coco_val2017_dev"
    kinds = [(precision, flip) for flip in (False, True) for precision in precisions(options, "pose")]
    columns, seconds, found = [], [], []
    for precision, flip in kinds:
        estimator = pose_estimator(options, flip=flip, size=size, precision=precision)
        began = time.perf_counter()
        keypoints, _ = predict(estimator, pictures, people)
        found.append(keypoints)
        seconds.append(time.perf_counter() - began)
        quality = pose_quality(people, keypoints)
        columns.append({name.replace(coco, "coco"): value for name, value in quality.items()})
    titles = " | ".join(f"{precision}{', flip test' if flip else ''}" for precision, flip in kinds)
    print(f"| net | measure | {titles} | teacher, with flip |\n|{'---|' * (len(kinds) + 3)}")
    for title, name, teacher in ROWS:
        shown = " | ".join(f"{column[name]:.3f}" for column in columns)
        compared = "" if options.trained else teacher
        print(f"| pose | {title.format(**columns[0])} | {shown} | {compared} |")
    print("\n| labelled keypoints | COCO people | OKS-AR |\n|---|---|---|")
    counts = np.where([p.source == coco for p in people], known(people).sum(axis=1), 0)
    for least, most in ((1, 3), (4, 6), (7, 10), (11, 17)):
        chosen = np.flatnonzero((counts >= least) & (counts <= most))
        if len(chosen):
            quality = pose_quality([people[k] for k in chosen], found[0][chosen])
            print(f"| {least} to {most} | {len(chosen)} | {quality[f'{coco}_oks_ar']:.3f} |")
    print("\n| | times as long as float32 |\n|---|---|")
    for (precision, flip), spent in zip(kinds, seconds, strict=True):
        print(f"| {precision}{', flip test' if flip else ''} | {spent / seconds[0]:.2f} |")


if __name__ == "__main__":
    main()
