"""`posetrack convert`: tracks in other programs' formats; `posetrack validate`: what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.errors import InputError

_FORMATS = (
    "tracks", "per-track", "posetrack17", "posetrack21", "coco", "mot", "csv", "parquet", "openpose", "trc", "trc-c3d",
)  # fmt: skip


@click.command()
@click.argument("tracks", metavar="IN", type=click.Path(path_type=Path))
@click.option("--to", "to", type=click.Choice(_FORMATS), required=True, help="The format to write.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write; for per-track, openpose, trc and trc-c3d the folder to make.",
)
@click.option("--smoothed", is_flag=True, help="Write the smoothed keypoints in place of the raw ones.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
def convert(tracks: Path, to: str, out: Path, smoothed: bool, force: bool) -> None:
    """Write the tracks of IN in another format.

    docs/formats.md says what each keeps. IN is a tracks.json, a PoseTrack18 file, a .csv or .parquet of ours,
    or a folder made with --to per-track.
    """
    from posetrack_app.api import convert as write

    content = write(tracks, out, to=to, smoothed=smoothed, force=force)
    people = sum(len(frame.tracked) for frame in content.frames)
    click.echo(f"{out}: {len(content.frames)} frames, {people} people, {len(content.ids)} identities")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def validate(file: Path) -> None:
    """Check a tracks file and name the place of each fault.

    It is checked against its JSON Schema and against itself.
    """
    from posetrack_app import api

    faults = api.validate(file)
    for fault in faults:
        click.echo(f"{file}: {fault}")
    if faults:
        raise InputError(f"{file}: not valid, {len(faults)} fault{'s' if len(faults) > 1 else ''}")
    click.echo(f"{file}: valid")
