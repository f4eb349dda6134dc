"""Hands videos out to workers: claimed, longest first, retried after a crash, ended when their time is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from posetrack_app.core.errors import InputError, one_line
from posetrack_app.core.words import counted
from posetrack_app.jobs.journal import journal_file
from posetrack_app.jobs.many.board import Board, Row, Show
from posetrack_app.jobs.many.claims import Claim, Claims, claim_file, describe_owner
from posetrack_app.jobs.many.pools import Crashed, WorkerPool
from posetrack_app.jobs.many.worker import Outcome, Task
from posetrack_app.jobs.track import finished_report
from posetrack_app.video.source_name import display_name

_logger = logging.getLogger("posetrack")

MAX_RETRIES = 1
_now = time.monotonic
_WAIT_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 5.0
"""Time between two looks at a video that another process works on."""


@dataclass
class Job:
    """One video of the run, and how far it got."""

    source: str
    out: Path
    overlay: Path | None
    found: tuple[int, int] | None
    """The state of `out` when the run started; see `file_state`."""
    claim: Claim | None = None
    retries: int = 0
    look_again: float = 0.0
    """When to try to claim it again."""
    began: float = 0.0


def _is_lost(job: Job) -> bool:
    return job.claim is not None and job.claim.lost


def file_state(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None if there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_mtime_ns, facts.st_size


@dataclass(frozen=True)
class Rules:
    """How to treat the videos of a run."""

    resume: bool = False
    """Continue stopped videos and keep finished ones."""
    force: bool = False
    """Overwrite existing files."""
    max_seconds: float | None = None
    """The longest time for one video."""


class Dispatcher:
    """Runs `jobs`, in their order, on the workers of `pool`, and hands every outcome to `on_outcome`."""

    def __init__(
        self,
        jobs: list[Job],
        pool: WorkerPool,
        claims: Claims,
        rules: Rules,
        *,
        on_outcome: Callable[[Outcome], None],
        show: Show,
    ) -> None:
        self.board = Board(len(jobs), [Row() for _ in pool.slots])
        self._waiting = list(jobs)
        self._pool = pool
        self._claims = claims
        self._rules = rules
        self._on_outcome = on_outcome
        self._show = show
        self._running: dict[int, Job] = {}
        self._has_waited = False

    def run(self) -> None:
        """Return when every video is finished, here or by another process that shares the folder."""
        while self._waiting or self._running:
            self._give_out()
            if not self._waiting and not self._running:
                return
            for event in self._pool.wait(_WAIT_SECONDS, self._on_progress):
                if isinstance(event, Crashed):
                    self.board.restarts += 1
                    self._retry(event)
                else:
                    self._finish(event.worker, event.outcome)
            self._drop_lost_videos()
            self._end_late_videos()
            self._show(self.board)

    def _give_out(self) -> None:
        for worker in self._pool.idle():
            job = self._claim_next()
            if job is None:
                self._tell_who_works_on_the_rest()
                return
            self._running[worker] = job
            job.began = _now()
            self.board.rows[worker] = Row(display_name(job.source))
            self._pool.give(worker, self._task(job))

    def _claim_next(self) -> Job | None:
        """The first waiting video that no other process has; videos finished by others are done with."""
        now = _now()
        for job in list(self._waiting):
            if job.look_again > now:
                continue
            try:
                if job.claim is None:
                    job.out.parent.mkdir(parents=True, exist_ok=True)
                    job.claim = self._claims.try_claim(claim_file(job.out))
                if job.claim is None:
                    job.look_again = now + _LOOK_AGAIN_SECONDS
                    continue
                finished = self._finished_meanwhile(job)
            except (InputError, OSError) as error:  # the folder of this video cannot be written
                finished = Outcome(job.source, job.out, failure=one_line(error), state="failed")
            self._waiting.remove(job)
            if finished is not None:
                self._record(job, finished)
                continue
            return job
        return None

    def _finished_meanwhile(self, job: Job) -> Outcome | None:
        """The outcome of a video that another process, or a worker that died right afterwards, finished.

        Call it only with the claim in hand: until then its owner may still finish it.
        """
        now = file_state(job.out)
        if now is None or now == job.found or journal_file(job.out).exists():
            return None
        return Outcome(job.source, job.out, finished_report(job.out), state="kept")

    def _task(self, job: Job) -> Task:
        """What to do now. A journal that appeared since the start is that of a process that died or was stopped."""
        was_started = bool(job.retries or (job.claim and job.claim.taken_over) or not self._rules.force)
        resume = self._rules.resume or (was_started and journal_file(job.out).exists())
        return Task(job.source, job.out, job.overlay, resume, self._rules.force and not resume)

    def _on_progress(self, worker: int, done: int, expected: int | None, people: int) -> bool:
        row = self.board.rows[worker]
        row.done, row.expected, row.people = done, expected, people
        self._show(self.board)
        return not _is_lost(self._running[worker])

    def _drop_lost_videos(self) -> None:
        """Leave the videos that another process took over to it."""
        for worker, job in list(self._running.items()):
            if _is_lost(job):
                path = claim_file(job.out)
                _logger.warning("%s: %s took it over", display_name(job.source), describe_owner(path))
                self._take_from(worker)
                self._pool.stop(worker)
                job.claim, job.look_again = None, _now() + _LOOK_AGAIN_SECONDS
                self._waiting.append(job)

    def _finish(self, worker: int, outcome: Outcome) -> None:
        job = self._running.get(worker)
        if job is not None:
            self._take_from(worker)
            self._record(job, outcome)

    def _retry(self, event: Crashed) -> None:
        """Give the video of a dead worker to the next free one; it continues from the journal."""
        job = self._running.get(event.worker)
        if job is None:
            return
        self._take_from(event.worker)
        name = display_name(job.source)
        if job.retries < MAX_RETRIES:
            job.retries += 1
            _logger.warning("%s: its worker ended (%s); resuming it", name, event.reason)
            self._waiting.insert(0, job)
            return
        text = f"its worker ended {job.retries + 1} times ({event.reason}); resume to try again"
        self._record(job, Outcome(job.source, job.out, failure=text, is_internal_error=True, state="crashed"))

    def _end_late_videos(self) -> None:
        limit = self._rules.max_seconds
        for worker, job in list(self._running.items()):
            if limit is not None and _now() - job.began > limit:
                self._take_from(worker)
                self.board.restarts += 1
                self._pool.stop(worker)  # before the claim is released
                text = f"ended after {limit:g} seconds; resume with more time to continue"
                self._record(job, Outcome(job.source, job.out, failure=text, state="timeout"))

    def _take_from(self, worker: int) -> None:
        del self._running[worker]
        self.board.rows[worker] = Row()

    def _record(self, job: Job, outcome: Outcome) -> None:
        if job.claim is not None:
            self._claims.release(job.claim)
        outcome = replace(outcome, retries=job.retries)
        self.board.add(outcome)
        result = outcome.failure if outcome.report is None else outcome.report.summary()
        _logger.info("%d of %d: %s", self.board.finished, self.board.videos, result)
        self._on_outcome(outcome)

    def _tell_who_works_on_the_rest(self) -> None:
        """Once, when nothing is left but the videos of other processes."""
        if self._has_waited or self._running or not self._waiting:
            return
        self._has_waited = True
        first = self._waiting[0]
        _logger.info(
            "other processes work on the last %s (%s: %s); waiting, in case one of them dies",
            counted(len(self._waiting), "video"),
            display_name(first.source),
            describe_owner(claim_file(first.out)),
        )
