"""What several runs at once on the same cores cost: with PyTorch's usual waiting, with ours, with a thread for each.

python scripts/benchmark_together.py VIDEO [--runs 2] [--seconds 12] [--rounds 3]

Linux: `posetrack` sets GOMP_SPINCOUNT where nobody has, and 300000 is what libgomp takes otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SETTINGS: dict[str, dict[str, str]] = {
    "PyTorch's own": {"GOMP_SPINCOUNT": "300000"},
    "posetrack's": {},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}


def rates(video: Path, runs: int, seconds: float, setting: dict[str, str]) -> list[float]:
    """Frames a second of each of `runs` that go on at the same time, without loading the networks."""
    of_threads = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in of_threads} | setting
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / f"{k}.json" for k in range(runs)]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "posetrack_app", "run", str(video), "--stop", str(seconds), "--device",
                 "cpu", "--out", str(out)],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for out in outs
        ]  # fmt: skip
        if any(process.wait() for process in started):
            raise SystemExit(f"a run of {video} failed; try it alone")
        facts = [json.loads(out.with_suffix(".run.json").read_text()) for out in outs]
    return [fact["frames"] / fact["seconds"] for fact in facts]


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("video", type=Path)
    made.add_argument("--runs", type=int, default=2)
    made.add_argument("--seconds", type=float, default=12.0)
    made.add_argument("--rounds", type=int, default=3)
    options = made.parse_args()
    counts = sorted({1, options.runs})
    found: dict[tuple[int, str], list[float]] = {(n, name): [] for n in counts for name in SETTINGS}
    for _ in range(options.rounds):
        for (runs, name), values in found.items():
            values += rates(options.video, runs, options.seconds, SETTINGS[name])
    print(f"| runs at once | {' | '.join(SETTINGS)} |\n|---|{'---|' * len(SETTINGS)}")
    for runs in counts:
        shown = " | ".join(f"{median(found[runs, name]):.1f}" for name in SETTINGS)
        print(f"| {runs} | {shown} |")
    print("\nframes a second of each run, medians")


if __name__ == "__main__":
    main()
