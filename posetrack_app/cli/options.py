"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.core.choices import DEVICES

PATH = click.Path(path_type=Path)

preset_option = click.option(
    "--preset",
    default="default",
    show_default=True,
    help="The settings to start from: default, accurate, posetrack18 or flowtrack.",
)
config_option = click.option(
    "--config", type=PATH, help="A TOML file with settings that differ from the preset."
)
device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where the networks run.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite existing files.")
folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of weight files; default: POSETRACK_WEIGHTS, else the user's cache folder.",
)
