"""`posetrack review`: a local web page to look at tracks and to correct them."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import click

from posetrack_app.cli.options import PATH, force_option


@click.command()
@click.argument("tracks", type=PATH)
@click.option(
    "--video", type=PATH, help="The video of the tracks; default: the file they name, beside them or here."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the server; default: a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address; do not open a browser.")
@click.option("--export", type=PATH, help="Write one HTML file to look at and to mail, without a server.")
@force_option
def review(
    tracks: Path,
    video: Path | None,
    host: str,
    port: int,
    no_browser: bool,
    export: Path | None,
    force: bool,
) -> None:
    """Look at TRACKS on a local web page and correct them.

    Corrections are stored beside TRACKS in TRACKS.edits.json; `posetrack edit apply` writes the corrected tracks.
    The page works without an internet connection, and only this machine can open it. Stop it with ctrl-C.
    """
    from posetrack_app.jobs.review import export_review
    from posetrack_app.jobs.review import review as serve

    if export is not None:
        with click.progressbar(
            length=0, label="frames", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            size = export_review(tracks, export, video=video, force=force, on_frame=lambda: bar.update(1))
        click.echo(f"{export}: {size / 1e6:.1f} MB; open it in a browser")
        return

    def show(address: str) -> None:
        click.echo(f"review page: {address} (ctrl-C stops it)")
        sys.stdout.flush()
        if not no_browser:
            webbrowser.open(address)

    serve(tracks, video=video, host=host, port=port, on_ready=show)
