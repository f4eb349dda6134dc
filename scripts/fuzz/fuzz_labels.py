"""COCO and MPII ground truth and training labels for scripts/fuzz/fuzz.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fuzz_damage import Random, damaged_file
from fuzz_judge import FaultError, posetrack

from posetrack_app.core.errors import InputError
from posetrack_app.core.skeletons import COCO
from posetrack_app.models.training.coco_labels import read_coco
from posetrack_app.models.training.posetrack_labels import read_posetrack

_PEOPLE = 4
_WIDTH, _HEIGHT = 96, 64


class LabelCases:
    """COCO and MPII files for `evaluate`; COCO and PoseTrack18 labels for the readers of `train`."""

    def __init__(self, folder: Path) -> None:
        self.images = folder / "images"
        self.images.mkdir()
        for k in (1, 2):
            cv2.imwrite(str(self.images / f"{k}.png"), np.full((_HEIGHT, _WIDTH, 3), 60 * k, dtype=np.uint8))
        self.truth, self.results = _coco(crowded=False)
        self.crowded, _ = _coco(crowded=True)
        random = np.random.default_rng(0)
        self.mpii: dict[str, Any] = {
            "gt": random.uniform(0, 200, (3, 16, 2)).tolist(),
            "joint_missing": random.integers(0, 2, (3, 16)).tolist(),
            "head_box_x1y1x2y2": [[10, 10, 40, 50]] * 3,
        }
        self.mpii_results: dict[str, Any] = {"pred": random.uniform(0, 200, (3, 16, 2)).tolist()}

    def run(self, random: Random, folder: Path) -> None:
        kind = random.choice(["coco", "crowdpose", "mpii", "train", "train", "posetrack18"])
        if kind in ("train", "posetrack18"):
            self._read(str(kind), random, folder)
            return
        pairs = {"coco": (self.truth, self.results), "crowdpose": (self.crowded, self.results)}
        pair = pairs.get(str(kind), (self.mpii, self.mpii_results))
        damaged = int(random.integers(2))
        for k, (content, name) in enumerate(zip(pair, ("truth.json", "results.json"), strict=True)):
            (folder / name).write_bytes(
                damaged_file(content, random) if k == damaged else json.dumps(content).encode()
            )
        posetrack("evaluate", folder / "truth.json", folder / "results.json", "--json", folder / "out.json")

    def _read(self, kind: str, random: Random, folder: Path) -> None:
        data = damaged_file(self.truth, random)
        try:
            if kind == "train":
                (folder / "truth.json").write_bytes(data)
                images = read_coco(folder / "truth.json", self.images)
            else:
                annotations = folder / "annotations" / "train"
                annotations.mkdir(parents=True)
                (annotations / "truth.json").write_bytes(data)
                images = read_posetrack(folder, "train")
        except InputError as error:
            if "\n" in str(error):
                raise FaultError(f"not one line of error: {str(error)!r}") from error
            return
        for image in images:
            for person in image.people:
                numbers = (person.box, person.keypoints, person.weights)
                if not all(np.isfinite(values).all() for values in numbers):
                    raise FaultError("read labels that are not finite numbers")


def _coco(*, crowded: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth with four people in two images, and results for it."""
    random = np.random.default_rng(1)
    images: list[dict[str, Any]] = [
        {"id": k, "file_name": f"{k}.png", "width": _WIDTH, "height": _HEIGHT} for k in (1, 2)
    ]
    if crowded:
        for image in images:
            image["crowdIndex"] = 0.3
    annotations, results = [], []
    for k in range(_PEOPLE):
        points = np.concatenate([random.uniform(5, 60, (17, 2)), random.integers(0, 3, (17, 1))], axis=1)
        person = {"image_id": 1 + k % 2, "category_id": 1, "keypoints": points.ravel().tolist()}
        annotations.append(
            {"id": k + 1, **person, "bbox": [5, 5, 55, 55], "area": 1500.0, "iscrowd": 0, "num_keypoints": 9}
        )
        results.append({**person, "score": 0.5 + 0.1 * k})
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}]
    return {"images": images, "annotations": annotations, "categories": categories}, results
