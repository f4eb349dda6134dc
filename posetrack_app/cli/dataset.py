"""`posetrack dataset check`: missing and unusual files of a PoseTrack folder."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import PATH
from posetrack_app.cli.output import say
from posetrack_app.core.words import counted

_MAX_LINES = 50


@click.group()
def dataset() -> None:
    """Check data sets."""


@dataset.command()
@click.argument("root", type=PATH)
def check(root: Path) -> None:
    """List missing and unusual files of a PoseTrack17, 18 or 21 folder.

    ROOT contains annotations/val/*.json and images/... For each split, the sequences, frames, labelled frames,
    people and tracks are counted, and the label version is shown. Annotation files that cannot be scored and
    missing or truncated images are listed; the exit code is then 1.
    """
    from posetrack_app.evaluation.dataset import check_dataset

    faults = 0
    for report in check_dataset(root):
        click.echo(
            f"{report.split}: {report.layout}, {report.release}\n"
            f"  {counted(report.sequences, 'sequence')}, {counted(report.frames, 'frame')} ({report.labelled} labelled), "
            f"{counted(report.people, 'person', 'people')} in {counted(report.tracks, 'track')}"
        )
        lines = [f"missing: {line}" for line in report.missing]
        lines += [f"unusual: {line}" for line in report.unusual]
        for line in lines[:_MAX_LINES]:
            say(f"  {line}")
        if len(lines) > _MAX_LINES:
            click.echo(f"  and {len(lines) - _MAX_LINES} more")
        faults += len(lines)
    click.echo(counted(faults, "fault") if faults else "nothing missing or unusual")
    if faults:
        raise SystemExit(1)
