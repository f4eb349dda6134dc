"""`posetrack run`: everybody in a video, with identities."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("video", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="The tracks file to write (JSON, PoseTrack18 layout).")
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
@click.option("--stride", type=int, default=1, show_default=True, help="Take every n-th frame.")
@click.option("--force", is_flag=True, help="Write over an existing --out or --overlay.")
def run(
    video: Path,
    out: Path,
    overlay: Path | None,
    preset: str,
    config: Path | None,
    device: str,
    start: float | None,
    stop: float | None,
    stride: int,
    force: bool,
) -> None:
    """Find everybody in VIDEO, a file or a folder of pictures, and follow them: identity, box and keypoints."""
    from posetrack_app.config import load_config
    from posetrack_app.errors import InputError
    from posetrack_app.progress import show_progress
    from posetrack_app.run import track_video

    for target in (out, overlay):
        if target is not None and target.exists() and not force:
            raise InputError(f"{target}: exists already; choose another name or add --force")
    settings = load_config(preset, config)
    with show_progress(sys.stderr) as progress:
        report = track_video(
            video, out, config=settings, device=device, overlay=overlay, start=start, stop=stop, stride=stride,
            progress=progress,
        )  # fmt: skip
    for loss in report.losses:
        click.echo(f"posetrack: {video}: {loss}", err=True)
    click.echo(report.summary())
