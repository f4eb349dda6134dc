"""CPU seconds and memory of scoring AP and MOTA, and how they grow with videos, people and frames.

python scripts/benchmarks/evaluate.py [DIR]

Scores DIR/pred against DIR/gt, then generated sets with twice the videos, people or frames. "command" is the complete
`posetrack evaluate --protocol poseval`, from the start of Python to its end; "report" the same with `--report`, which
also analyses errors and draws 1,000 resamples. The last set has as many sequences as the validation split of PoseTrack18.

`../shared/goldens/eval/gen.py timing --out DIR` writes the timing set; poseval needs 36.9 CPU seconds and 495 MB for it.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from posetrack_app.core.skeletons import POSETRACK

_ONE = "--one"


def main(arguments: list[str]) -> int:
    """Print one line per set. Each set is scored in a separate process."""
    if arguments[:1] == [_ONE]:
        print(json.dumps(time_one(Path(arguments[1]))))
        return 0
    print(f"{'set':36} {'reading':>8} {'scoring':>8} {'start':>7} {'memory':>8} {'command':>8} {'report':>8}")
    if arguments:
        _line(f"{arguments[0]}", Path(arguments[0]))
    for name, videos, people, frames in (
        ("10 videos x 5 people x 100 frames", 10, 5, 100),
        ("20 videos", 20, 5, 100),
        ("10 people", 10, 10, 100),
        ("200 frames", 10, 5, 200),
        ("170 videos x 4 people x 30 frames", 170, 4, 30),
    ):
        with tempfile.TemporaryDirectory() as folder:
            write_set(Path(folder), videos, people, frames)
            _line(name, Path(folder))
    return 0


def _line(name: str, folder: Path) -> None:
    command = [sys.executable, __file__, _ONE, str(folder)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
    best = min(runs, key=lambda run: float(run["reading"] + run["scoring"]))
    with tempfile.TemporaryDirectory() as temporary:
        plain, report = (
            min(_command_seconds(folder, options) for _ in range(3))
            for options in ([], ["--report", f"{temporary}/report.html"])
        )
    print(
        f"{name[-36:]:36} {best['reading']:6.2f} s {best['scoring']:6.2f} s {best['start']:5.2f} s"
        f" {best['megabytes']:5.0f} MB {plain:6.2f} s {report:6.2f} s",
        flush=True,
    )


def _command_seconds(folder: Path, options: list[str]) -> float:
    """CPU seconds of the complete command, in user and kernel mode."""
    command = ["-m", "posetrack_app", "evaluate", str(folder / "gt"), str(folder / "pred")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [sys.executable, *command, "--protocol", "poseval", *options]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def time_one(folder: Path) -> dict[str, float]:
    """CPU seconds of the start (imports), of reading the JSON files, and of AP and MOTA; peak memory."""
    from posetrack_app.evaluation.posetrack.average_precision import joint_scores, rank_joints
    from posetrack_app.evaluation.posetrack.clear_mot import count_events
    from posetrack_app.evaluation.posetrack.pairing import read_pairs
    from posetrack_app.evaluation.posetrack.protocols import POSEVAL
    from posetrack_app.evaluation.posetrack.scene import build_scene, find_candidates
    from posetrack_app.evaluation.report.tables import summed_mot_scores

    started = time.process_time()
    pairs = read_pairs(folder / "gt", folder / "pred")
    read = time.process_time()
    scene = build_scene(pairs, POSEVAL)
    candidates = find_candidates(scene, 0.5)
    joint_scores(rank_joints(scene, candidates))
    summed_mot_scores(count_events(scene, candidates, POSEVAL))
    return {
        "start": started,
        "reading": read - started,
        "scoring": time.process_time() - read,
        "megabytes": peak_megabytes(),
    }


def peak_megabytes() -> float:
    """Peak memory of this process; getrusage would include the parent process."""
    kilobytes = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes.group(1)) / 1024 if kilobytes else float("nan")


def write_set(folder: Path, videos: int, people: int, frames: int) -> None:
    """Random walks as ground truth, and noisy predictions with some id switches."""
    rng = np.random.default_rng(0)
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK.keypoints)}
    shape = rng.uniform(-1, 1, (17, 2)) * (60, 150)
    for video in range(videos):
        positions = rng.uniform(100, 900, (people, 2)) + rng.normal(0, 3, (frames, people, 2)).cumsum(axis=0)
        images = [{"id": k, "file_name": f"images/{video:06d}_mpii/{k:06d}.jpg"} for k in range(frames)]
        for side, noise in (("gt", 0.0), ("pred", 8.0)):
            points = positions[:, :, None] + shape + rng.normal(0, noise, (frames, people, 17, 2))
            keypoints = np.concatenate([points.round(3), np.ones((frames, people, 17, 1))], axis=3)
            annotations = [
                {
                    "image_id": k,
                    "track_id": int((p + (side == "pred" and rng.random() < 0.02)) % people),
                    "keypoints": keypoints[k, p].reshape(-1).tolist(),
                    "scores": rng.random(17).round(5).tolist(),
                    "bbox_head": [0, 0, 30, 40],
                }
                for k in range(frames)
                for p in range(people)
            ]
            _drop_repeated_ids(annotations)
            target = folder / side / f"{video:06d}_mpii.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(
                json.dumps({"images": images, "annotations": annotations, "categories": [category]})
            )


def _drop_repeated_ids(annotations: list[dict[str, object]]) -> None:
    """Keep the last person of each id in a frame."""
    seen: set[tuple[object, object]] = set()
    for k in range(len(annotations) - 1, -1, -1):
        key = (annotations[k]["image_id"], annotations[k]["track_id"])
        if key in seen:
            del annotations[k]
        seen.add(key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
