"""`posetrack doctor`: what posetrack finds on this machine, and what is broken."""

from __future__ import annotations

import click

from posetrack_app.core.words import counted


@click.command()
def doctor() -> None:
    """Show packages, devices, codecs, weights and decoders.

    Each decoder reads a generated clip, and its frames are compared with the original. FAIL marks what must be
    fixed (the exit code is then 1), -- marks what is missing but optional. Paste the output into bug reports.
    """
    import tempfile
    from pathlib import Path

    from posetrack_app.jobs.doctor import examine

    marks = {"ok": "ok  ", "missing": "--  ", "broken": "FAIL"}
    broken = 0
    with tempfile.TemporaryDirectory(prefix="posetrack-doctor-") as folder:
        for finding in examine(Path(folder)):
            broken += finding.state == "broken"
            click.echo(f"{marks[finding.state]}  {finding.part:<20} {finding.detail}")
    if broken:
        click.echo(f"{counted(broken, 'problem')} to fix before you use posetrack")
        raise SystemExit(1)
