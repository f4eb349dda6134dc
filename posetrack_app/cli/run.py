"""`posetrack run`: find and track everyone in videos."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from posetrack_app.cli.options import PATH, DeviceName, config_option, preset_option
from posetrack_app.cli.output import say
from posetrack_app.core.errors import InputError

_FOR_MANY = {
    "workers": None, "overlay_dir": None, "skip_done": False, "part": None, "ray": None, "max_seconds": None,
    "metrics": None, "summary_html": False,
}  # fmt: skip
"""Options that need --out-dir, with their values when they are not given."""


@click.command()
@click.argument("videos", nargs=-1)
@click.option("--out", type=PATH, help="The tracks file to write (JSON, PoseTrack18 layout), for one video.")
@click.option(
    "--out-dir", type=PATH, help="The folder for the tracks files of many videos: <name>.json; summary.jsonl."
)
@click.option("--list", "list_file", type=PATH, help="A text file with more videos, one per line.")
@click.option("--overlay", type=PATH, help="Also write an MP4 with the people drawn on the video.")
@click.option("--overlay-dir", type=PATH, help="The folder for the overlays of many videos: <name>.mp4.")
@preset_option
@config_option
@click.option(
    "--device",
    "devices",
    type=DeviceName(several=True),
    default="auto",
    show_default=True,
    help="Where the networks run; cuda:1 is the second card. Workers share several: cuda:0,cuda:1.",
)
@click.option(
    "--workers",
    metavar="N|auto",
    help="Processes that track one video each. auto: one per card, or on the CPU one per core.  [default: 1]",
)
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
@click.option(
    "--skip-done", is_flag=True, help="Like --resume, without opening finished videos to compare settings."
)
@click.option("--force", is_flag=True, help="Overwrite existing files and start from the beginning.")
@click.option(
    "--max-seconds", type=float, metavar="SECONDS", help="End a video that takes longer; the rest go on."
)
@click.option("--part", metavar="K/N", help="Only the K-th of N parts; slurm: the part of this array task.")
@click.option(
    "--ray",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value="",
    help="Run the workers on a Ray cluster; without an address, the one that Ray finds or starts.",
)
@click.option("--summary-html", is_flag=True, help="Also write summary.html into --out-dir.")
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    help="Serve metrics for Prometheus, to this machine unless HOST is given.",
)
@click.option("--quiet", is_flag=True, help="Print only warnings and errors.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one JSON object per line on standard error, and no progress bars.",
)
def run(
    videos: tuple[str, ...],
    out: Path | None,
    out_dir: Path | None,
    list_file: Path | None,
    preset: str,
    config: Path | None,
    quiet: bool,
    log_format: str,
    **options: Any,
) -> None:
    """Find and track everyone in VIDEOS.

    Every person gets an identity, a box and keypoints in every frame. A video is a file, an image folder,
    webcam:0, an address (rtsp://, http://, ...) or - for standard input. One video goes to --out, many go to
    --out-dir.
    """
    from posetrack_app.cli.log import set_log
    from posetrack_app.core.config import load_config
    from posetrack_app.jobs.inputs import expand_sources

    set_log(log_format, quiet=quiet)
    sources = expand_sources(videos, list_file)
    if (out is None) == (out_dir is None):
        raise InputError("give --out FILE for one video, or --out-dir DIR for many")
    settings = load_config(preset, config)
    if out_dir is not None:
        if options.pop("overlay") is not None:
            raise InputError("--overlay is for one video with --out; give --overlay-dir DIR for many")
        _run_many(sources, out_dir, settings, quiet, log_format, **options)
        return
    if len(sources) > 1:
        raise InputError(f"--out is for one video, but there are {len(sources)}; give --out-dir DIR")
    for name, default in _FOR_MANY.items():
        if options.pop(name) != default:
            raise InputError(f"--{name.replace('_', '-')} is for many videos; give --out-dir DIR")
    _run_one(sources[0], out or Path(), settings, quiet, log_format, **options)


def _run_one(
    source: str,
    out: Path,
    settings: Any,
    quiet: bool,
    log_format: str,
    *,
    devices: Sequence[str],
    **options: Any,
) -> None:
    import logging

    from posetrack_app.cli.progress import show_progress
    from posetrack_app.jobs.track import track_video
    from posetrack_app.video.source_name import display_name

    if len(devices) > 1:
        raise InputError("one video runs on one device; several are for many videos with --out-dir DIR")
    with show_progress(None if quiet or log_format == "json" else sys.stderr) as progress:
        report = track_video(source, out, config=settings, device=devices[0], progress=progress, **options)
    logger = logging.getLogger("posetrack")
    for loss in report.losses:
        logger.warning("%s: %s", display_name(source), loss)
    if log_format == "json":
        logger.info("%s", report.summary())
    elif not quiet:
        say(report.summary())


def _run_many(
    sources: Sequence[str],
    out_dir: Path,
    settings: Any,
    quiet: bool,
    log_format: str,
    *,
    workers: str | None,
    devices: Sequence[str],
    part: str | None,
    ray: str | None,
    max_seconds: float | None,
    metrics: str | None,
    summary_html: bool,
    **options: Any,
) -> None:
    from posetrack_app.cli.progress import show_workers
    from posetrack_app.jobs.track_many import Sharing, exit_code, table, track_videos

    sharing = Sharing(
        workers=_workers(workers, ray),
        devices=devices,
        part=part or "1/1",
        ray=ray,
        max_seconds=max_seconds,
        metrics=metrics,
        summary_page=summary_html,
    )
    with show_workers(None if quiet or log_format == "json" else sys.stderr) as show:
        outcomes = track_videos(sources, out_dir, config=settings, sharing=sharing, show=show, **options)
    if log_format == "text" and not quiet:
        click.echo(table(outcomes))
    sys.exit(exit_code(outcomes))


def _workers(text: str | None, ray: str | None) -> int | None:
    """A number, or None for "auto", which is what a Ray cluster gets by default."""
    if text == "auto" or (text is None and ray is not None):
        return None
    if text is not None and not text.isdecimal():
        raise InputError(f"--workers is a number or auto, got '{text}'")
    return int(text or 1)
