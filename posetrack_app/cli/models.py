"""`posetrack models`: the networks we run, what they cost and how good they are."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.weights import folder_option

RUNS = ("hrnet-", "resnet-", "faster-rcnn-", "cascade-rcnn-", "mask-rcnn-")
"""How the names of networks start that we build; other files are only in `posetrack weights list`."""


@click.command()
@folder_option
def models(folder: Path | None) -> None:
    """Networks and their published weights: size, cost, accuracy, licence, and whether they are here.

    GFLOPs are those of the papers (multiply-adds / 2^30, transposed convolutions counted at every output);
    GMACs are true multiply-adds / 10^9. Inputs are height x width, as in the papers.
    """
    from posetrack_app.weights import here, published

    present = {entry.name for entry in here(folder)}
    row = "{:36} {:8} {:>9} {:>7} {:>7}  {:11} {:5} {}"
    click.echo(row.format("name", "input", "params M", "GFLOPs", "GMACs", "licence", "here", "published"))
    for entry in published().values():
        if not entry.network.startswith(RUNS):
            continue
        size = f"{entry.input[1]}x{entry.input[0]}" if entry.input else "800x1344"
        click.echo(
            row.format(
                entry.name,
                size,
                _figure(entry.parameters, 1e6, 2),
                _figure(entry.published_macs, 2**30, 2),
                _figure(entry.macs, 1e9, 2),
                entry.licence,
                "yes" if entry.name in present else "no",
                entry.metric or "-",
            )
        )


def _figure(count: int | None, unit: float, digits: int) -> str:
    return "-" if count is None else f"{count / unit:.{digits}f}"
