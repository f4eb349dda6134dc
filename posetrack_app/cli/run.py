"""`posetrack run`: everybody in a video, with identities."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("videos", nargs=-1)
@click.option("--out", type=_FILE, help="The tracks file to write (JSON, PoseTrack18 layout), for one video.")
@click.option("--out-dir", type=_FILE, help="The folder for the tracks files of many videos: <name>.json.")
@click.option("--list", "list_file", type=_FILE, help="A text file that names more videos, one a line.")
@click.option("--overlay", type=_FILE, help="Also write the video with the people drawn on it (MP4).")
@click.option(
    "--preset", default="default", show_default=True, help="default, accurate, posetrack18 or flowtrack."
)
@click.option("--config", type=_FILE, help="A TOML file with settings that differ from the preset's.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the networks compute.",
)
@click.option("--start", type=float, metavar="SECONDS", help="Leave out what is shown before.")
@click.option("--stop", type=float, metavar="SECONDS", help="Leave out what is shown from then on.")
@click.option("--duration", type=float, metavar="SECONDS", help="How much to take, of a stream too.")
@click.option("--stride", type=int, default=1, show_default=True, help="Take every n-th frame.")
@click.option("--resume", is_flag=True, help="Go on with what a stopped run left; leave what is done.")
@click.option("--force", is_flag=True, help="Write over existing files, and start over.")
def run(
    videos: tuple[str, ...],
    out: Path | None,
    out_dir: Path | None,
    list_file: Path | None,
    overlay: Path | None,
    preset: str,
    config: Path | None,
    device: str,
    **options: Any,
) -> None:
    """Find everybody in VIDEOS and follow them.

    Every person gets an identity, a box and keypoints in every frame. A video is a file, a folder of
    pictures, webcam:0, an address (rtsp://, http://, ...) or - for standard input. One goes to --out, many go
    to --out-dir.
    """
    from posetrack_app.config import load_config
    from posetrack_app.errors import InputError
    from posetrack_app.progress import show_progress
    from posetrack_app.sources import expand_sources, output_files

    sources = expand_sources(videos, list_file)
    if (out is None) == (out_dir is None):
        raise InputError("say where to write: --out FILE for one video, or --out-dir DIR for many")
    if out is not None and len(sources) > 1:
        raise InputError(f"--out is for one video, here are {len(sources)}; give --out-dir DIR")
    if out_dir is not None and overlay is not None:
        raise InputError("--overlay is for one video with --out; use posetrack render on the tracks of many")
    settings = load_config(preset, config)

    if out is not None:
        from posetrack_app.run import track_video
        from posetrack_app.video.stream import shown_name

        with show_progress(sys.stderr) as progress:
            report = track_video(
                sources[0], out, config=settings, device=device, overlay=overlay, progress=progress, **options
            )
        for loss in report.losses:
            click.echo(f"posetrack: {shown_name(sources[0])}: {loss}", err=True)
        click.echo(report.summary())
        return

    from posetrack_app.run_many import exit_code, table, track_videos

    outs = output_files(sources, out_dir or Path())
    outcomes = track_videos(
        sources, outs, config=settings, device=device, progress=partial(show_progress, sys.stderr),
        say=lambda line: click.echo(f"posetrack: {line}", err=True), **options,
    )  # fmt: skip
    click.echo(table(outcomes))
    sys.exit(exit_code(outcomes))
