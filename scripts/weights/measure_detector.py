"""Measure the embedded detector on dev images and print the table of the model card.

python scripts/weights/measure_detector.py --data ../shared/data/train --data ../shared/data/train2
    [--weights FILE.safetensors] [--short-side 384]

There is a group of rows for each source with boxes by humans; the dev images of other sources have the teachers' boxes.
"""

from __future__ import annotations

from dev_images import MIN_SCORE, SOURCES, load_images, parser, person_detector, precisions
from posetrack_detectors.training.detector_quality import detect, detector_quality

from posetrack_app.core.config import Config

TEACHERS = {"coco_val2017_dev": "0.42 / 0.66"}
"""AP / AP50 of RTMDet-nano or PicoDet-S, whichever is better (from the data set's README)."""


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--short-side", type=int, default=0, help="as in [detector] short_side of a run")
    options = made.parse_args()
    images = load_images(options, "detector")
    kinds = precisions(options, "detector")
    results = []
    for precision in kinds:
        detector = person_detector(options, options.short_side, precision)
        results.append(detect(detector, images, range(len(images))))
    thresholds = {"all boxes": MIN_SCORE}
    thresholds |= {"min_score": Config().detector.min_score, "high_score": Config().tracker.high_score}
    qualities = {score: [detector_quality(one, score) for one in results] for score in thresholds.values()}

    def row(title: str, cells: list[str], teachers: str = "") -> None:
        print(f"| {title} | {' | '.join(cells)} | {teachers} |")

    row(f"detector, {len(images)} dev images", list(kinds), "teachers")
    print(f"|{'---|' * (len(kinds) + 2)}")
    overall = [f"{q['ap']:.3f} / {q['ap50']:.3f}" for q in qualities[MIN_SCORE]]
    row("AP / AP50, all sources (some boxes are the teachers' own)", overall)
    for name, score in thresholds.items():
        wrong = [f"{q['false_positives']:.2f}" for q in qualities[score]]
        row(f"false positives per image from score {score:g} on ({name})", wrong)
    for source in (source for source in SOURCES if f"{source}_ap" in qualities[MIN_SCORE][0]):
        cells = [f"{q[f'{source}_ap']:.3f} / {q[f'{source}_ap50']:.3f}" for q in qualities[MIN_SCORE]]
        row(f"{SOURCES[source]}: AP / AP50", cells, TEACHERS.get(source, ""))
        for name, score in thresholds.items():
            recalls = [f"{q[f'{source}_recall']:.3f}" for q in qualities[score]]
            row(f"{SOURCES[source]}: recall at IoU 0.5 from score {score:g} on ({name})", recalls)


if __name__ == "__main__":
    main()
