"""The manifest of a run, beside its tracks: start time, duration, machine and package versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from posetrack_app.core.files import write_atomic
from posetrack_app.core.json_file import as_text
from posetrack_app.core.version import __version__

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "opencv-python-headless", "av", "decord2", "filterpy")


def manifest_file(out: Path) -> Path:
    """`tracks.run.json` for `tracks.json`."""
    return out.with_name(f"{out.stem}.run.json")


def write_manifest(out: Path, device: str, facts: Mapping[str, Any]) -> None:
    """Write the manifest of the tracks file `out`: `facts`, then the machine and the versions."""
    content = {
        "file": as_text(out.name),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "machine": _machine(device),
        "versions": {"posetrack": __version__, "python": platform.python_version(), **versions(_PACKAGES)},
    }
    write_atomic(manifest_file(out), json.dumps(content, indent=1, allow_nan=False) + "\n")


def _machine(device: str) -> dict[str, Any]:
    import torch

    facts: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.startswith("cuda"):
        facts |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB on Linux
        facts["peak_memory_mib"] = round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
    return facts


def _processor() -> str:
    """The processor's name; `platform.processor()` is empty on many Linux systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def computing_versions() -> dict[str, str]:
    """The versions that network outputs and tracks depend on: with others, a run is not continued."""
    return {"posetrack": __version__, **versions(("torch", "torchvision"))}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each of `packages` that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # OpenCV has several package names, and torchvision may be a conda package
    return found


def source_commit() -> str | None:
    """The git commit of the source tree that runs, with "-dirty" if files changed since; None for an installed package."""
    tree = Path(__file__).parents[2]
    if not (tree / ".git").exists():
        return None
    command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None  # git is not installed, or refuses the tree of another user
    return found.stdout.strip() or None
