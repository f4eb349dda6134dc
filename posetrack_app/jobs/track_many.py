"""`posetrack run` for many videos: networks loaded once, a failure does not stop the rest, a table at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrack_app.core.config import Config
from posetrack_app.core.errors import InputError, InUseError, is_out_of_memory, memory_message, one_line
from posetrack_app.core.files import check_folder
from posetrack_app.core.words import counted, printable
from posetrack_app.jobs.journal import is_in_use, journal_file
from posetrack_app.jobs.outputs import check_targets
from posetrack_app.jobs.track import Progress, TrackReport, track_video
from posetrack_app.models.build import load_networks
from posetrack_app.video.source_name import display_name

_logger = logging.getLogger("posetrack")


@dataclass(frozen=True)
class Outcome:
    """The result of one video: its `report`, or the `failure` in one line (also why it was `skipped`)."""

    source: str
    out: Path
    report: TrackReport | None = None
    failure: str = ""
    skipped: bool = False
    """Another process has the video."""
    is_internal_error: bool = False
    """The failure is an error in posetrack, not bad input."""

    @property
    def failed(self) -> bool:
        """There is no result, and no other process makes it."""
        return self.report is None and not self.skipped


def track_videos(
    sources: Sequence[str],
    outs: Sequence[Path],
    *,
    config: Config,
    device: str = "auto",
    progress: Callable[[], AbstractContextManager[Progress]],
    resume: bool = False,
    force: bool = False,
    **options: Any,
) -> list[Outcome]:
    """Track every video in `sources` into the tracks file at the same position in `outs`.

    Args:
        sources: files, image folders or streams.
        outs: tracks files; missing folders are created.
        config: the settings.
        device: "auto", "cpu", "cuda" or "mps".
        progress: for each video, a context that gives the `progress` of `track_video`.
        resume: continue the stopped runs and keep the finished ones.
        force: overwrite existing files.
        options: further options of `track_video`.

    Raises InputError only before the first video: for existing files, the networks and the device.
    """
    check_targets(sources, outs, resume=resume, force=force)
    for folder in dict.fromkeys(out.parent for out in outs):
        check_folder(folder)
    networks = load_networks(config, device)
    outcomes: list[Outcome] = []
    for number, (source, out) in enumerate(zip(sources, outs, strict=True), 1):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            # Neither file was there before the first video.
            if not (resume or force) and (out.exists() or is_in_use(journal_file(out))):
                raise InUseError(f"{out}: another process wrote it, or is writing it")
            with progress() as show:
                report = track_video(
                    source, out, config=config, progress=show, networks=networks,
                    resume=resume, force=force, **options,
                )  # fmt: skip
            outcome = Outcome(source, out, report)
            for loss in report.losses:
                _logger.info("%s: %s", display_name(source), loss)
        except InUseError:
            outcome = Outcome(source, out, failure="skipped: another process has it", skipped=True)
        except (InputError, OSError) as error:
            outcome = Outcome(source, out, failure=one_line(error))
        except Exception as error:
            if is_out_of_memory(error):
                outcome = Outcome(source, out, failure=memory_message(error))
            else:
                outcome = _internal_error(source, out, error)
        outcomes.append(outcome)
        result = outcome.failure if outcome.report is None else outcome.report.summary()
        _logger.info("%d of %d: %s", number, len(sources), result)
    return outcomes


def _internal_error(source: str, out: Path, error: Exception) -> Outcome:
    """Print the error in full; the next video is tracked, and the exit code reports it at the end."""
    _logger.exception("%s: unexpected error", display_name(source))
    return Outcome(source, out, failure=f"{type(error).__name__}: {one_line(error)}", is_internal_error=True)


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
        lines.append(
            f"{name:{width}} {report.tracks:6d} {report.frames:7d} {rate}  {printable(str(report.out))}"
        )
    failed = sum(outcome.failed for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    total = f"{counted(len(outcomes), 'video')}: {len(outcomes) - failed - skipped} done, {failed} failed"
    lines.append(f"{total}, {skipped} skipped" if skipped else total)
    return "\n".join(lines)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all succeeded, 1 after an internal error, 2 if only the input was bad."""
    if any(outcome.is_internal_error for outcome in outcomes):
        return 1
    return 2 if any(outcome.failed for outcome in outcomes) else 0
