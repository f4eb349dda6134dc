"""`posetrack export`: a network with its weights as an ONNX file."""

from __future__ import annotations

import re
from pathlib import Path

import click

from posetrack_app.cli.options import folder_option, force_option
from posetrack_app.cli.output import say
from posetrack_app.cli.progress import download_bar
from posetrack_app.core.errors import InputError


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["onnx"]),
    default="onnx",
    show_default=True,
    help="The format to write.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: NAME.onnx.")
@click.option(
    "--frames",
    default="1920x1080",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    help="Size of the frames that a detector's input is made for.",
)
@force_option
@folder_option
def export(
    name: str, file_format: str, out: Path | None, frames: str, force: bool, folder: Path | None
) -> None:
    """Write a network of `posetrack models` as ONNX.

    The file is compared with PyTorch, using onnxruntime. Inputs are float32, normalised with ImageNet's mean
    and standard deviation, in the colour order that is printed. A pose network takes `crops` (N, 3, height,
    width) and gives `heatmaps` (N, keypoints, height / 4, width / 4). A detector takes one `image` (1, 3,
    height, width), a resized frame with zeros to the right and below, and its `size` (2): width and height
    without the zeros. It gives `boxes` (N, 4) x1 y1 x2 y2 in pixels of that input and `scores` (N) of people,
    best first.
    """
    size = re.fullmatch(r"(\d+)x(\d+)", frames)
    if size is None or "0" in size.groups():
        raise InputError(f"--frames {frames}: give width and height in pixels, such as 1920x1080")

    from posetrack_app.jobs.export import export_network

    with download_bar(name) as progress:
        report = export_network(
            name, out, frame_size=(int(size[1]), int(size[2])), folder=folder, force=force, progress=progress
        )
    say(report.summary())
