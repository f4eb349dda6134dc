"""The embedded detector on the dev pictures: the table of the model card.

python scripts/measure_detector.py --data ../shared/data/train [--weights FILE.safetensors] [--short-side 384]
"""

from __future__ import annotations

from dev_pictures import LEAST_SCORE, dev_pictures, parser, person_detector
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
    judged = detect(person_detector(options, options.short_side), pictures, range(len(pictures)))
    scores = {"min_score": Config().detector.min_score, "confident": Config().tracker.confident}
    scores = {"every box that the network keeps": LEAST_SCORE} | scores
    low = detector_quality(judged, min(scores.values()))
    print(f"| net | measure on {low['pictures']} dev pictures | ours | teachers |\n|---|---|---|---|")
    print(
        "| detector | AP / AP50, all sources (boxes partly the teachers' own) "
        f"| {low['ap']:.3f} / {low['ap50']:.3f} | |"
    )
    print(
        "| detector | AP / AP50, COCO pictures "
        f"| {low['coco_val2017_dev_ap']:.3f} / {low['coco_val2017_dev_ap50']:.3f} | {TEACHERS} |"
    )
    for name, score in scores.items():
        quality = detector_quality(judged, score)
        recalls = ", ".join(f"{quality[f'{source}_recall']:.3f}" for source in SOURCES)
        print(
            f"| detector | recall at IoU 0.5 and score {score:g} ({name}): {', '.join(SOURCES.values())} | {recalls} | |"
        )
        print(f"| detector | false alarms a picture at score {score:g} | {quality['false_alarms']:.2f} | |")


if __name__ == "__main__":
    main()
