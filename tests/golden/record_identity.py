"""Record IDF1, IDP and IDR of keypoints as TrackEval gives them: the numbers in eval/identity.json.

pip install trackeval && PYTHONPATH=.:detectors:trackers:tests python -m golden.record_identity

TrackEval counts one class of objects at a time, so each joint is a class, with the similarity 1 within half a head size
and 0 beyond. The frames and keypoints are those of protocol corrected.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.evaluation.posetrack.pairing import read_pairs
from posetrack_app.evaluation.posetrack.protocols import CORRECTED
from posetrack_app.evaluation.posetrack.scene import JOINTS, People, Scene, build_scene

FOLDER = Path(__file__).parent / "eval"
RECORDED = FOLDER / "identity.json"


def main() -> None:
    """Write the file again, for every set that it has."""
    from trackeval.metrics import Identity

    metric = Identity({"THRESHOLD": 0.5, "PRINT_CONFIG": False})
    recorded = {}
    for name in json.loads(RECORDED.read_text()):
        pairs = read_pairs(FOLDER / name / "gt", FOLDER / name / "pred")
        joints: list[dict[str, float]] = []
        for joint in range(JOINTS):
            videos = {
                pair.truth.name: metric.eval_sequence(_data(build_scene([pair], CORRECTED), joint))
                for pair in pairs
            }
            total = metric.combine_sequences(videos)
            joints.append({key: float(total[key]) for key in ("IDTP", "IDFN", "IDFP", "IDF1", "IDP", "IDR")})
        recorded[name] = joints
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")


def _data(scene: Scene, joint: int) -> dict[str, Any]:
    """One video in TrackEval's terms."""
    data: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for frame in range(len(scene.frame_video)):
        t, p = (
            np.flatnonzero((s.frame == frame) & s.present[:, joint]) for s in (scene.truth, scene.predicted)
        )
        offset = scene.truth.keypoints[t, None, joint] - scene.predicted.keypoints[None, p, joint]
        distance = np.sqrt((offset**2).sum(axis=2)) / scene.truth.head_sizes[t][:, None]
        data["gt_ids"].append(scene.truth.track[t])
        data["tracker_ids"].append(scene.predicted.track[p])
        data["similarity_scores"].append((distance <= 0.5).astype(float))
    for side, people in (("gt", scene.truth), ("tracker", scene.predicted)):
        data[f"num_{side}_ids"] = len(people.track_ids)
        data[f"num_{side}_dets"] = _count(people, joint)
    return data


def _count(people: People, joint: int) -> int:
    return int(people.present[:, joint].sum())


if __name__ == "__main__":
    main()
