"""`posetrack run`: find and track everyone in videos."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from posetrack_app.cli.options import PATH, config_option, device_option, preset_option
from posetrack_app.cli.output import say
from posetrack_app.core.errors import InputError


@click.command()
@click.argument("videos", nargs=-1)
@click.option("--out", type=PATH, help="The tracks file to write (JSON, PoseTrack18 layout), for one video.")
@click.option("--out-dir", type=PATH, help="The folder for the tracks files of many videos: <name>.json.")
@click.option("--list", "list_file", type=PATH, help="A text file with more videos, one per line.")
@click.option("--overlay", type=PATH, help="Also write an MP4 with the people drawn on the video.")
@preset_option
@config_option
@device_option
@click.option("--start", type=float, metavar="SECONDS", help="Skip frames shown before this time.")
@click.option("--stop", type=float, metavar="SECONDS", help="Skip frames shown at or after this time.")
@click.option(
    "--duration",
    type=float,
    metavar="SECONDS",
    help="How much to process, from --start on, or of a live stream.",
)
@click.option("--stride", type=int, default=1, show_default=True, help="Process every n-th frame.")
@click.option(
    "--fps",
    type=float,
    help="Frame rate of an image folder (default 25) or of raw H.264/HEVC, which have no times.",
)
@click.option(
    "--video-stream",
    type=int,
    metavar="N",
    help="FFmpeg's number of the video stream to read if there are several (default: the best one).",
)
@click.option("--resume", is_flag=True, help="Continue stopped runs and keep finished ones.")
@click.option("--force", is_flag=True, help="Overwrite existing files and start from the beginning.")
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
    """Find and track everyone in VIDEOS.

    Every person gets an identity, a box and keypoints in every frame. A video is a file, an image folder,
    webcam:0, an address (rtsp://, http://, ...) or - for standard input. One video goes to --out, many go to
    --out-dir.
    """
    from posetrack_app.cli.progress import show_progress
    from posetrack_app.core.config import load_config
    from posetrack_app.jobs.inputs import expand_sources
    from posetrack_app.jobs.outputs import output_files

    sources = expand_sources(videos, list_file)
    if (out is None) == (out_dir is None):
        raise InputError("give --out FILE for one video, or --out-dir DIR for many")
    if out is not None and len(sources) > 1:
        raise InputError(f"--out is for one video, but there are {len(sources)}; give --out-dir DIR")
    if out_dir is not None and overlay is not None:
        raise InputError(
            "--overlay is for one video with --out; draw the tracks of many with posetrack render"
        )
    settings = load_config(preset, config)

    if out is not None:
        from posetrack_app.jobs.track import track_video
        from posetrack_app.video.source_name import display_name

        with show_progress(sys.stderr) as progress:
            report = track_video(
                sources[0], out, config=settings, device=device, overlay=overlay, progress=progress, **options
            )
        for loss in report.losses:
            say(f"posetrack: {display_name(sources[0])}: {loss}", err=True)
        say(report.summary())
        return

    from posetrack_app.jobs.track_many import exit_code, table, track_videos

    outs = output_files(sources, out_dir or Path())
    progress_bars = partial(show_progress, sys.stderr)
    outcomes = track_videos(sources, outs, config=settings, device=device, progress=progress_bars, **options)
    click.echo(table(outcomes))
    sys.exit(exit_code(outcomes))
