"""The processor cores that this process may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def usable_cores() -> int:
    """At least 1: the cores that the system, Slurm or a container leaves to this process."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(cores, _container_cores()))


def _container_cores() -> int:
    """The limit of a container (cgroup version 2 or 1), rounded up; a large number if there is none."""
    group = Path("/sys/fs/cgroup")
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu" / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return sys.maxsize
    if quota == "max" or int(quota) <= 0:
        return sys.maxsize
    return -(-int(quota) // int(period))
