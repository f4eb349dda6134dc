"""`posetrack run` for many videos: on one or many workers, a failure does not stop the rest, a table at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posetrack_app.core.config import Config
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import check_folder
from posetrack_app.core.words import counted, printable
from posetrack_app.jobs.journal import journal_file
from posetrack_app.jobs.many.board import Show
from posetrack_app.jobs.many.claims import Claims
from posetrack_app.jobs.many.dispatch import Dispatcher, Job, Rules, file_state
from posetrack_app.jobs.many.metrics import serve_metrics
from posetrack_app.jobs.many.plan import choose_part, choose_slots, size_of
from posetrack_app.jobs.many.pools import ThisProcess, WorkerPool
from posetrack_app.jobs.many.processes import Processes
from posetrack_app.jobs.many.summary import Summary
from posetrack_app.jobs.many.worker import Load, Work
from posetrack_app.jobs.many.worker import Outcome as Outcome
from posetrack_app.jobs.outputs import check_targets, output_files, overlay_files
from posetrack_app.jobs.track import finished_report
from posetrack_app.models.build import fetch_weights, load_networks
from posetrack_app.video.source_name import display_name

_logger = logging.getLogger("posetrack")


@dataclass(frozen=True)
class Sharing:
    """How the work on many videos is shared out.

    Args:
        workers: processes that track one video each; None is as many as are fast here.
        devices: the devices that the workers go round, such as ["cuda:0", "cuda:1"].
        part: "3/20" for every 20th video from the third on, or "slurm" for the part of a Slurm job array.
        ray: the address of a Ray cluster, or "" for the one that Ray finds or starts; None does without Ray.
        max_seconds: the longest time for one video.
        metrics: port, or address and port, where Prometheus finds the state of the run.
        summary_page: also write summary.html.
    """

    workers: int | None = 1
    devices: Sequence[str] = field(default=("auto",))
    part: str = "1/1"
    ray: str | None = None
    max_seconds: float | None = None
    metrics: str | None = None
    summary_page: bool = False


def track_videos(
    sources: Sequence[str],
    out_dir: Path,
    *,
    config: Config,
    sharing: Sharing | None = None,
    overlay_dir: Path | None = None,
    resume: bool = False,
    skip_done: bool = False,
    force: bool = False,
    show: Show = lambda board: None,
    load: Load = load_networks,
    **options: Any,
) -> list[Outcome]:
    """Track every video in `sources` into a tracks file in `out_dir`; `output_files` names it.

    Any number of these calls may share `out_dir`, also on other machines: each video is tracked by one of them. The
    networks are loaded once for each worker. Returns the outcomes in the order of `sources`, without other parts.

    Args:
        sources: files, image folders or streams.
        out_dir: the folder of the tracks files and of summary.jsonl; created if it is missing.
        config: the settings.
        sharing: workers, devices, parts and limits; by default, this process does everything.
        overlay_dir: also draw the people, into <name>.mp4 in this folder.
        resume: continue the stopped videos, and keep the finished ones if they were made with the same settings.
        skip_done: the same, without opening finished videos to compare their settings.
        force: overwrite existing files.
        show: called with the state of the run several times a second.
        load: what loads the networks.
        options: further options of `track_video`.

    Raises InputError only before the first video: for existing files, the networks and the device.
    """
    sharing = sharing or Sharing()
    if skip_done and force:
        raise InputError(
            "skip_done keeps existing files and force overwrites them; choose one", option="force"
        )
    outs = output_files(sources, out_dir)
    jobs = _jobs_of_part(sources, outs, out_dir, overlay_dir, choose_part(sharing.part))
    mine = {job.out: position for position, job in enumerate(jobs)}
    done: list[Job] = []
    left: list[Job] = []
    for job in jobs:
        (done if skip_done and _is_done(job) else left).append(job)
    resume = resume or skip_done
    check_targets(
        [job.source for job in left], [job.out for job in left], [job.overlay for job in left if job.overlay],
        resume=resume, force=force,
    )  # fmt: skip
    for folder in dict.fromkeys(job.out.parent for job in left):
        check_folder(folder)
    pool = _workers([job.source for job in left], Work(config, options, load), sharing) if left else None
    outcomes = [Outcome(job.source, job.out, finished_report(job.out), state="kept") for job in done]
    summary = Summary(out_dir)
    for outcome in outcomes:
        summary.add(outcome)

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        summary.add(outcome)

    try:
        if pool is not None:
            left.sort(key=lambda job: -size_of(job.source))
            with Claims() as claims:
                dispatcher = Dispatcher(
                    left, pool, claims, Rules(resume, force, sharing.max_seconds), on_outcome=note, show=show
                )
                _run(dispatcher, pool, sharing)
    finally:
        if summary.merge() and sharing.summary_page:
            summary.write_page()
    return sorted(outcomes, key=lambda outcome: mine[outcome.out])


def _run(dispatcher: Dispatcher, pool: WorkerPool, sharing: Sharing) -> None:
    with serve_metrics(dispatcher.board, sharing.metrics) as port:
        if port:
            _logger.info("metrics for Prometheus are at port %d, path /metrics", port)
        try:
            pool.start()
            dispatcher.run()
        finally:
            pool.close()


def _jobs_of_part(
    sources: Sequence[str],
    outs: Sequence[Path],
    out_dir: Path,
    overlay_dir: Path | None,
    part: tuple[int, int],
) -> list[Job]:
    """The videos of one part; all parts name the tracks files after the complete list."""
    overlays = [None] * len(outs) if overlay_dir is None else [*overlay_files(outs, out_dir, overlay_dir)]
    jobs = [
        Job(source, out, overlay, file_state(out))
        for source, out, overlay in zip(sources, outs, overlays, strict=True)
    ]
    return jobs[part[0] - 1 :: part[1]]


def _is_done(job: Job) -> bool:
    """Whether the outputs are complete: files appear under their names when they are."""
    has_files = job.out.exists() and (job.overlay is None or job.overlay.exists())
    return has_files and not journal_file(job.out).exists()


def _workers(sources: Sequence[str], work: Work, sharing: Sharing) -> WorkerPool:
    """The workers, not started yet."""
    if sharing.max_seconds is not None and sharing.max_seconds <= 0:
        raise InputError(f"max_seconds must be above 0, got {sharing.max_seconds:g}", option="max_seconds")
    if work.load is load_networks:
        fetch_weights(work.config)
    if sharing.ray is not None:
        from posetrack_app.jobs.many.ray_workers import ray_workers

        return ray_workers(sharing.ray, sharing.workers, sharing.devices, len(sources), work)
    slots = choose_slots(sharing.workers, sharing.devices, len(sources))
    # A video that hangs can only be ended together with its process.
    if len(slots) == 1 and sharing.max_seconds is None:
        return ThisProcess(slots[0], work)
    if "-" in sources:
        raise InputError("standard input is only for one worker without a time limit", option="workers")
    return Processes(slots, work)


def table(outcomes: Sequence[Outcome]) -> str:
    """One line per video, and the total."""
    names = [display_name(outcome.source) for outcome in outcomes]
    width = max(map(len, [*names, "video"]))
    lines = [f"{'video':{width}} {'people':>6} {'frames':>7} {'fps':>6}  result"]
    for name, outcome in zip(names, outcomes, strict=True):
        if outcome.report is None:
            result = outcome.failure if outcome.skipped else f"FAILED {outcome.failure}"
            lines.append(f"{name:{width}} {'':>6} {'':>7} {'':>6}  {printable(result)}")
            continue
        report = outcome.report
        rate = f"{report.rate:6.1f}" if report.seconds else "  done"
        again = ", resumed after its worker ended" if outcome.retries else ""
        result = printable(str(report.out)) + again
        lines.append(f"{name:{width}} {report.tracks:6d} {report.frames:7d} {rate}  {result}")
    failed = sum(outcome.failed for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    total = f"{counted(len(outcomes), 'video')}: {len(outcomes) - failed - skipped} done, {failed} failed"
    lines.append(f"{total}, {skipped} skipped" if skipped else total)
    return "\n".join(lines)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all succeeded, 1 after an internal error or a crash, 2 if only the input was bad or the time was over."""
    if any(outcome.is_internal_error for outcome in outcomes):
        return 1
    return 2 if any(outcome.failed for outcome in outcomes) else 0
