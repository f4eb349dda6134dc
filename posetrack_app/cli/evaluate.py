"""`posetrack evaluate`: score predictions against ground truth."""

from __future__ import annotations

import math
from pathlib import Path

import click

from posetrack_app.cli.options import PATH
from posetrack_app.core.choices import PROTOCOLS
from posetrack_app.core.errors import InputError


@click.command()
@click.argument("truth", type=PATH)
@click.argument("predictions", type=PATH)
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(PROTOCOLS),
    multiple=True,
    default=("corrected", "poseval"),
    show_default="corrected and poseval, side by side",
    help="The rules to score by; may be given several times.",
)
@click.option("--keypoint-threshold", type=float, help="Drop predicted keypoints below this score first.")
@click.option("--sweep", is_flag=True, help="Also score at 20 keypoint thresholds: mAP against MOTA.")
@click.option("--json", "json_file", type=PATH, help="Write all scores, per sequence and per joint.")
@click.option(
    "--report", type=PATH, help="Write an HTML page with tables, curves, sequences and id switches."
)
@click.option(
    "--baseline", type=PATH, help="A --json file of an earlier run: exit with 1 if a total is worse now."
)
@click.option(
    "--margin", type=float, default=0.1, show_default=True, help="How many points a total may drop."
)
def evaluate(
    truth: Path,
    predictions: Path,
    protocols: tuple[str, ...],
    keypoint_threshold: float | None,
    sweep: bool,
    json_file: Path | None,
    report: Path | None,
    baseline: Path | None,
    margin: float,
) -> None:
    """Score PREDICTIONS against TRUTH: two files, or two folders.

    Files in folders are paired by their names.

    PoseTrack17, 18 and 21 JSON (also mixed) gets AP, MOTA and HOTA of keypoints. COCO or CrowdPose keypoint
    results, MPII joints (JSON) and MOTChallenge boxes (.txt) are recognised by their content.

    Protocol poseval gives the scores of the poseval tool, with its faults: the last frame of each video is not
    tracked; a frame without predictions counts one miss and one false positive per joint, however many people
    it has; labelled frames without people are skipped, so false positives there cost nothing; joints without
    annotations lower the mean AP; frames are paired by position even if their image ids differ. Protocol
    corrected has none of these faults. In both, MOTP is 1 minus the mean distance of the matches.

    Protocol posetrack21 gives the scores of the PoseTrack21 kit (HOTA of keypoints and PosemAP). There, a frame
    without predictions misses every keypoint of the whole video; corrected HOTA counts only those of the frame.
    """
    from rich.console import Console

    from posetrack_app.core.files import refuse_to_replace_input, write_atomic
    from posetrack_app.core.json_file import write_json
    from posetrack_app.evaluation.report.baseline import read_totals, worse_totals
    from posetrack_app.evaluation.report.page import report_page
    from posetrack_app.evaluation.report.terminal import as_tables
    from posetrack_app.jobs.evaluate import evaluate as score

    if not math.isfinite(margin):
        raise InputError(f"--margin must be a number of points, got {margin:g}")
    outputs = [file for file in (json_file, report) if file is not None]
    for file in (truth, predictions):
        refuse_to_replace_input(file, outputs, "an input")
    before = None if baseline is None else read_totals(baseline)  # first: --json may write the same file
    result = score(
        truth, predictions, protocols=protocols, keypoint_threshold=keypoint_threshold, sweep=sweep
    )
    Console(width=max(110, Console().width)).print(as_tables(result))
    if json_file is not None:
        write_json(json_file, result.as_json())
    if report is not None:
        if result.kind != "posetrack":
            raise InputError(f"--report needs PoseTrack files; {truth} is a {result.kind} file")
        write_atomic(report, report_page(result))
    if result.kind == "posetrack" and all(scores.problem is not None for scores in result.scores.values()):
        raise InputError(f"no tracks were scored: {result.problems[0]}")
    if before is not None:
        worse = worse_totals(before, result.totals, margin)
        for line in worse:
            click.echo(f"worse: {line}", err=True)
        if worse:
            raise SystemExit(1)
