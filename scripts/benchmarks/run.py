"""Time per stage and memory of a run.

python scripts/benchmarks/run.py VIDEO [--device cpu] [--preset default] [--stop SECONDS] [--precision float32 int8]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from posetrack_app.core.config import load_config
from posetrack_app.jobs.track import track_video


def resident_megabytes() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--stop", type=float)
    parser.add_argument("--precision", nargs="+", default=["auto"], help="one run for each, in this order")
    options = parser.parse_args()
    for precision in options.precision:
        print(f"\n{precision}:")
        measure(options, precision)


def measure(options: argparse.Namespace, precision: str) -> None:
    """Run once, and print times and memory."""
    memory: list[float] = []
    times: list[float] = []

    def record(done: int, expected: int | None, people: int) -> None:
        memory.append(resident_megabytes())
        times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        report = track_video(
            options.video,
            Path(folder) / "tracks.json",
            config=replace(load_config(options.preset), precision=precision),
            device=options.device,
            stop=options.stop,
            progress=record,
        )
    print(report.summary())
    print(f"{'stage':8} {'seconds':>8} {'ms a frame':>10} {'share':>6}")
    total = sum(report.stage_seconds.values())
    for name, seconds in report.stage_seconds.items():
        print(f"{name:8} {seconds:8.2f} {1000 * seconds / report.frames:10.1f} {seconds / total:6.0%}")
    # Frames are processed in groups, so the gap between two frames is mostly the gap inside a group.
    gaps = [(b - a) / 16 for a, b in zip(times[::16], times[16::16], strict=False)]
    if gaps:
        steady = 1 / statistics.median(gaps)
        print(f"frames a second: {report.frames / report.seconds:.2f}, median of 16 at a time {steady:.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    early, late = memory[min(100, len(memory) - 1)], memory[-1]
    print(f"memory: {early:.0f} MB at frame 100, {late:.0f} MB at the end, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
