"""The state of a run over many videos, for progress displays and metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from posetrack_app.jobs.many.worker import Outcome


@dataclass
class Row:
    """One worker: its video ("" while it has none), the frames done and expected, and the people so far."""

    video: str = ""
    done: int = 0
    expected: int | None = None
    people: int = 0
    since: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Frames per second of the current video, with those that were resumed."""
        return self.done / max(time.monotonic() - self.since, 1e-9)


@dataclass
class Board:
    """All workers and all videos of this run."""

    videos: int
    rows: list[Row]
    states: Counter[str] = field(default_factory=Counter)
    """Number of videos that ended in each state of `Outcome`."""
    frames: int = 0
    people: int = 0
    """Of the finished videos."""
    stage_seconds: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    """Worker processes that were replaced."""
    began: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> int:
        """Number of videos that are done with, for better or worse."""
        return self.states.total()

    def add(self, outcome: Outcome) -> None:
        """Count a finished video."""
        self.states[outcome.state] += 1
        if outcome.report is not None:
            self.frames += outcome.report.frames
            self.people += outcome.report.tracks
            for name, seconds in outcome.report.stage_seconds.items():
                self.stage_seconds[name] += seconds  # type: ignore[assignment]


Show = Callable[[Board], None]
