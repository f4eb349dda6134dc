"""`posetrack selftest`: a quick check of this installation."""

from __future__ import annotations

import click


@click.command()
def selftest() -> None:
    """Check this installation in seconds, without data or internet.

    A generated video with known people goes through decoding, tracking, smoothing, writing, reading,
    converting, scoring and drawing. It has crossings, empty frames, a cut, a variable frame rate and a phone's
    rotation. The networks are not checked; `posetrack doctor` checks their weights. The exit code is 1 if a
    check fails.
    """
    import tempfile
    import time
    from pathlib import Path

    from posetrack_app.jobs.selftest import run_selftest

    began = time.perf_counter()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="posetrack-selftest-") as folder:
        for check in run_selftest(Path(folder)):
            failed += not check.passed
            mark = "ok  " if check.passed else "FAIL"
            click.echo(f"{check.number} of {check.count}  {mark}  {check.name:<11} {check.detail}")
    seconds = time.perf_counter() - began
    if failed:
        click.echo(f"posetrack does not work correctly here: {failed} of the checks failed ({seconds:.1f} s)")
        raise SystemExit(1)
    click.echo(f"posetrack works here ({seconds:.1f} s)")
