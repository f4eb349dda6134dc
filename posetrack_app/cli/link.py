"""`posetrack link`: new identities for stored poses."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import PATH, force_option, preset_option
from posetrack_app.cli.output import say
from posetrack_app.core.choices import SMOOTHING


@click.command()
@click.argument("poses", type=PATH)
@click.option("--out", type=PATH, required=True, help="The tracks file to write.")
@preset_option
@click.option(
    "--config",
    type=PATH,
    help="A TOML file; its [tracker], [flow_tracker], [smoothing] and [second_pass] are used.",
)
@click.option(
    "--second-pass", is_flag=True, help="Afterwards join broken tracks, fill short gaps, repair and smooth."
)
@click.option(
    "--smooth",
    type=click.Choice(SMOOTHING),
    help="Smoothing in --second-pass; default: the setting in [second_pass] (butterworth).",
)
@force_option
def link(
    poses: Path,
    out: Path,
    preset: str,
    config: Path | None,
    second_pass: bool,
    smooth: str | None,
    force: bool,
) -> None:
    """Assign new identities to stored poses, without video or networks.

    POSES is a tracks file, a PoseTrack18 file or a list of COCO keypoint results; it needs no identities.
    The thresholds of the default preset fit the embedded detector. For poses from another detector, --preset
    accurate or a --config with [tracker] high_score and low_score may fit better.
    """
    from posetrack_app.jobs.link import link as link_file

    report = link_file(
        poses, out, preset=preset, config=config, second_pass=second_pass, smooth=smooth, force=force
    )
    say(report.summary())
