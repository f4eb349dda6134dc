"""`posetrack submit-check`: would the evaluation server accept these predictions?"""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import PATH
from posetrack_app.core.choices import DATASETS
from posetrack_app.core.words import counted

_MAX_LINES = 50


@click.command("submit-check")
@click.argument("predictions", metavar="DIR", type=PATH)
@click.option(
    "--dataset",
    type=click.Choice(DATASETS),
    default="posetrack18",
    show_default=True,
    help="The data set whose server gets it.",
)
@click.option(
    "--frames",
    type=PATH,
    help="The annotation files of the split (ROOT/annotations/test): compare the lists of files and frames, and the ids.",
)
def submit_check(predictions: Path, dataset: str, frames: Path | None) -> None:
    """Check predictions before they go to a PoseTrack server.

    DIR is the folder with the predictions, or the .zip file. Each line is a reason for which the server would
    refuse them or score them as worse than they are; the exit code is then 1. docs/submission.md explains them.
    """
    from posetrack_app.jobs.submission import check_submission

    faults = check_submission(predictions, dataset=dataset, frames=frames)
    for fault in faults[:_MAX_LINES]:
        click.echo(fault)
    if len(faults) > _MAX_LINES:
        click.echo(f"and {len(faults) - _MAX_LINES} more")
    if frames is None:
        click.echo("the lists of files and frames were not compared; --frames ROOT/annotations/test does")
    click.echo(counted(len(faults), "fault") if faults else "nothing is wrong")
    if faults:
        raise SystemExit(1)
