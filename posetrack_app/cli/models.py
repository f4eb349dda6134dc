"""`posetrack models`: the networks that posetrack can run, with cost and accuracy."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import folder_option

LARGEST_INPUT = (1333, 800)
"""Width and height of the largest detector input in mmdetection, for which a detector's cost is given."""


@click.command()
@folder_option
def models(folder: Path | None) -> None:
    """List networks and published weights with cost and accuracy.

    Also shows the licence, and whether the file is on this machine. Inputs are height x width, as in the
    papers. GFLOPs are those of the papers (multiply-adds / 2^30, transposed convolutions counted at every
    output); GMACs are true multiply-adds / 10^9. A detector's cost is the most for one image of the size shown:
    all its proposals pass the box heads, all detections the mask head.
    """
    from posetrack_detectors.networks.registry import DETECTORS, POSE_NETWORKS
    from posetrack_detectors.person_detector import padded_shape, resized_shape

    from posetrack_app.models.networks import cost_of
    from posetrack_app.models.weights import downloaded, embedded, published

    present = {*embedded(), *(entry.name for entry in downloaded(folder))}
    row = "{:36} {:8} {:>9} {:>7} {:>7}  {:11} {:5} {}"
    click.echo(row.format("name", "input", "params M", "GFLOPs", "GMACs", "licence", "here", "published"))
    for entry in (*embedded().values(), *published().values()):
        if entry.network not in {*DETECTORS, *POSE_NETWORKS}:
            continue  # only in `posetrack weights list`
        costs = cost_of(entry.network, entry.outputs, entry.input)
        width, height = entry.input or padded_shape(
            [resized_shape(*LARGEST_INPUT, DETECTORS[entry.network][1])]
        )
        click.echo(
            row.format(
                entry.name,
                f"{height}x{width}",
                f"{costs.parameters / 1e6:.2f}",
                f"{costs.published_macs / 2**30:.2f}",
                f"{costs.macs / 1e9:.2f}",
                entry.licence,
                "yes" if entry.name in present else "no",
                entry.metric or "-",
            )
        )
