"""`posetrack export`: a network with its weights as an ONNX file."""

from __future__ import annotations

import re
from pathlib import Path

import click

from posetrack_app.cli.weights import folder_option, progress_bar
from posetrack_app.errors import InputError


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["onnx"]),
    default="onnx",
    show_default=True,
    help="What to write.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: NAME.onnx.")
@click.option(
    "--frames",
    default="1920x1080",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    help="For a detector: the frames that its input is made for.",
)
@click.option("--force", is_flag=True, help="Write over an existing file.")
@folder_option
def export(
    name: str, file_format: str, out: Path | None, frames: str, force: bool, folder: Path | None
) -> None:
    """Write a network of `posetrack models` as ONNX.

    It is checked against PyTorch with onnxruntime. Inputs are float32 with ImageNet's mean and deviation
    taken out, in the colour order printed. A pose network takes `crops` (N, 3, height, width) and gives
    `heatmaps` (N, keypoints, height / 4, width / 4). A detector takes one `picture` (1, 3, height, width), a
    resized frame with zeros to the right and below, and its `size` (2): width and height without those; it
    gives `boxes` (N, 4) x1 y1 x2 y2 in pixels of that input and `scores` (N) of people, best first.
    """
    from posetrack_app.formats.whole import refuse_to_replace
    from posetrack_app.weights import fetch, find

    entry = find(name)
    stated = re.fullmatch(r"(\d+)x(\d+)", frames)
    if stated is None or "0" in stated.groups():
        raise InputError(f"--frames {frames}: write width and height in pixels, such as 1920x1080")
    target = out or Path(f"{name}.{file_format}")
    if not force:
        refuse_to_replace(target)

    from posetrack_detectors.onnx_export import (
        MissingPackageError,
        detector_input,
        export_detector,
        export_pose_network,
    )
    from posetrack_detectors.pose_networks import POSE_NETWORKS

    from posetrack_app.assemble import DETECTORS, load_detector, load_pose_network

    if entry.network not in {*DETECTORS, *POSE_NETWORKS}:
        raise InputError(
            f"{name} is for {entry.network}, which posetrack does not build; see `posetrack models`"
        )
    with progress_bar(entry.file) as progress:
        path = fetch(entry, folder, progress=progress)
    try:
        if entry.input is not None:
            network = load_pose_network(entry.network, entry.outputs, path)
            difference = export_pose_network(network, entry.input, target)
            takes = f"crops {entry.input[0]}x{entry.input[1]} (width x height), {entry.outputs} heatmaps"
            agreement = (
                f"largest difference from PyTorch: {difference:.1e} of the output's standard deviation"
            )
        else:
            detector, size = load_detector(entry.network, path), (int(stated[1]), int(stated[2]))
            share, count = export_detector(detector, size, target)
            width, height = detector_input(detector, size)
            takes = f"picture {width}x{height} (width x height)"
            agreement = f"{share:.1%} of {count} detections in made-up pictures are PyTorch's"
    except MissingPackageError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from None
    click.echo(f"{target}: {entry.colour} {takes}")
    click.echo(agreement)
