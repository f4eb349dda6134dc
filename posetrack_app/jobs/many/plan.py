"""Before the first video: which part of the list is ours, in which order, on which workers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from posetrack_app.core.cores import usable_cores
from posetrack_app.core.errors import InputError
from posetrack_app.jobs.many.worker import Slot
from posetrack_app.models.devices import all_devices
from posetrack_app.video.folder import is_image
from posetrack_app.video.source_name import is_stream

_WORKER_BYTES = 3 << 29
"""1.5 GiB of main memory for a worker: with the default networks on 768x576 pixels its peak was 1.25 GiB."""
_BYTES_PER_FRAME = 30_000
"""Of a video file with 6 Mbit/s and 25 frames per second; makes an image folder comparable."""


def choose_part(text: str, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """("3/20") -> (3, 20): the third of 20 parts. "slurm" takes both numbers from a Slurm job array.

    InputError for another text, and for "slurm" outside of a job array.
    """
    if text == "slurm":
        return _slurm_part(environment)
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(
            f"'{text}' is not a part; give for example 3/20 for the third of 20 parts, or slurm",
            option="part",
        )
    return int(match[1]), int(match[2])


def _slurm_part(environment: Mapping[str, str]) -> tuple[int, int]:
    """From `#SBATCH --array=1-20` or any other range with a step; the numbers need not start at 1."""
    try:
        number, first, step, count = (
            int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "MIN", "STEP", "COUNT")
        )
    except (KeyError, ValueError) as error:
        raise InputError(
            "this is not a task of a Slurm job array (SLURM_ARRAY_TASK_ID, _MIN, _STEP and _COUNT are not set); "
            "start it with sbatch --array=1-20, or give the part as 3/20",
            option="part",
        ) from error
    part = (number - first) // step + 1
    if not 1 <= part <= count or (number - first) % step:
        raise InputError(
            f"the numbers of this Slurm array are a list with gaps (task {number} of {count} from {first}); use a range "
            "such as sbatch --array=1-20",
            option="part",
        )
    return part, count


def size_of(source: str) -> float:
    """About how long a video is, in bytes, without opening it; endless for a stream, which is started first."""
    if is_stream(source):
        return float("inf")
    path = Path(source)
    try:
        if path.is_dir():
            return float(_BYTES_PER_FRAME * sum(is_image(Path(entry.path)) for entry in os.scandir(path)))
        return float(path.stat().st_size)
    except OSError:
        return 0.0  # the error is reported when the video is opened


def choose_slots(workers: int | None, devices: Sequence[str], videos: int) -> list[Slot]:
    """The workers of this machine; `workers` None is as many as are fast, and never more than `videos`.

    Workers go round the `devices`, and workers on the CPU share the cores. Several workers on "auto" use every CUDA card.
    Automatic: one worker for each card, or on the CPU one for each core, as far as the memory reaches.
    """
    if workers is not None and workers < 1:
        raise InputError(f"the number of workers must be 1 or more, got {workers}", option="workers")
    if workers == 1:
        return [Slot(devices[0])]
    known = [name for device in devices for name in (all_devices() if device == "auto" else [device])]
    if workers is None:
        cpus = min(usable_cores(), max(1, _free_memory() // _WORKER_BYTES)) if "cpu" in known else 0
        workers = cpus + sum(device != "cpu" for device in known)
    workers = min(workers, videos)
    if workers == 1:
        return [Slot(known[0])]
    chosen = [known[number % len(known)] for number in range(workers)]
    threads = max(1, usable_cores() // workers)
    return [Slot(device, threads) for device in chosen]


def _free_memory() -> int:
    """Bytes of main memory that programs can take; a large number where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass  # not Linux
    return 1 << 62
