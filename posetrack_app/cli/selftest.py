"""`posetrack selftest`: is this installation sound?"""

from __future__ import annotations

import click


@click.command()
def selftest() -> None:
    """Check this installation in seconds, without data or network.

    Exit code 1 where it is not sound. A film with known figures is made, with crossings, empty frames, a cut,
    uneven frame times and a phone's rotation, and goes through decoding, tracking, smoothing, writing,
    reading, converting, scoring and drawing. The networks are not part of it: `posetrack doctor` looks at
    their weights.
    """
    import tempfile
    import time
    from pathlib import Path

    from posetrack_app.selftest import run_selftest

    began = time.perf_counter()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="posetrack-selftest-") as folder:
        for check in run_selftest(Path(folder)):
            failed += not check.passed
            click.echo(f"{'ok  ' if check.passed else 'FAIL'}  {check.name:<11} {check.detail}")
    seconds = time.perf_counter() - began
    if failed:
        click.echo(f"posetrack is not sound here: {failed} of the checks failed ({seconds:.1f} s)")
        raise SystemExit(1)
    click.echo(f"posetrack works here ({seconds:.1f} s)")
