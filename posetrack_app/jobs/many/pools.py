"""Workers, as `Dispatcher` sees them, and the simplest kind: this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from posetrack_app.core.protocols import Networks
from posetrack_app.jobs.many.worker import Outcome, Slot, Task, Work, load_for, track_task

OnProgress = Callable[[int, int, int | None, int], bool]
"""Called with the worker, and with the arguments of `Progress`; False if the video is not this run's any more."""


@dataclass(frozen=True)
class Finished:
    """A worker is free again."""

    worker: int
    outcome: Outcome


@dataclass(frozen=True)
class Crashed:
    """The process of a worker ended in the middle of a video; a new one starts in its place."""

    worker: int
    reason: str


class WorkerPool(Protocol):
    """Workers that track one video at a time. The networks are loaded once for each worker."""

    @property
    def slots(self) -> Sequence[Slot]:
        """One for each worker."""
        ...

    def start(self) -> None:
        """Start the workers; InputError if the networks or the device are wrong, here or in `wait`."""
        ...

    def idle(self) -> list[int]:
        """The workers that are ready for a video."""
        ...

    def give(self, worker: int, task: Task) -> None:
        """Start a video on an idle worker."""
        ...

    def wait(self, seconds: float, on_progress: OnProgress) -> list[Finished | Crashed]:
        """What happened, after `seconds` at the latest; `ThisProcess` returns at the end of its video."""
        ...

    def stop(self, worker: int) -> None:
        """End the video of a worker now, whatever it does; the journal keeps what is done."""
        ...

    def close(self) -> None:
        """End all workers; videos that are not finished can be resumed."""
        ...


class _StoppedError(BaseException):
    """Ends a video in this process; not an Exception, so that nobody takes it for a failure."""


class ThisProcess:
    """One worker: the process itself. `wait` returns when the video is finished."""

    def __init__(self, slot: Slot, work: Work) -> None:
        self.slots = [slot]
        self._work = work
        self._networks: Networks | None = None
        self._task: Task | None = None

    def start(self) -> None:
        self._networks = load_for(self.slots[0], self._work)

    def idle(self) -> list[int]:
        return [0] if self._task is None else []

    def give(self, worker: int, task: Task) -> None:
        self._task = task

    def wait(self, seconds: float, on_progress: OnProgress) -> list[Finished | Crashed]:
        if self._task is None or self._networks is None:
            time.sleep(seconds)
            return []

        def advance(done: int, expected: int | None, people: int) -> None:
            if not on_progress(0, done, expected, people):
                raise _StoppedError

        try:
            return [Finished(0, track_task(self._task, self._networks, self._work, advance))]
        except _StoppedError:
            return []
        finally:
            self._task = None

    def stop(self, worker: int) -> None:
        pass  # between two calls of `wait` it has no video

    def close(self) -> None:
        self._networks = None
