"""Worker processes on this machine.

Each is a fresh Python (spawned, not forked: PyTorch, CUDA and the decoders have threads, which a fork does not copy) that
loads the networks once and gets videos through a pipe. A process that ends for any reason is replaced.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

from posetrack_app.core.errors import InputError
from posetrack_app.jobs.many.pools import Crashed, Finished, OnProgress
from posetrack_app.jobs.many.worker import Outcome, Slot, Task, Work, load_for, track_task

_logger = logging.getLogger("posetrack")

_PROGRESS_SECONDS = 0.25
"""Time between two reports of a worker."""
_CLOSE_SECONDS = 20.0
"""Time for a worker to store its last outputs after a stop."""
_MAX_FAILED_STARTS = 2
_START_METHOD = "spawn"


@dataclass(frozen=True)
class _Ready:
    """The networks of the worker are loaded."""


@dataclass(frozen=True)
class _Refused:
    """The networks or the device are wrong; the text and the option of an InputError."""

    text: str
    option: str


@dataclass(frozen=True)
class _Progress:
    done: int
    expected: int | None
    people: int


@dataclass(frozen=True)
class _Logged:
    """A line for the log of the main process."""

    level: int
    text: str


@dataclass
class _Process:
    """A worker process as the main process sees it."""

    process: BaseProcess
    pipe: Connection
    is_ready: bool = False
    is_busy: bool = False


class Processes:
    """One worker process for each of `slots`."""

    def __init__(self, slots: Sequence[Slot], work: Work) -> None:
        self.slots = slots
        self._work = work
        self._running: dict[int, _Process] = {}
        self._failed_starts = 0

    def start(self) -> None:
        for worker in range(len(self.slots)):
            self._start(worker)

    def idle(self) -> list[int]:
        return [worker for worker, each in self._running.items() if each.is_ready and not each.is_busy]

    def give(self, worker: int, task: Task) -> None:
        each = self._running[worker]
        each.is_busy = True
        with suppress(OSError):  # it has just ended: `wait` reports it
            each.pipe.send(task)

    def wait(self, seconds: float, on_progress: OnProgress) -> list[Finished | Crashed]:
        by_object: dict[Any, int] = {}
        for worker, each in self._running.items():
            by_object[each.pipe] = by_object[each.process.sentinel] = worker
        changed = {by_object[each] for each in wait(list(by_object), seconds)}
        return [event for worker in sorted(changed) for event in self._events(worker, on_progress)]

    def stop(self, worker: int) -> None:
        self._end(worker)
        self._start(worker)

    def close(self) -> None:
        for each in self._running.values():
            each.process.terminate()
        until = time.monotonic() + _CLOSE_SECONDS
        for each in self._running.values():
            each.process.join(max(0.0, until - time.monotonic()))
        for worker in list(self._running):
            self._end(worker)

    def _start(self, worker: int) -> None:
        context: Any = multiprocessing.get_context(_START_METHOD)
        ours, theirs = context.Pipe()
        slot = self.slots[worker]
        process = context.Process(
            target=_work, args=(theirs, slot, self._work), name=f"posetrack-{worker + 1}", daemon=True
        )
        with _thread_variables(slot.threads):
            process.start()
        theirs.close()
        self._running[worker] = _Process(process, ours)

    def _end(self, worker: int) -> None:
        each = self._running.pop(worker)
        each.process.kill()
        each.process.join()
        each.process.close()
        each.pipe.close()

    def _events(self, worker: int, on_progress: OnProgress) -> Iterator[Finished | Crashed]:
        """What one worker sent; and that it ended, if it did."""
        each = self._running[worker]
        has_ended = not each.process.is_alive()  # before reading: what it sent before its end comes first
        try:
            while each.pipe.poll():
                message = each.pipe.recv()
                if isinstance(message, Outcome):
                    each.is_busy = False
                    yield Finished(worker, message)
                elif isinstance(message, _Progress):
                    on_progress(worker, message.done, message.expected, message.people)
                else:
                    self._note(each, message)
        except (EOFError, OSError):
            has_ended = True
        if has_ended:
            yield from self._replace(worker)

    def _note(self, each: _Process, message: _Ready | _Refused | _Logged) -> None:
        if isinstance(message, _Ready):
            each.is_ready = True
            self._failed_starts = 0
        elif isinstance(message, _Refused):
            raise InputError(message.text, option=message.option)
        else:
            _logger.log(message.level, "%s", message.text)

    def _replace(self, worker: int) -> Iterator[Crashed]:
        """Start a new process for one that ended; InputError if the new ones end as well before they are ready."""
        each = self._running[worker]
        each.process.join()
        reason = _describe(each.process.exitcode)
        if not each.is_ready:
            self._failed_starts += 1
            if self._failed_starts > _MAX_FAILED_STARTS:
                raise InputError(
                    f"a worker process ended {self._failed_starts} times while it loaded the networks ({reason}); "
                    "use fewer workers, or see the lines above",
                    option="workers",
                )
        self._end(worker)
        self._start(worker)
        if each.is_busy:
            yield Crashed(worker, reason)


def _describe(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"{name}, perhaps out of memory" if name == "SIGKILL" else name
    return f"exit code {exit_code}"


@contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    """Set the environment that a new process inherits: NumPy and PyTorch read it when they are imported."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    if threads:
        os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# What follows runs in the worker process.


class _Sender:
    """Sends messages from several threads through one pipe; a main process that is gone ends the worker."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._last_progress = 0.0

    def send(self, message: object) -> None:
        with self._lock:
            try:
                self._pipe.send(message)
            except OSError as error:
                raise KeyboardInterrupt from error

    def progress(self, done: int, expected: int | None, people: int) -> None:
        now = time.monotonic()
        if now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            self.send(_Progress(done, expected, people))


class _LogToPipe(logging.Handler):
    def __init__(self, sender: _Sender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        self._sender.send(_Logged(record.levelno, self.format(record)))


def _work(pipe: Connection, slot: Slot, work: Work) -> None:
    """Track the videos that come through `pipe` until the main process ends this one."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # ctrl-C reaches the main process, which then ends its workers
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    sender = _Sender(pipe)
    logger = logging.getLogger("posetrack")
    logger.addHandler(_LogToPipe(sender))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    with suppress(KeyboardInterrupt, EOFError):
        try:
            networks = load_for(slot, work)
        except InputError as error:
            sender.send(_Refused(str(error), error.option))
            return
        sender.send(_Ready())
        while True:
            task: Task = pipe.recv()
            sender.send(track_task(task, networks, work, sender.progress))


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Do not outlive the main process, even in a decoder that hangs. The journal survives this."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
