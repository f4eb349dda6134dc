"""Speed of many videos on several workers: clips of a video, or a simulation with a pause in place of the networks.

python scripts/benchmarks/many.py VIDEO [--clips 20] [--frames 10] [--cases 1 2x1 2x2 ray2 kill2] [--preset default]
python scripts/benchmarks/many.py --simulate [--workers 1 2 4 8 16] [--videos 64] [--seconds 0.5]

A case is a number of workers (2), with the threads of each (2x1), on Ray (ray2), or with one worker killed in the middle of
its video (kill2). On a busy machine only the ratios of cases that ran one after another mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from posetrack_app.core.config import Config
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.jobs.track_many import Sharing, track_videos

_WITH_CORES = """
import sys
from posetrack_app.jobs.many import plan
cores = int(sys.argv.pop(1))
plan.usable_cores = lambda: cores
from posetrack_app.cli import main
main()
"""
"""The command on a machine that seems to have another number of cores, which the workers share out."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=10, help="of each clip")
    parser.add_argument("--cases", nargs="+", default=["1", "2"])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.5, help="pause for each simulated video")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.simulate:
            simulate(options, Path(folder))
        else:
            measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run each case on the same clips and print a table."""
    clips = cut_clips(options.video, folder, options.clips, options.frames)
    print(
        "| case | total s | sum of the videos' s | sum / total | frames per s | retries | states | same bytes |"
    )
    print("|---|---|---|---|---|---|---|---|")
    first: dict[str, bytes] = {}
    for case in options.cases:
        out = folder / f"out-{case}"
        total = run_case(case, clips, out, options.preset)
        lines = [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]
        files = {file.name: file.read_bytes() for file in out.glob("*.json") if ".run" not in file.name}
        first = first or files
        seconds, frames = sum(line["seconds"] for line in lines), sum(line["frames"] for line in lines)
        states = {
            state: sum(line["state"] == state for line in lines)
            for state in {line["state"] for line in lines}
        }
        same = sum(files[name] == first.get(name) for name in files)
        print(
            f"| {case} | {total:.1f} | {seconds:.1f} | {seconds / total:.2f} | {frames / total:.2f} "
            f"| {sum(line['retries'] for line in lines)} | {states} | {same} of {len(files)} |",
            flush=True,
        )


def cut_clips(video: Path, folder: Path, count: int, frames: int) -> list[Path]:
    """Clips of `frames` frames each, one after another; the first is three times as long."""
    clips = [folder / f"clip{number:02}.mp4" for number in range(count)]
    with av.open(str(video)) as source:
        images = (frame.to_ndarray(format="rgb24") for frame in source.decode(video=0))
        for number, clip in enumerate(clips):
            with av.open(str(clip), "w") as container:
                stream: Any = container.add_stream("libx264", rate=10)
                for index in range(frames * (3 if number == 0 else 1)):
                    image = next(images)
                    if index == 0:
                        stream.height, stream.width = image.shape[:2]
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
                container.mux(stream.encode(None))
    return clips


def run_case(case: str, clips: list[Path], out: Path, preset: str) -> float:
    """Seconds of the command from start to end."""
    match = re.fullmatch(r"(ray|kill)?(\d+)(?:x(\d+))?", case)
    if match is None:
        raise SystemExit(f"{case} is not a case; see --help")
    kind, workers, threads = match.groups()
    start = ["-c", _WITH_CORES, str(int(workers) * int(threads))] if threads else ["-m", "posetrack_app"]
    command = [sys.executable, *start, "run", *map(str, clips), "--out-dir", str(out)]
    command += ["--device", "cpu", "--preset", preset, "--workers", workers, "--quiet"]
    command += ["--ray", "local"] if kind == "ray" else []
    began = time.perf_counter()
    process = subprocess.Popen(command)
    if kind == "kill":
        kill_a_worker(process, out)
    if process.wait():
        raise SystemExit(f"case {case} failed")
    return time.perf_counter() - began


def kill_a_worker(run: subprocess.Popen[bytes], out: Path) -> None:
    """Kill -9 a worker process as soon as the first, longest video has stored some outputs."""
    journal = out / "clip00.resume"
    while not journal.exists() or journal.stat().st_size < 4000:
        if run.poll() is not None:
            raise SystemExit(
                "the first clip was finished before its worker could be killed; give --frames 10"
            )
        time.sleep(0.05)
    children = subprocess.run(
        ["ps", "--ppid", str(run.pid), "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    workers = [line.split()[0] for line in children.stdout.splitlines() if "spawn_main" in line]
    os.kill(int(workers[0]), signal.SIGKILL)


class Pause:
    """A detector that finds nobody and takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, images: Any, /) -> list[tuple[Any, Any]]:
        time.sleep(self._seconds)
        return [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in images]


def nobody(images: Any, boxes: Any, /) -> PoseArrays:
    return np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 0))


def pausing_networks(config: Config, device: str, *, seconds: float) -> Networks:
    """Networks that pause once for each video of one image."""
    facts = {"detector": {"sha256": "0"}, "pose": {"sha256": "0"}}
    return Networks(Pause(seconds), nobody, POSETRACK, "cpu", "float32", facts)


def simulate(options: argparse.Namespace, folder: Path) -> None:
    """Print what is lost beside the pauses, for each number of workers; the start of the workers does not count."""
    sources = []
    for number in range(options.videos):
        (folder / f"v{number}").mkdir()
        cv2.imwrite(str(folder / f"v{number}" / "0.png"), np.zeros((64, 64, 3), np.uint8))
        sources.append(str(folder / f"v{number}"))
    print("| workers | seconds | ideal | overhead of a video, ms |\n|---|---|---|---|")
    for workers in options.workers:
        # The time from the first to the last outcome.
        times: list[float] = []

        def note(board: Any, times: list[float] = times) -> None:
            while len(times) < board.finished:
                times.append(time.perf_counter())

        track_videos(
            sources,
            folder / f"out{workers}",
            config=Config(),
            sharing=Sharing(workers=workers, devices=["cpu"]),
            load=partial(pausing_networks, seconds=options.seconds),
            show=note,
        )
        late = sorted(times)[workers:]  # while all workers are ready
        taken = late[-1] - times[workers - 1]
        ideal = len(late) * options.seconds / workers
        print(
            f"| {workers} | {taken:.2f} | {ideal:.2f} | {1000 * (taken - ideal) * workers / len(late):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
