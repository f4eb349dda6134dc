"""CPU seconds of one trial of `posetrack tune`, and where they go, on a made set.

python scripts/benchmarks/tune.py [VIDEOS [FRAMES [TRIALS]]]

With TRIALS, also the whole search. `write_set` makes the set, which tests use too.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tracking_sets import SCORED, Video, Walkers, make_video

from posetrack_app.core.config import Config
from posetrack_app.core.records import FrameInfo, Poses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.pose_store import PosesInFrame, write_pose_store

_SETTINGS = (
    Walkers(people=6),
    Walkers(people=10, miss=0.2, false_positives=0.8),
    Walkers(people=8, noise=0.04, keypoint_score=0.4, miss=0.1),
)


def main(arguments: list[str]) -> int:
    """Print the CPU seconds of a trial, its slowest functions, and the time of a search."""
    videos, frames, trials = (
        int(arguments[k]) if len(arguments) > k else default for k, default in enumerate((50, 100, 0))
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_set(folder, videos, frames)
        _time_one_trial(folder)
        if trials:
            from posetrack_app.jobs.tune.tune import tune

            started = time.perf_counter()
            print(tune(folder / "gt", folder / "benchmark", folder / "tuned.toml", trials=trials).summary())
            print(f"{trials} trials: {time.perf_counter() - started:.0f} s")
            print((folder / "tuned.toml").read_text())
    return 0


def _time_one_trial(folder: Path) -> None:
    from posetrack_app.jobs.tune.tune import _Task

    for objective in ("MOTA", "HOTA", "mAP"):
        started = time.process_time()
        problem, _ = _Task(folder / "gt", folder / "benchmark", None, objective, "corrected", 4, 0).prepare()
        read = time.process_time()
        parts = [problem.parts(problem.config, group) for group in range(len(problem.groups))]
        print(
            f"{objective}: {problem.value(parts):.2f}; reading {read - started:.2f} s, "
            f"one trial {time.process_time() - read:.2f} s of CPU"
        )
    profile = cProfile.Profile()
    profile.runcall(lambda: [problem.parts(problem.config, group) for group in range(len(problem.groups))])
    pstats.Stats(profile).sort_stats("tottime").print_stats(14)


def write_set(folder: Path, videos: int, frames: int, config: Config | None = None) -> None:
    """`folder`/gt with annotations, and `folder`/benchmark/poses as a benchmark stores them; walkers of three kinds."""
    config = config or replace(
        Config(), tracker=replace(Config().tracker, high_score=0.5, low_score=0.35), camera_motion=False
    )
    made_with = {"config": config.as_dict(), "lowest_score": 0.1, "gt_boxes": False, "weights": {}}
    for side in (folder / "gt", folder / "benchmark" / "poses"):
        side.mkdir(parents=True, exist_ok=True)
    for number in range(videos):
        setting = replace(_SETTINGS[number % len(_SETTINGS)], frames=frames)
        video = make_video(f"{number:06d}_mpii_test", setting, np.random.default_rng([7, number]))
        (folder / "gt" / f"{video.name}.json").write_text(json.dumps(_annotations(video)))
        stored = [
            PosesInFrame(FrameInfo(k, second, (1280, 720)), _seventeen(poses))
            for k, (second, poses) in enumerate(zip(video.seconds, video.poses, strict=True))
        ]
        write_pose_store(folder / "benchmark" / "poses" / f"{video.name}.npz", made_with, stored)


def _seventeen(poses: Poses) -> Poses:
    """The 15 keypoints of the made videos among the 17 of PoseTrack18; the ears are missing. Highest scores first."""
    count = len(poses)
    keypoints, scores = np.zeros((count, 17, 2)), np.zeros((count, 17))
    keypoints[:, SCORED], scores[:, SCORED] = poses.keypoints, poses.keypoint_scores
    wider = replace(
        poses, keypoints=keypoints, keypoint_scores=scores, keypoint_origins=np.zeros((count, 17), np.int8)
    )
    order = np.argsort(-poses.scores, kind="stable")
    return wider[order[poses.scores[order] >= 0.1]]


def _annotations(video: Video) -> dict[str, object]:
    images: list[dict[str, object]] = []
    people: list[dict[str, object]] = []
    for frame, truth in enumerate(video.truth):
        images.append(
            {"id": frame + 1, "file_name": f"images/val/{video.name}/{frame:06d}.jpg", "is_labeled": True}
        )
        for number, keypoints, present in (
            zip(truth.ids, truth.keypoints, truth.present, strict=True) if truth else ()
        ):
            triples = np.zeros((17, 3))
            triples[SCORED] = np.append(keypoints, present[:, None], axis=1) * present[:, None]
            # The last three of the 15 are head_bottom, nose and head_top; a head is 0.16 of a body high.
            size = float(keypoints[12, 1] - keypoints[14, 1])
            head = [float(keypoints[14, 0]) - size / 2, float(keypoints[14, 1]), size, size]
            people.append(
                {"id": len(people) + 1, "image_id": frame + 1, "track_id": int(number), "category_id": 1,
                 "bbox_head": head, "keypoints": triples.ravel().tolist()}
            )  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK.keypoints)}
    return {"images": images, "annotations": people, "categories": [category]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
