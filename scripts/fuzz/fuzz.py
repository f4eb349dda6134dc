"""Damage videos, JSON, TOML, weight files and labels a thousand times each, and check how posetrack handles them.

python scripts/fuzz/fuzz.py [video json toml checkpoint labels] [--count 1000] [--seed 0] [--seconds 600]

Correct is a result, or one line of error with exit code 2. A fault is a traceback, a crash, a hang, a result that
posetrack itself cannot read, the loss of an earlier output, or a temporary file that is left behind. Cases run in a
separate process, because FFmpeg and unpickling are native code. If that process dies or hangs, the case is a fault and
the next one starts in a new process. Case K of seed S is always the same; --only K runs it alone, with its traceback.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_judge import FaultError
from fuzz_labels import LabelCases
from fuzz_text import JsonCases, TomlCases
from fuzz_video import VideoCases
from fuzz_weights import CheckpointCases

HANG_SECONDS = 60.0
"""A case without a result after this time is a fault; ordinary ones take well under a second."""

SUBJECTS: dict[str, Callable[[Path], Any]] = {
    "video": VideoCases,
    "json": JsonCases,
    "toml": TomlCases,
    "checkpoint": CheckpointCases,
    "labels": LabelCases,
}


def work(subject: str, seed: int, cases: range, show: bool = False) -> None:
    """Run cases and print a line of JSON before and after each."""
    with tempfile.TemporaryDirectory(prefix="posetrack-fuzz-") as base:
        subject_cases = SUBJECTS[subject](Path(base))
        for number in cases:
            print(json.dumps({"case": number}), flush=True)
            random = np.random.default_rng([seed, list(SUBJECTS).index(subject), number])
            problem = ""
            with tempfile.TemporaryDirectory(dir=base) as folder:
                try:
                    subject_cases.run(random, Path(folder))
                except FaultError as fault:
                    problem = str(fault)
                except Exception as error:
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    problem = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                    if show:
                        traceback.print_exc()
            print(json.dumps({"case": number, "problem": problem}), flush=True)


def watch(subject: str, seed: int, count: int, until: float) -> tuple[int, list[tuple[int, str]]]:
    """Run `count` cases in other processes, at most until the clock shows `until`; the number of cases, and the faults."""
    faults: list[tuple[int, str]] = []
    done = 0
    while done < count and time.monotonic() < until:
        command = [sys.executable, __file__, subject, "--seed", str(seed), "--work", str(done), str(count)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as worker:
            assert worker.stdout is not None
            lines: queue.Queue[str] = queue.Queue()
            threading.Thread(target=_forward, args=(worker.stdout, lines), daemon=True).start()
            current = -1
            while time.monotonic() < until:
                try:
                    line = lines.get(timeout=HANG_SECONDS)
                except queue.Empty:
                    worker.kill()
                    faults.append((max(current, done), f"no result for {HANG_SECONDS:.0f} s"))
                    done = max(current, done) + 1
                    break
                if not line:  # the end of the process
                    if done < count:
                        faults.append((max(current, done), f"the process died with code {worker.wait()}"))
                        done = max(current, done) + 1
                    break
                result = json.loads(line)
                current = result["case"]
                if "problem" in result:
                    done = current + 1
                    if result["problem"]:
                        faults.append((current, result["problem"]))
            worker.kill()
    return done, faults


def _forward(stream: Any, lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "subjects", nargs="*", choices=[*SUBJECTS, []], metavar="SUBJECT", help=", ".join(SUBJECTS)
    )
    parser.add_argument("--count", type=int, default=1000, help="cases of each subject")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600, help="time limit for each subject")
    parser.add_argument("--only", type=int, metavar="K", help="run one case here, with its traceback")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    subjects = options.subjects or list(SUBJECTS)
    if options.work or options.only is not None:
        cases = range(*options.work) if options.work else range(options.only, options.only + 1)
        work(subjects[0], options.seed, cases, show=options.only is not None)
        return 0
    bad = 0
    for subject in subjects:
        began = time.monotonic()
        done, faults = watch(subject, options.seed, options.count, began + options.seconds)
        print(f"{subject}: {done} cases, {len(faults)} faults, {time.monotonic() - began:.0f} s", flush=True)
        for number, problem in faults:
            print(f"  case {number} of seed {options.seed}: {problem}")
        bad += len(faults)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
