"""`posetrack weights`: list, download, verify, bundle and import published weight files."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import PATH, folder_option
from posetrack_app.cli.progress import download_bar
from posetrack_app.core.errors import InputError


@click.group("weights")
def weights() -> None:
    """List, download, verify, bundle and import weight files."""


@weights.command("list")
@folder_option
def list_weights(folder: Path | None) -> None:
    """List every published weight file; * marks those on this machine."""
    from posetrack_app.models.weights import downloaded, published, weights_folder

    present = {entry.name for entry in downloaded(folder)}
    for entry in published().values():
        mark = "*" if entry.name in present else " "
        click.echo(f"{mark} {entry.name:38} {entry.source:12} {entry.licence:11} {entry.metric or '-'}")
    click.echo(f"{len(present)} of {len(published())} are in {weights_folder(folder)}")


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@folder_option
@click.option("--offline", is_flag=True, help="Do not download; say which file to put where.")
def pull(names: tuple[str, ...], folder: Path | None, offline: bool) -> None:
    """Download weight files and check their SHA-256.

    Run it again to continue an interrupted download.
    """
    from posetrack_app.models.weights import fetch, find

    for entry in [find(name) for name in names]:
        with download_bar(entry.file) as progress:
            path = fetch(entry, folder, offline=offline or None, progress=progress)
        click.echo(f"{entry.name}: {path}")


@weights.command()
@folder_option
def verify(folder: Path | None) -> None:
    """Compare the weight files here with their published SHA-256."""
    from posetrack_app.models.weights import check_file, downloaded, weights_folder

    root, damaged, found = weights_folder(folder), [], downloaded(folder)
    if not found:
        click.echo(f"there are no weight files in {root}")
    for entry in found:
        try:
            check_file(root / entry.file, entry)
        except InputError as error:
            damaged.append(entry.name)
            click.echo(f"DAMAGED {error}")
        else:
            click.echo(
                f"ok      {entry.name}" if entry.sha256 else f"unknown {entry.name} (no hash was published)"
            )
    if damaged:
        raise InputError(f"damaged: {', '.join(damaged)}; delete the files in {root} and pull them again")


@weights.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@folder_option
def bundle(out: Path, names: tuple[str, ...], folder: Path | None) -> None:
    """Write weight files into one file for a machine without internet.

    Without a NAME, all files on this machine.
    """
    from posetrack_app.models.weights import bundle as write_bundle
    from posetrack_app.models.weights import downloaded, find, weights_folder

    entries = [find(name) for name in names] if names else downloaded(folder)
    if not entries:
        raise InputError(f"there are no weight files in {weights_folder(folder)}; pull some first")
    write_bundle(entries, out, folder)
    click.echo(f"{out}: {', '.join(entry.name for entry in entries)}")


@weights.command("import")
@click.argument("file", type=PATH)
@folder_option
def import_weights(file: Path, folder: Path | None) -> None:
    """Import a bundle, or a weight file that you downloaded yourself."""
    from posetrack_app.models.weights import import_file, weights_folder

    for entry in import_file(file, folder):
        click.echo(f"{entry.name}: {weights_folder(folder) / entry.file}")
