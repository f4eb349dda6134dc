"""`posetrack edit`: corrections by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from posetrack_app.cli.options import PATH, force_option
from posetrack_app.core.errors import InputError


class _EditGroup(click.Group):
    """`posetrack edit TRACKS ...` is `posetrack edit add TRACKS ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["add", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_EditGroup)
def edit() -> None:
    """Correct tracks by hand: ids, people and keypoints.

    \b
    posetrack edit TRACKS --swap 14 15 --from 560     adds a correction to TRACKS.edits.json
    posetrack edit TRACKS --list                      shows them; --undo removes the last one
    posetrack edit apply TRACKS --out FILE            writes the corrected tracks

    The tracks file itself is never changed. docs/editing.md explains every correction.
    """


@edit.command()
@click.argument("tracks", type=PATH)
@click.option("--swap", nargs=2, type=int, metavar="ID ID", help="Exchange two ids.")
@click.option(
    "--merge", nargs=2, type=int, metavar="ID ID", help="Two ids are one person, who keeps the first id."
)
@click.option(
    "--split", type=int, metavar="ID", help="An id is two people; the second gets a new id, --from its frame."
)
@click.option("--delete", type=int, metavar="ID", help="Delete a person, or a span of them.")
@click.option("--rename", nargs=2, type=int, metavar="ID NEW", help="Give a person an id that is not used.")
@click.option(
    "--exchange-sides", type=int, metavar="ID", help="Exchange the left and right keypoints of a person."
)
@click.option(
    "--move-keypoint",
    nargs=4,
    type=(int, str, float, float),
    metavar="ID NAME X Y",
    help="Put a keypoint, such as left_knee, at X Y in one --frame.",
)
@click.option(
    "--hide-keypoint", nargs=2, type=(int, str), metavar="ID NAME", help="Mark a keypoint as hidden."
)
@click.option(
    "--confirm",
    metavar="ID[,ID]",
    help="A possible id switch in this --frame is none: leave it out of the list.",
)
@click.option("--from", "first", type=int, metavar="FRAME", help="The first frame; default: the start.")
@click.option("--to", "last", type=int, metavar="FRAME", help="The last frame, included; default: the end.")
@click.option("--frame", type=int, metavar="FRAME", help="Only this frame: --from and --to in one.")
@click.option("--reason", default="", help="A note that is stored with the correction.")
@click.option("--list", "show", is_flag=True, help="List the corrections.")
@click.option("--undo", is_flag=True, help="Remove the last correction.")
@click.option(
    "--replay",
    type=PATH,
    metavar="EDITS",
    help="Add the corrections of another run of this video; people are found by place and time.",
)
def add(tracks: Path, **options: Any) -> None:
    """Add one correction to the edits file beside TRACKS (the word `add` can be left out).

    Frames are the frame numbers of the tracks file (frame_index).
    """
    actions = {
        name: value for name, value in options.items() if name in _ACTIONS and value not in (None, False)
    }
    if len(actions) != 1:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in _ACTIONS).replace("--show", "--list")
        raise click.UsageError(f"give one of {names}; got {len(actions) or 'none'}")
    ((action, value),) = actions.items()
    first, last = _span(options)

    from posetrack_app.jobs import edit as job

    if action == "show":
        for number, each in enumerate(job.read_edits(tracks), start=1):
            click.echo(f"{number}  {each.time}  {each}" + (f"  ({each.reason})" if each.reason else ""))
        return
    if action == "undo":
        click.echo(f"undone: {job.undo_edit(tracks)}")
        return
    if action == "replay":
        click.echo(job.replay_edits(tracks, value).summary())
        return
    click.echo(job.add_edit(tracks, _edit(action, value, first, last, options["reason"])))


@edit.command()
@click.argument("tracks", type=PATH)
@click.option("--out", type=PATH, required=True, help="The tracks file to write.")
@click.option(
    "--edits",
    type=PATH,
    help="The edits file; default: the one beside TRACKS. That of another run is replayed by place and time.",
)
@force_option
def apply(tracks: Path, out: Path, edits: Path | None, force: bool) -> None:
    """Write corrected tracks; TRACKS stays as it is.

    Gaps are filled and keypoints smoothed again for the people who changed.
    """
    from posetrack_app.jobs.edit import apply_edits

    click.echo(apply_edits(tracks, out, edits=edits, force=force).summary())


_ACTIONS = (
    "swap", "merge", "split", "delete", "rename", "exchange_sides", "move_keypoint", "hide_keypoint", "confirm",
    "show", "undo", "replay",
)  # fmt: skip


def _span(options: dict[str, Any]) -> tuple[int | None, int | None]:
    """The first and the last frame."""
    if options["frame"] is None:
        return options["first"], options["last"]
    if options["first"] is not None or options["last"] is not None:
        raise click.UsageError("--frame is one frame; give it alone, or --from and --to")
    return options["frame"], None if options["split"] is not None else options["frame"]


def _edit(action: str, value: Any, first: int | None, last: int | None, reason: str) -> Any:
    """The `Edit` that the options ask for."""
    from posetrack_app.formats.edits_json.edit import Edit

    ids, keypoint, xy = value, "", None
    if action in ("split", "delete", "exchange_sides"):
        ids = (value,)
    elif action == "confirm":
        ids = _ids(value)
    elif action in ("move_keypoint", "hide_keypoint"):
        number, keypoint, *place = value
        ids, xy = (number,), tuple(place) or None
    return Edit(action, ids, first, last, keypoint, xy, reason=reason)


def _ids(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--confirm: give ids separated by commas, such as 14,15; got {text!r}") from error
