"""Draw docs/overlay.png: an overlay on a generated scene, so that the README needs no footage of real people.

python scripts/make_readme_image.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from posetrack_app.core.records import Detections, FloatArray
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.draw import draw_poses

WIDTH, HEIGHT = 960, 420

# A walking person who faces the viewer, in body heights: x to the right, y down from the top of the head.
STANDING = {
    "nose": (0.0, 0.07), "head_bottom": (0.0, 0.16), "head_top": (0.0, 0.0), "left_ear": (0.045, 0.07),
    "right_ear": (-0.045, 0.07), "left_shoulder": (0.11, 0.19), "right_shoulder": (-0.11, 0.19),
    "left_elbow": (0.15, 0.35), "right_elbow": (-0.15, 0.35), "left_wrist": (0.15, 0.49), "right_wrist": (-0.15, 0.49),
    "left_hip": (0.07, 0.51), "right_hip": (-0.07, 0.51), "left_knee": (0.07, 0.74), "right_knee": (-0.07, 0.74),
    "left_ankle": (0.07, 0.96), "right_ankle": (-0.07, 0.96),
}  # fmt: skip


def walker(foot: tuple[float, float], size: float, phase: float) -> FloatArray:
    """(17, 2) keypoints of a person `size` pixels tall at `foot`, in a `phase` of the step."""
    points = np.array([STANDING[name] for name in POSETRACK.keypoints])
    swing = 0.09 * np.sin(phase)
    for name, share in (("knee", 0.5), ("ankle", 1.2), ("wrist", -0.9), ("elbow", -0.4)):
        for side, sign in (("left", 1), ("right", -1)):
            points[POSETRACK.keypoints.index(f"{side}_{name}"), 0] += sign * share * swing
    return points * size + [foot[0], foot[1] - size]


def main() -> None:
    rows = np.linspace(0, 1, HEIGHT)[:, None, None]
    wall, floor = np.array([206, 214, 222]), np.array([150, 146, 140])
    image = (
        np.where(rows < 0.55, wall - 30 * rows, floor + 40 * (rows - 0.55))
        .repeat(WIDTH, axis=1)
        .astype(np.uint8)
    )
    people = [((110, 372), 270, 0.4), ((300, 330), 200, 1.7), ((395, 345), 215, -1.2), ((600, 400), 330, 2.2)]
    people += [((760, 310), 165, 0.9), ((870, 322), 180, -0.6)]
    keypoints = np.stack([walker(*person) for person in people])
    for (x, y), size, _ in people:
        cv2.ellipse(
            image, (int(x), int(y)), (int(size * 0.2), int(size * 0.035)), 0, 0, 360, (120, 116, 112), -1
        )
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    margin = 0.08 * (high - low)[:, 1:]
    scores = np.full(keypoints.shape[:2], 0.9)
    scores[2, 12:17:2] = 0.35  # hidden by the next person; keypoints with low scores are drawn faintly
    count = len(people)
    boxes = np.concatenate([low - margin, high + margin], axis=1)
    tracked = (
        Detections.detected(boxes, np.full(count, 0.9))
        .with_keypoints(keypoints, scores)
        .with_ids(np.arange(1, count + 1))
    )
    drawn = draw_poses(image, tracked, POSETRACK)
    target = Path(__file__).parents[1] / "docs" / "overlay.png"
    target.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(target), drawn[..., ::-1])


if __name__ == "__main__":
    main()
