"""The work on one video of many: the same code in this process, in a worker process and in a Ray actor."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posetrack_app.core.config import Config
from posetrack_app.core.errors import InputError, InUseError, is_out_of_memory, memory_message, one_line
from posetrack_app.core.protocols import Networks
from posetrack_app.jobs.track import Progress, TrackReport, track_video
from posetrack_app.models.build import load_networks
from posetrack_app.video.source_name import display_name

_logger = logging.getLogger("posetrack")

Load = Callable[[Config, str], Networks]
"""What loads the networks for a configuration and a device; `load_networks` except in tests."""


@dataclass(frozen=True)
class Slot:
    """A worker: its `device` and its number of CPU `threads` (0: as many as PyTorch takes)."""

    device: str
    threads: int = 0


@dataclass(frozen=True)
class Work:
    """What all workers of a run share: the settings, the further `options` of `track_video`, and the networks."""

    config: Config
    options: Mapping[str, Any] = field(default_factory=dict)
    load: Load = load_networks


@dataclass(frozen=True)
class Task:
    """One video for a worker."""

    source: str
    out: Path
    overlay: Path | None = None
    resume: bool = False
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of one video: its `report`, or the `failure` in one line (also why it was skipped)."""

    source: str
    out: Path
    report: TrackReport | None = None
    failure: str = ""
    is_internal_error: bool = False
    """The failure is an error in posetrack, or its process was killed; not bad input."""
    state: str = ""
    """done, kept (it was finished before), skipped (another process has it), failed, timeout or crashed."""
    retries: int = 0
    worker: str = ""
    """The host and the process that did the work."""
    device: str = ""

    @property
    def skipped(self) -> bool:
        """Another process has the video."""
        return self.state == "skipped"

    @property
    def failed(self) -> bool:
        """There is no result, and no other process makes it."""
        return self.report is None and not self.skipped


def load_for(slot: Slot, work: Work) -> Networks:
    """The networks of a worker, after it took its share of the cores; InputError as for `load_networks`."""
    if slot.threads:
        import cv2
        import torch

        torch.set_num_threads(slot.threads)
        cv2.setNumThreads(slot.threads)
    return work.load(work.config, slot.device)


def track_task(task: Task, networks: Networks, work: Work, progress: Progress | None = None) -> Outcome:
    """Track one video. A failure is an outcome, not an exception; only a stop (ctrl-C) passes through."""
    made_by: dict[str, Any] = {"worker": f"{socket.gethostname()}:{os.getpid()}", "device": networks.device}
    try:
        task.out.parent.mkdir(parents=True, exist_ok=True)
        if task.overlay is not None:
            task.overlay.parent.mkdir(parents=True, exist_ok=True)
        report = track_video(
            task.source, task.out, config=work.config, networks=networks, overlay=task.overlay,
            resume=task.resume, force=task.force, progress=progress, **work.options,
        )  # fmt: skip
    except InUseError:
        text = "skipped: another process has it"
        return Outcome(task.source, task.out, failure=text, state="skipped", **made_by)
    except (InputError, OSError) as error:
        return Outcome(task.source, task.out, failure=one_line(error), state="failed", **made_by)
    except Exception as error:
        if is_out_of_memory(error):
            text = memory_message(error)
            return Outcome(task.source, task.out, failure=text, state="failed", **made_by)
        # Print it in full and go on with the next video; the exit code reports it at the end.
        _logger.exception("%s: unexpected error", display_name(task.source))
        text = f"{type(error).__name__}: {one_line(error)}"
        return Outcome(task.source, task.out, failure=text, is_internal_error=True, state="failed", **made_by)
    for loss in report.losses:
        _logger.info("%s: %s", display_name(task.source), loss)
    state = "done" if report.stage_seconds else "kept"
    return Outcome(task.source, task.out, report, state=state, **made_by)
