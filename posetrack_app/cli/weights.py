"""`posetrack weights`: list, pull, verify, bundle and import published weight files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from posetrack_app.errors import InputError

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where weight files are kept; default: POSETRACK_WEIGHTS, else the user's cache folder.",
)


@click.group("weights")
def weights() -> None:
    """List, download, check and carry published weight files."""


@weights.command("list")
@folder_option
def list_weights(folder: Path | None) -> None:
    """List every published weight file; * marks those that are here."""
    from posetrack_app.weights import here, published, weights_folder

    present = {entry.name for entry in here(folder)}
    for entry in published().values():
        mark = "*" if entry.name in present else " "
        click.echo(f"{mark} {entry.name:38} {entry.source:12} {entry.licence:11} {entry.metric or '-'}")
    click.echo(f"{len(present)} of {len(published())} are in {weights_folder(folder)}")


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@folder_option
@click.option("--offline", is_flag=True, help="Never use the network; say which file to put where instead.")
def pull(names: tuple[str, ...], folder: Path | None, offline: bool) -> None:
    """Download weight files and check their SHA-256.

    An interrupted download is resumed.
    """
    from posetrack_app.weights import fetch, find

    for entry in [find(name) for name in names]:
        with progress_bar(entry.file) as progress:
            path = fetch(entry, folder, offline=offline or None, progress=progress)
        click.echo(f"{entry.name}: {path}")


@weights.command()
@folder_option
def verify(folder: Path | None) -> None:
    """Check every weight file that is here.

    Against its published SHA-256.
    """
    from posetrack_app.weights import check_file, here, weights_folder

    root, damaged, found = weights_folder(folder), [], here(folder)
    if not found:
        click.echo(f"no weight files are in {root}")
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
    """Write weight files into one file for a machine without network.

    By default all that are here.
    """
    from posetrack_app.weights import bundle as write_bundle
    from posetrack_app.weights import find, here, weights_folder

    entries = [find(name) for name in names] if names else here(folder)
    if not entries:
        raise InputError(f"no weight files are in {weights_folder(folder)}; pull some first")
    write_bundle(entries, out, folder)
    click.echo(f"{out}: {', '.join(entry.name for entry in entries)}")


@weights.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@folder_option
def import_weights(file: Path, folder: Path | None) -> None:
    """Take in a bundle, or a weight file downloaded by hand."""
    from posetrack_app.weights import import_file, weights_folder

    for entry in import_file(file, folder):
        click.echo(f"{entry.name}: {weights_folder(folder) / entry.file}")


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A download bar on standard error; nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, whole: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
