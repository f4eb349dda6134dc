"""A COCO set of a few drawn people, small enough to train on in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posetrack_app.core.skeletons import COCO

HEIGHT, WIDTH = 120, 160


def write_coco_set(folder: Path, pictures: int = 6, **changes: Any) -> Path:
    """labels.json and images/ with one or two people a picture; `changes` replace parts of the labels."""
    rng = np.random.default_rng(3)
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k in range(pictures):
        image = rng.integers(0, 80, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        images.append({"id": k, "file_name": f"{k:03}.png", "height": HEIGHT, "width": WIDTH})
        for _ in range(1 + k % 2):
            x, y = rng.uniform(5, WIDTH - 65), rng.uniform(2, HEIGHT - 105)
            points = np.column_stack([rng.uniform(x, x + 50, 17), rng.uniform(y, y + 100, 17)]).round(1)
            for i, (px, py) in enumerate(points.astype(int).tolist()):
                cv2.circle(image, (px, py), 3, (255, 14 * i, 255 - 14 * i), -1)
            flags = np.where(np.arange(17) == 3, 0, np.where(np.arange(17) == 4, 1, 2))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": k,
                    "category_id": 1,
                    "bbox": [round(x, 1), round(y, 1), 50, 100],
                    "iscrowd": 0,
                    "num_keypoints": 16,
                    "keypoints": np.column_stack([points * (flags > 0)[:, None], flags]).ravel().tolist(),
                }
            )
        cv2.imwrite(str(folder / "images" / f"{k:03}.png"), image)
    labels: dict[str, Any] = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}],
    }
    file = folder / "labels.json"
    file.write_text(json.dumps({**labels, **changes}))
    return file
