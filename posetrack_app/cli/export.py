"""`posetrack export`: a pose network with its weights as an ONNX file."""

from __future__ import annotations

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
@folder_option
def export(name: str, file_format: str, out: Path | None, folder: Path | None) -> None:
    """Write the pose network NAME of `posetrack models` as ONNX, checked against PyTorch with onnxruntime.

    Its input `crops` are (N, 3, height, width) float32 with ImageNet's mean and deviation taken out, in the
    colour order printed; its output `heatmaps` is (N, keypoints, height / 4, width / 4).
    """
    from posetrack_app.weights import fetch, find

    entry = find(name)
    if entry.task != "pose" or entry.input is None:
        raise InputError(f"{name} is a detector; only pose networks can be exported (see `posetrack models`)")
    target = out or Path(f"{name}.{file_format}")
    with progress_bar(entry.file) as progress:
        path = fetch(entry, folder, progress=progress)

    from posetrack_detectors.checkpoints import CheckpointError, load_weights
    from posetrack_detectors.onnx_export import MissingPackageError, export_pose_network
    from posetrack_detectors.pose_networks import POSE_NETWORKS

    network = POSE_NETWORKS[entry.network](entry.outputs)
    try:
        load_weights(network, path)
        difference = export_pose_network(network, entry.input, target)
    except (CheckpointError, MissingPackageError) as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from None
    click.echo(f"{target}: {entry.colour} crops {entry.input[0]}x{entry.input[1]}, {entry.outputs} heatmaps")
    click.echo(f"largest difference from PyTorch: {difference:.1e} of the output's standard deviation")
