"""`posetrack link`: new identities for stored poses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from posetrack_app.offline_smoothing import Method

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("poses", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="The tracks file to write.")
@click.option("--preset", default="default", show_default=True, help="Settings that ship with posetrack.")
@click.option("--config", "config_file", type=_FILE, help="TOML file whose [tracker] and [smoothing] count.")
@click.option("--offline", is_flag=True, help="Then join broken tracks, fill short gaps, repair, smooth.")
@click.option(
    "--smooth",
    type=click.Choice(["butterworth", "savgol", "kalman"]),
    default="butterworth",
    show_default=True,
    help="Zero-lag smoothing of --offline.",
)
@click.option("--force", is_flag=True, help="Write over an existing file.")
def link(
    poses: Path, out: Path, preset: str, config_file: Path | None, offline: bool, smooth: Method, force: bool
) -> None:
    """Link the people of POSES anew, without video or networks.

    POSES is a tracks file, a PoseTrack18 file or a list of COCO keypoint results; it needs no identities.
    The thresholds of the default preset fit the scores of the package's detector: where others found the people,
    --preset accurate or a --config with [tracker] confident and weak may fit better.
    """
    from posetrack_app import api

    report = api.link(
        poses, out, preset=preset, config=config_file, offline=offline, smooth=smooth, force=force
    )
    click.echo(report.summary())
