"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


class DeviceName(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """One of `names`, or with "cuda" among them a card such as cuda:1; `several` separated by commas become a list."""

    name = "device"

    def __init__(self, names: Sequence[str] = DEVICES, *, several: bool = False) -> None:
        self._names = names
        self._several = several

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        choices = "|".join(self._names).replace("cuda", "cuda[:N]")
        return f"[{choices}]" + ("[,...]" if self._several else "")

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | list[str]:
        devices = value if isinstance(value, list) else [device.strip() for device in str(value).split(",")]
        for device in devices:
            if device not in self._names and not (
                "cuda" in self._names and re.fullmatch(r"cuda:\d+", device)
            ):
                self.fail(f"'{device}' is not one of {', '.join(self._names)} or a card such as cuda:1")
        if self._several:
            return devices
        if len(devices) > 1:
            self.fail("this command runs on one device")
        return devices[0]


device_option = click.option(
    "--device",
    type=DeviceName(),
    default="auto",
    show_default=True,
    help="Where the networks run; cuda:1 is the second card.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite existing files.")
folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of weight files; default: POSETRACK_WEIGHTS, else the user's cache folder.",
)
