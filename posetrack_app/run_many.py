"""Many videos one after another: networks loaded once, one failure does not stop the rest, a table at the end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetrack_app.assemble import build_parts
from posetrack_app.config import Config
from posetrack_app.errors import InputError
from posetrack_app.run import Progress, Report, track_video
from posetrack_app.sources import check_targets
from posetrack_app.video.stream import shown_name


@dataclass(frozen=True)
class Outcome:
    """What became of one of many videos: its `report`, or why there is none."""

    source: str
    out: Path
    report: Report | None = None
    failure: str = ""
    is_our_fault: bool = False
    """Not bad input but an error in posetrack or below it."""


def track_videos(
    sources: Sequence[str],
    outs: Sequence[Path],
    *,
    config: Config,
    device: str = "auto",
    progress: Callable[[], AbstractContextManager[Progress]],
    say: Callable[[str], None],
    resume: bool = False,
    force: bool = False,
    **options: Any,
) -> list[Outcome]:
    """Track each of `sources` into the file of the same place in `outs`, whose folders are made.

    `progress` shows the frames of one video, `say` gets a line a video; `options` are those of `track_video`.
    InputError only before the first video: for files in the way, the networks and the device.
    """
    check_targets(sources, outs, resume=resume, force=force)
    parts = build_parts(config, device)
    outcomes: list[Outcome] = []
    for number, (source, out) in enumerate(zip(sources, outs, strict=True), 1):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with progress() as show:
                report = track_video(
                    source, out, config=config, device=parts.device, progress=show, parts=parts,
                    resume=resume, force=force, **options,
                )  # fmt: skip
            outcome = Outcome(source, out, report)
            for loss in report.losses:
                say(f"{shown_name(source)}: {loss}")
        except (InputError, OSError) as error:
            outcome = Outcome(source, out, failure=_one_line(error))
        except Exception as error:
            # Not mended: shown in full, and it costs the exit code; but the other videos are not to wait for it.
            traceback.print_exc(file=sys.stderr)
            outcome = Outcome(
                source, out, failure=f"{type(error).__name__}: {_one_line(error)}", is_our_fault=True
            )
        outcomes.append(outcome)
        say(f"{number} of {len(sources)}: {outcome.failure or (outcome.report and outcome.report.summary())}")
    return outcomes


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a video, and the sum."""
    names = [shown_name(outcome.source) for outcome in outcomes]
    width = max(map(len, [*names, "video"]))
    lines = [f"{'video':{width}} {'people':>6} {'frames':>7} {'fps':>6}  result"]
    for name, outcome in zip(names, outcomes, strict=True):
        if outcome.report is None:
            lines.append(f"{name:{width}} {'':>6} {'':>7} {'':>6}  FAILED {outcome.failure}")
            continue
        report = outcome.report
        rate = f"{report.rate:6.1f}" if report.seconds else "  done"
        lines.append(f"{name:{width}} {report.tracks:6d} {report.frames:7d} {rate}  {report.out}")
    failed = sum(outcome.report is None for outcome in outcomes)
    lines.append(f"{len(outcomes)} videos: {len(outcomes) - failed} done, {failed} failed")
    return "\n".join(lines)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 where all went well, 1 where posetrack failed, 2 where only the input was bad."""
    if any(outcome.is_our_fault for outcome in outcomes):
        return 1
    return 2 if any(outcome.report is None for outcome in outcomes) else 0
