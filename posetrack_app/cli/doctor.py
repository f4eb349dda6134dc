"""`posetrack doctor`: what there is on this machine, and what is wrong with it."""

from __future__ import annotations

import click


@click.command()
def doctor() -> None:
    """Show what this machine offers: packages, devices, codecs.

    Also extras, weights and decoders: each reads a clip made on the spot, and the frames are compared. Exit
    code 1 where something that is needed is broken; what is merely absent is marked --. Paste the output into
    bug reports.
    """
    import tempfile
    from pathlib import Path

    from posetrack_app.doctor import examine

    marks = {"ok": "ok  ", "absent": "--  ", "broken": "FAIL"}
    broken = 0
    with tempfile.TemporaryDirectory(prefix="posetrack-doctor-") as folder:
        for finding in examine(Path(folder)):
            broken += finding.state == "broken"
            click.echo(f"{marks[finding.state]}  {finding.part:<19} {finding.detail}")
    if broken:
        click.echo(f"{broken} of these must be mended before posetrack can be relied on")
        raise SystemExit(1)
