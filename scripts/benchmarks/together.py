"""Speed of several runs on the same cores: with PyTorch's default waiting, with ours, and with one thread each.

python scripts/benchmarks/together.py VIDEO [--runs 2] [--seconds 12] [--rounds 3]

For Linux: `posetrack` sets GOMP_SPINCOUNT unless the user does; the default of libgomp is 300000.
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
    """Frames a second of each of `runs` simultaneous runs, without the time to load the networks."""
    thread_variables = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    environment = {
        name: value for name, value in os.environ.items() if name not in thread_variables
    } | setting
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
            raise SystemExit(f"a run of {video} failed; run it alone to see the error")
        facts = [json.loads(out.with_suffix(".run.json").read_text()) for out in outs]
    return [fact["frames"] / fact["seconds"] for fact in facts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    counts = sorted({1, options.runs})
    rates_by_case: dict[tuple[int, str], list[float]] = {(n, name): [] for n in counts for name in SETTINGS}
    for _ in range(options.rounds):
        for (runs, name), values in rates_by_case.items():
            values += rates(options.video, runs, options.seconds, SETTINGS[name])
    print(f"| simultaneous runs | {' | '.join(SETTINGS)} |\n|---|{'---|' * len(SETTINGS)}")
    for runs in counts:
        cells = " | ".join(f"{median(rates_by_case[runs, name]):.1f}" for name in SETTINGS)
        print(f"| {runs} | {cells} |")
    print("\nmedian frames a second of each run")


if __name__ == "__main__":
    main()
