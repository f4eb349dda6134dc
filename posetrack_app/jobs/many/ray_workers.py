"""Workers on a Ray cluster (extra `[ray]`): one plain actor for each, on whichever machine has room for it.

Not Ray Data, which would turn videos into rows of frames: a video is one stateful job of minutes to hours. If an actor dies,
Ray starts it again (`max_restarts`), on another machine if its own is gone, and repeats the call that waits for its networks
(`max_task_retries`). The video itself is not repeated by Ray but by the dispatcher, which counts the retry, continues from
the journal, and takes whichever worker is free first. The output folder must be shared by all machines.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from posetrack_app.core.cores import usable_cores
from posetrack_app.core.errors import InputError
from posetrack_app.jobs.many.pools import Crashed, Finished, OnProgress
from posetrack_app.jobs.many.worker import Outcome, Slot, Task, Work, load_for, track_task
from posetrack_app.models.devices import choose_device
from posetrack_app.video.source_name import is_stream

_logger = logging.getLogger("posetrack")

_LogLines = list[tuple[int, str]]
"""Level and text."""
_Pending = dict[Any, int]
"""Ray's reference of a call -> the worker that runs it."""


class _Actor:
    """What runs on the cluster; the code of the work is that of every other worker."""

    def __init__(self, slot: Slot, work: Work) -> None:
        self._work = work
        self._log = _KeptLog()
        logger = logging.getLogger("posetrack")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self._networks: Any = None
        self._refused: tuple[str, str] | None = None
        try:
            self._networks = load_for(slot, work)
        except InputError as error:
            self._refused = str(error), error.option

    def ready(self) -> tuple[str, str] | None:
        """None when the networks are loaded; else the text and the option of the InputError."""
        return self._refused

    def track(self, task: Task) -> tuple[Outcome, _LogLines]:
        """Track one video; and what was logged meanwhile."""
        outcome = track_task(task, self._networks, self._work)
        return outcome, self._log.take()


