"""`posetrack convert`: tracks in other formats; `posetrack validate`: the faults of a tracks file."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import PATH, force_option
from posetrack_app.cli.output import say
from posetrack_app.core.choices import DATASETS, FORMATS, SUBMISSION
from posetrack_app.core.errors import InputError
from posetrack_app.core.words import counted

_MOST = 50
"""Lines of validate without --all."""


@click.command()
@click.argument("tracks", metavar="IN", type=PATH)
@click.option(
    "--to", "to", type=click.Choice((*FORMATS, SUBMISSION)), required=True, help="The format to write."
)
@click.option(
    "--out",
    type=PATH,
    required=True,
    help="The file to write; for per-track, openpose, trc and trc-c3d a new folder.",
)
@click.option("--smoothed", is_flag=True, help="Write the smoothed keypoints instead of the raw ones.")
@click.option(
    "--frames",
    type=PATH,
    help="For posetrack-submission: the annotation files of the split (ROOT/annotations/test), which list the frames.",
)
@click.option(
    "--dataset",
    type=click.Choice(DATASETS),
    default="posetrack18",
    show_default=True,
    help="For posetrack-submission: the data set whose server gets it.",
)
@force_option
def convert(
    tracks: Path, to: str, out: Path, smoothed: bool, frames: Path | None, dataset: str, force: bool
) -> None:
    """Write the tracks of IN in another format.

    docs/formats.md describes the formats. IN is a tracks.json, a PoseTrack18 file, a .csv or .parquet
    file that posetrack wrote, or a folder made with --to per-track. For posetrack-submission it is a folder with
    a file for each sequence, such as the predictions of posetrack benchmark; OUT is the .zip file for the server.
    """
    if to == SUBMISSION:
        from posetrack_app.jobs.submission import make_submission

        if frames is None:
            raise InputError(
                "--to posetrack-submission needs --frames, the annotation files of the split, such as ROOT/annotations/test"
            )
        if smoothed:
            raise InputError("--to posetrack-submission writes raw keypoints; leave out --smoothed")
        click.echo(make_submission(tracks, out, frames=frames, dataset=dataset, force=force).summary())
        return
    from posetrack_app.jobs.convert import convert as write

    content = write(tracks, out, to=to, smoothed=smoothed, force=force)
    people = sum(len(frame.people) for frame in content.frames)
    say(
        f"{out}: {counted(len(content.frames), 'frame')}, {counted(people, 'pose')}, "
        f"{counted(len(content.ids), 'identity', 'identities')}"
    )


@click.command()
@click.argument("file", type=PATH)
@click.option("--all", "all_faults", is_flag=True, help=f"List every fault, not the first of {_MOST} kinds.")
def validate(file: Path, all_faults: bool) -> None:
    """List the faults of a tracks file.

    The file is compared with its JSON Schema, and its entries with each other. Each line names the place of a fault
    and how many more are of its kind.
    """
    from posetrack_app.formats.tracks_json.validate_file import summary
    from posetrack_app.jobs.convert import find_all_faults

    faults = find_all_faults(file, all_lines=all_faults)
    for line in faults.lines if all_faults else summary(faults, _MOST):
        say(f"{file}: {line}")
    if faults.count:
        kinds = f" of {counted(len(faults.kinds), 'kind')}" if faults.count > len(faults.kinds) else ""
        raise InputError(f"{file} is not valid: {counted(faults.count, 'fault')}{kinds}")
    say(f"{file}: valid")
