"""The embedded detector on the dev pictures: the table of the model card.

python scripts/measure_detector.py --data ../shared/data/train [--weights FILE.safetensors] [--short-side 384]
"""

from __future__ import annotations

from dev_pictures import (
    LEAST_SCORE,
    dev_pictures,
    parser,
    person_detector,
    precisions,
)
from posetrack_detectors.training.detector_quality import detect, detector_quality

from posetrack_app.config import Config

# Of the data set's description: RTMDet-nano / PicoDet-S on COCO's pictures, and what either teacher is sure of.
TEACHERS = "0.42 / 0.66"
SOURCES = {"lspet": "LSPET", "inria_person": "INRIA", "pennfudan": "Penn-Fudan", "coco_val2017_dev": "COCO"}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--short-side", type=int, default=0, help="as [detector] short_side of a run")
    options = made.parse_args()
    pictures = dev_pictures(options, "detector")
    kinds = precisions(options, "detector")
    judged = []
    for precision in kinds:
        detector = person_detector(options, options.short_side, precision)
        judged.append(detect(detector, pictures, range(len(pictures))))
    scores = {"every box that the network keeps": LEAST_SCORE}
    scores |= {"min_score": Config().detector.min_score, "confident": Config().tracker.confident}
    low = [detector_quality(one, LEAST_SCORE) for one in judged]

    def row(title: str, cells: list[str], teachers: str = "") -> None:
        print(f"| detector | {title} | {' | '.join(cells)} | {teachers} |")

    print(
        f"| net | measure on {low[0]['pictures']} dev pictures | {' | '.join(kinds)} | teachers |\n"
        f"|{'---|' * (len(kinds) + 3)}"
    )
    every = [f"{q['ap']:.3f} / {q['ap50']:.3f}" for q in low]
    row("AP / AP50, all sources (boxes partly the teachers' own)", every)
    coco = [f"{q['coco_val2017_dev_ap']:.3f} / {q['coco_val2017_dev_ap50']:.3f}" for q in low]
    row("AP / AP50, COCO pictures", coco, TEACHERS)
    for name, score in scores.items():
        quality = [detector_quality(one, score) for one in judged]
        recalls = [", ".join(f"{q[f'{source}_recall']:.3f}" for source in SOURCES) for q in quality]
        row(f"recall at IoU 0.5 and score {score:g} ({name}): {', '.join(SOURCES.values())}", recalls)
        row(f"false alarms a picture at score {score:g}", [f"{q['false_alarms']:.2f}" for q in quality])


if __name__ == "__main__":
    main()
