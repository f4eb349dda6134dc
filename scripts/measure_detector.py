"""Measure a person detector on the dev split: AP and AP50 as COCO defines them, recall of every source.

python scripts/measure_detector.py --data ../shared/data/train [--weights FILE.safetensors]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from posetrack_detectors.person_detector import PersonDetector
from training_data import PictureStore

Array = NDArray[Any]
THRESHOLDS = np.arange(0.5, 0.96, 0.05)
SOURCES = {"lspet": "lspet", "inria_person": "inria", "pennfudan": "pennfudan", "coco_val2017_dev": "coco"}
CONFIDENT = 0.3
"""Score from which a detection counts for recall and false alarms."""


def overlaps(found: Array, boxes: Array, *, of_found: bool = False) -> Array:
    """(N, M) IoU of boxes (N, 4) and (M, 4), or the share of each found box that lies inside the other."""
    corner = np.maximum(found[:, None, :2], boxes[None, :, :2])
    shared = (np.minimum(found[:, None, 2:], boxes[None, :, 2:]) - corner).clip(0).prod(axis=2)
    area = (found[:, 2:] - found[:, :2]).prod(axis=1)[:, None]
    total = area if of_found else area + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    return np.asarray(shared / np.maximum(total, 1e-9))


def judge(found: Array, boxes: Array, ignore: Array) -> tuple[Array, Array]:
    """For each threshold and each found box (best first): right (T, N) bool, and to be left out (T, N) bool.

    COCO's matching: each detection takes the free person it overlaps best; unmatched ones that lie in an ignored
    box, by the share of the detection, count neither way.
    """
    right = np.zeros((len(THRESHOLDS), len(found)), dtype=bool)
    iou = overlaps(found, boxes)
    covered = overlaps(found, ignore, of_found=True).max(axis=1, initial=0.0)
    for t, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(boxes), dtype=bool)
        for i in range(len(found)):
            candidates = np.where(free, iou[i], -1.0)
            if len(boxes) and candidates.max() >= threshold:
                right[t, i] = True
                free[candidates.argmax()] = False
    return right, ~right & (covered >= THRESHOLDS[:, None])


def average_precision(scores: Array, right: Array, people: int) -> float:
    """Area under the precision-recall curve, precision taken at 101 recalls and never below a later one."""
    order = np.argsort(-scores, kind="stable")
    hits = right[order].cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(hits / max(people, 1), np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(hits))].mean())


def measure(detector: PersonDetector, store: PictureStore, *, every: int = 1) -> dict[str, float]:
    """AP, AP50 over all pictures and over COCO's; recall at IoU 0.5 by source; `every` takes each n-th picture.

    Recall and false alarms a picture count detections of score 0.3 and more.
    """
    chosen = store.pictures[::every] if every > 1 else store.pictures
    scores, right, left_out, people, sources = [], [], [], [], []
    for picture in chosen:
        [(boxes, score)] = detector([store.image(picture["id"])])
        persons, ignore = store.boxes(picture["id"])
        hits, neither = judge(boxes, persons, ignore)
        scores.append(score)
        right.append(hits)
        left_out.append(neither)
        people.append(len(persons))
        sources.append(picture["source"])

    def precision(rows: list[int]) -> tuple[float, float]:
        all_scores, count = np.concatenate([scores[i] for i in rows]), sum(people[i] for i in rows)
        hits = np.concatenate([right[i] for i in rows], axis=1)
        counted = ~np.concatenate([left_out[i] for i in rows], axis=1)
        values = [average_precision(all_scores[c], h[c], count) for h, c in zip(hits, counted, strict=True)]
        return round(float(np.mean(values)), 4), round(values[0], 4)

    everything = list(range(len(chosen)))
    result: dict[str, float] = {"pictures": len(chosen), "people": sum(people)}
    result["ap"], result["ap50"] = precision(everything)
    for source, name in SOURCES.items():
        rows = [i for i in everything if sources[i] == source]
        if name == "coco" and rows:
            result["coco_ap"], result["coco_ap50"] = precision(rows)
        hits = sum(int((right[i][0] & (scores[i] >= CONFIDENT)).sum()) for i in rows)
        result[f"{name}_recall"] = round(hits / max(1, sum(people[i] for i in rows)), 4)
    false = sum(int((~right[i][0] & ~left_out[i][0] & (scores[i] >= CONFIDENT)).sum()) for i in everything)
    result["false_alarms"] = round(false / max(1, len(chosen)), 4)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--weights", type=Path, help="default: the embedded weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    from posetrack_detectors.faster_rcnn import COMPACT, FasterRCNN
    from safetensors.torch import load_file

    network = FasterRCNN(COMPACT)
    embedded = Path(__file__).parents[1] / "posetrack_app/embedded/detector.safetensors"
    weights = load_file(options.weights or embedded)
    network.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    detector = PersonDetector(network, options.device, options.dtype)
    print(json.dumps(measure(detector, PictureStore(options.data, "dev", options.cache))))


if __name__ == "__main__":
    main()
