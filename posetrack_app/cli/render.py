"""`posetrack render`: draw a tracks file on its video."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from posetrack_app.cli.options import PATH, force_option
from posetrack_app.core.errors import InputError
from posetrack_app.core.words import counted


@click.command()
@click.argument("video", type=PATH)
@click.argument("tracks", type=PATH)
@click.option("--out", type=PATH, help="The MP4 to write (H.264; browsers play it).")
@click.option("--trails", is_flag=True, help="Show where the people's feet were in the last 2 seconds.")
@click.option("--only-ids", metavar="ID,ID,...", help="Draw only these identities.")
@click.option("--blur-faces", is_flag=True, help="Make the face of every tracked person unrecognisable.")
@click.option("--names", metavar="ID=NAME,...", help="Draw names instead of ids, such as 1=Ann,4=Ben.")
@click.option("--side-by-side", is_flag=True, help="Put the original image to the left of the drawn one.")
@click.option("--contact-sheet", type=PATH, help="Also write a PNG with the clearest view of each identity.")
@click.option(
    "--possible-id-switches",
    type=PATH,
    metavar="FOLDER",
    help="Write a contact sheet of each possible id switch into this new folder.",
)
@click.option(
    "--clip", is_flag=True, help="With --possible-id-switches: write short clips (MP4) instead of sheets."
)
@force_option
def render(
    video: Path,
    tracks: Path,
    out: Path | None,
    trails: bool,
    only_ids: str | None,
    blur_faces: bool,
    names: str | None,
    side_by_side: bool,
    contact_sheet: Path | None,
    possible_id_switches: Path | None,
    clip: bool,
    force: bool,
) -> None:
    """Draw the people of TRACKS on VIDEO.

    Limbs, boxes and identities are drawn; times and sound stay as they are.
    """
    if out is None and contact_sheet is None and possible_id_switches is None:
        raise click.UsageError(
            "nothing to write: give --out FILE.mp4, --contact-sheet FILE.png or --possible-id-switches FOLDER"
        )
    if clip and possible_id_switches is None:
        raise click.UsageError("--clip goes with --possible-id-switches FOLDER")
    ids = None if only_ids is None else _parse_ids(only_ids)

    from posetrack_app.jobs.convert import read_tracks
    from posetrack_app.jobs.render import render as draw

    content = read_tracks(tracks)
    began = time.perf_counter()
    with click.progressbar(
        length=len(content.frames) if out is not None else 0,
        label="drawing",
        file=sys.stderr,
        hidden=out is None or not sys.stderr.isatty(),
    ) as bar:
        done = draw(
            video,
            content,
            out,
            contact_sheet=contact_sheet,
            possible_id_switches=possible_id_switches,
            clip=clip,
            trails=trails,
            only_ids=ids,
            blur_faces=blur_faces,
            names=_parse_names(names),
            side_by_side=side_by_side,
            force=force,
            on_frame=lambda: bar.update(1),
        )
    if out is not None:
        rate = done / (time.perf_counter() - began)
        of_total = f" of {len(content.frames)}" if done < len(content.frames) else ""
        click.echo(f"{out}: {done}{of_total} frames drawn, {rate:.0f} frames a second")
    if contact_sheet is not None:
        click.echo(
            f"{contact_sheet}: {counted(len(content.ids if ids is None else ids), 'identity', 'identities')}"
        )
    if possible_id_switches is not None:
        written = len(list(possible_id_switches.iterdir())) if possible_id_switches.is_dir() else 0
        switches = counted(written, "possible id switch", "possible id switches")
        click.echo(f"{possible_id_switches}: {switches}" + ("" if written else ", so nothing is written"))


def _parse_ids(text: str) -> frozenset[int]:
    try:
        return frozenset(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--only-ids: give numbers separated by commas, such as 1,4,7; got {text!r}"
        ) from error


def _parse_names(text: str | None) -> dict[int, str]:
    names: dict[int, str] = {}
    for part in text.split(",") if text else []:
        number, equals, name = part.partition("=")
        if not equals or not number.strip().isdecimal() or not name.strip():
            raise InputError(f"--names: give ids with names, such as 1=Ann,4=Ben; got {part!r}")
        names[int(number)] = name.strip()
    return names
