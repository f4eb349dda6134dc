"""Measure the embedded pose network on people labelled by humans and print the table of the model card.

python scripts/weights/measure_pose.py --data ../shared/data/train --data ../shared/data/train2
    [--weights FILE.safetensors] [--size 256x192] [--trained]

The network gets the labelled boxes. There is a group of rows for each source. OKS uses area = 0.53 x box.
"""

from __future__ import annotations

import time

import numpy as np
from dev_images import (
    SOURCES,
    load_images,
    parser,
    people_labelled_by_humans,
    pose_estimator,
    precisions,
)
from posetrack_detectors.training.pose_quality import BODY_SHARE, human_labelled, pose_quality, predict

MEASURES = (
    ("OKS-AR, {people:.0f} people", "oks_ar"),
    ("mean OKS", "oks_mean"),
    ("PCK@0.2 of the torso, {torso_people:.0f} people", "pck20"),
    ("PCK@0.5 of the torso", "pck50"),
)
TEACHER = {
    "coco_val2017_dev_oks_ar": "0.713",
    "coco_val2017_dev_oks_mean": "0.805",
    "lspet_pck20": "0.65 to 0.70 (all LSPET)",
    "lspet_pck50": "0.82 to 0.86 (all LSPET)",
}
"""PP-TinyPose with flip and DARK decoding (from the data set's README)."""


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--size", metavar="HxW", help="default: the size of the training")
    made.add_argument(
        "--trained", action="store_true", help="measure on training images; on a tenth of LSPET"
    )
    options = made.parse_args()
    size = None
    if options.size:
        height, width = (int(side) for side in options.size.split("x"))
        size = width, height
    images = load_images(options, "pose", trained=options.trained)
    people = people_labelled_by_humans(images)
    if options.trained:
        people = [p for i, p in enumerate(people) if p.source != "lspet" or i % 10 == 0]
    kinds = [(precision, flip) for flip in (False, True) for precision in precisions(options, "pose")]
    columns, seconds, found = [], [], []
    for precision, flip in kinds:
        estimator = pose_estimator(options, flip=flip, size=size, precision=precision)
        start = time.perf_counter()
        keypoints, _ = predict(estimator, images, people)
        seconds.append(time.perf_counter() - start)
        found.append(keypoints)
        columns.append(pose_quality(people, keypoints))
    names = [f"{precision}{', flip test' if flip else ''}" for precision, flip in kinds]
    found_sources = {p.source for p in people}
    sources = [s for s in SOURCES if s in found_sources] + sorted(found_sources - set(SOURCES))
    print(f"OKS with area = {BODY_SHARE:g} x box\n")
    print(f"| pose | {' | '.join(names)} | teacher, with flip |\n|{'---|' * (len(kinds) + 2)}")
    for source in sources:
        counts = {name: columns[0][f"{source}_{name}"] for name in ("people", "torso_people")}
        for title, name in MEASURES:
            cells = " | ".join(f"{column[f'{source}_{name}']:.3f}" for column in columns)
            teacher = "" if options.trained else TEACHER.get(f"{source}_{name}", "")
            print(f"| {SOURCES.get(source, source)}: {title.format(**counts)} | {cells} | {teacher} |")
    print("\n| source | labelled keypoints | people | OKS-AR |\n|---|---|---|---|")
    labelled = human_labelled(people).sum(axis=1)
    for source in sources:
        counts_of_source = np.where([p.source == source for p in people], labelled, 0)
        for low, high in ((1, 3), (4, 6), (7, 10), (11, 19)):
            chosen = np.flatnonzero((counts_of_source >= low) & (counts_of_source <= high))
            if len(chosen):
                quality = pose_quality([people[k] for k in chosen], found[0][chosen])
                recall = quality[f"{source}_oks_ar"]
                print(f"| {SOURCES.get(source, source)} | {low} to {high} | {len(chosen)} | {recall:.3f} |")
    print("\n| | time relative to float32 |\n|---|---|")
    for name, spent in zip(names, seconds, strict=True):
        print(f"| {name} | {spent / seconds[0]:.2f} |")


if __name__ == "__main__":
    main()