class _KeptLog(logging.Handler):
    """Keeps the lines until the outcome takes them along; Ray's own way to the terminal mixes them with its messages."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: _LogLines = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, self.format(record)))

    def take(self) -> _LogLines:
        lines, self._lines = self._lines, []
        return lines


class RayWorkers:
    """Actors on a Ray cluster that is already connected."""

    def __init__(self, ray: Any, slots: Sequence[Slot], work: Work, *, owns_cluster: bool) -> None:
        self.slots = slots
        self._ray = ray
        self._work = work
        self._owns_cluster = owns_cluster
        self._actors: list[Any] = []
        self._starting: _Pending = {}
        self._tracking: _Pending = {}
        self._idle: set[int] = set()

    def start(self) -> None:
        for worker, slot in enumerate(self.slots):
            self._actors.append(self._new_actor(slot))
            self._await_start(worker)

    def idle(self) -> list[int]:
        return sorted(self._idle)

    def give(self, worker: int, task: Task) -> None:
        self._idle.discard(worker)
        self._tracking[self._actors[worker].track.remote(_absolute(task))] = worker

    def wait(self, seconds: float, on_progress: OnProgress) -> list[Finished | Crashed]:
        pending = [*self._starting, *self._tracking]
        if not pending:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(pending, num_returns=1, timeout=seconds)
        events: list[Finished | Crashed] = []
        for reference in ready:
            if reference in self._starting:
                self._note_start(reference)
            else:
                events.append(self._result(reference))
        return events

    def stop(self, worker: int) -> None:
        self._tracking = {ref: each for ref, each in self._tracking.items() if each != worker}
        self._ray.kill(self._actors[worker], no_restart=True)
        self._actors[worker] = self._new_actor(self.slots[worker])
        self._await_start(worker)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor, no_restart=True)
        self._actors, self._starting, self._tracking = [], {}, {}
        if self._owns_cluster:
            self._ray.shutdown()

    def _new_actor(self, slot: Slot) -> Any:
        """One actor on a card, or on as many cores as it has threads; `ready` waits through any number of restarts."""
        on_card = slot.device.startswith("cuda")
        resources = {"num_gpus": 1, "num_cpus": slot.threads} if on_card else {"num_cpus": slot.threads}
        actor = self._ray.remote(_Actor).options(max_restarts=-1, max_task_retries=0, **resources)
        # Ray shows only the actor's own card to it; an actor without one sees all, so the device is always given.
        return actor.remote(Slot("cuda" if on_card else slot.device, slot.threads), self._work)

    def _await_start(self, worker: int) -> None:
        reference = self._actors[worker].ready.options(max_task_retries=-1).remote()
        self._starting[reference] = worker

    def _note_start(self, reference: Any) -> None:
        worker = self._starting.pop(reference)
        try:
            refused = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"a Ray worker could not start ({_last_line(error)}); see the logs of Ray"
            ) from error
        if refused is not None:
            raise InputError(refused[0], option=refused[1])
        self._idle.add(worker)

    def _result(self, reference: Any) -> Finished | Crashed:
        worker = self._tracking.pop(reference)
        try:
            outcome, lines = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._await_start(worker)  # Ray starts it again, here or on another machine
            return Crashed(worker, _first_line(error))
        for level, text in lines:
            _logger.log(level, "%s", text)
        self._idle.add(worker)
        return Finished(worker, outcome)


def ray_workers(
    address: str, workers: int | None, devices: Sequence[str], videos: int, work: Work
) -> RayWorkers:
    """Connect to the cluster at `address` ("" for the one that Ray finds or starts) and plan the workers.

    `workers` None is one for each card of the cluster, or on CPUs one for each core. InputError if Ray is missing or cannot
    be reached, or for more than one device.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise InputError("Ray is not installed; pip install 'posetrack-app[ray]'", option="ray") from error
    if len(devices) > 1 or devices[0].startswith("cuda:"):
        raise InputError("Ray chooses the cards itself; give cuda or cpu as the device", option="device")
    owns_cluster = not ray.is_initialized()
    if owns_cluster:
        try:
            # Killed workers still leave messages of Ray on the terminal; the report is in summary.jsonl.
            ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"no Ray cluster at {address or 'the default address'} ({_first_line(error)}); start one with ray start "
                "--head, or leave out the address to use this machine",
                option="ray",
            ) from error
    slots = _choose_slots(ray.cluster_resources(), workers, devices[0], videos)
    return RayWorkers(ray, slots, work, owns_cluster=owns_cluster)


def _choose_slots(resources: dict[str, float], workers: int | None, device: str, videos: int) -> list[Slot]:
    """The workers for what the cluster has; an actor for which there is no room yet waits for a machine that joins."""
    cards, cores = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
    if device == "auto":
        device = "cuda" if cards else choose_device("cpu")
    if device == "cuda" and not cards:
        raise InputError(
            "this Ray cluster has no GPU; choose cpu, or start its machines with ray start --num-gpus=1",
            option="device",
        )
    if workers is not None and workers < 1:
        raise InputError(f"the number of workers must be 1 or more, got {workers}", option="workers")
    count = min(workers or (cards if device == "cuda" else cores), videos)
    # Cores of one machine at most: an actor cannot spread over several.
    threads = max(1, min(cores // count, usable_cores()))
    return [Slot(device, threads)] * count


def _absolute(task: Task) -> Task:
    """Actors have another working directory."""
    source = task.source if is_stream(task.source) else os.path.abspath(task.source)
    overlay = None if task.overlay is None else Path(os.path.abspath(task.overlay))
    return Task(source, Path(os.path.abspath(task.out)), overlay, task.resume, task.force)


def _last_line(error: Exception) -> str:
    """The error itself, below Ray's account of where it happened."""
    return str(error).strip().rpartition("\n")[2].strip()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".:")
