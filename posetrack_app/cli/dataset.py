"""`posetrack dataset check`: is a PoseTrack tree whole?"""

from __future__ import annotations

from pathlib import Path

import click

_MOST_LINES = 50


@click.group()
def dataset() -> None:
    """Look after data sets."""


@dataset.command()
@click.argument("root", type=click.Path(path_type=Path))
def check(root: Path) -> None:
    """Say what is missing or odd in a PoseTrack17, 18 or 21 tree.

    ROOT holds annotations/val/*.json and images/... Counts sequences, frames, labelled frames, people and
    tracks of each split, tells the label version, and names every annotation file that cannot be scored and
    every picture that is missing or cut off. Exits with 1 if there is any.
    """
    from posetrack_app.evaluation.dataset import check_dataset

    faults = 0
    for report in check_dataset(root):
        click.echo(
            f"{report.split}: {report.layout}, {report.release}\n"
            f"  {report.sequences} sequences, {report.frames} frames ({report.labelled} labelled), "
            f"{report.people} people in {report.tracks} tracks"
        )
        lines = [f"missing: {line}" for line in report.missing] + [f"odd: {line}" for line in report.odd]
        for line in lines[:_MOST_LINES]:
            click.echo(f"  {line}")
        if len(lines) > _MOST_LINES:
            click.echo(f"  and {len(lines) - _MOST_LINES} more")
        faults += len(lines)
    click.echo("nothing missing or odd" if not faults else f"{faults} faults")
    if faults:
        raise SystemExit(1)
