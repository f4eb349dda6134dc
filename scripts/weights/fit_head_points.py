"""Measure where PoseTrack's head keypoints lie between those of COCO and MPII, over labelled people.

python scripts/weights/fit_head_points.py FOLDER_WITH_POSETRACK18_ANNOTATIONS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

NOSE, HEAD_BOTTOM, HEAD_TOP, LEFT_SHOULDER, RIGHT_SHOULDER = 0, 1, 2, 5, 6


def main() -> None:
    people = []
    for path in sorted(Path(sys.argv[1]).rglob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            people += [a["keypoints"] for a in content.get("annotations", []) if "keypoints" in a]
    keypoints = np.asarray(people, dtype=np.float64).reshape(-1, 17, 3)
    labelled = (keypoints[:, [NOSE, HEAD_BOTTOM, HEAD_TOP, LEFT_SHOULDER, RIGHT_SHOULDER], 2] > 0).all(axis=1)
    points = keypoints[labelled, :, :2]
    shoulders = (points[:, LEFT_SHOULDER] + points[:, RIGHT_SHOULDER]) / 2

    def median_share(start: np.ndarray, end: np.ndarray, between: np.ndarray) -> float:
        line = end - start
        return float(np.median(((between - start) * line).sum(axis=1) / (line**2).sum(axis=1)))

    print(f"{len(points)} people")
    for name, joint in (("head_bottom", HEAD_BOTTOM), ("head_top", HEAD_TOP)):
        share = median_share(shoulders, points[:, NOSE], points[:, joint])
        print(f"{name}, shoulders to nose: {share:.3f}")
    nose = median_share(points[:, HEAD_BOTTOM], points[:, HEAD_TOP], points[:, NOSE])
    print(f"nose, head_bottom to head_top: {nose:.3f}")


if __name__ == "__main__":
    main()
