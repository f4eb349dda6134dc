"""`posetrack evaluate`: score predictions against ground truth."""

from __future__ import annotations

import math
from pathlib import Path

import click

from posetrack_app.errors import InputError

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("truth", type=_FILE)
@click.argument("predictions", type=_FILE)
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(["corrected", "poseval", "posetrack21"]),
    multiple=True,
    default=("corrected", "poseval"),
    show_default="corrected and poseval, side by side",
    help="Whose rules to score by; may be given several times.",
)
@click.option("--keypoint-threshold", type=float, help="Drop predicted keypoints scored lower, then score.")
@click.option("--sweep", is_flag=True, help="Score at 20 keypoint thresholds: the trade-off of mAP and MOTA.")
@click.option("--json", "json_file", type=_FILE, help="Write everything, per sequence and per joint.")
@click.option("--report", type=_FILE, help="Write one HTML page with tables, curves, sequences, id switches.")
@click.option("--baseline", type=_FILE, help="An earlier --json file: exit 1 if a total has fallen.")
@click.option("--margin", type=float, default=0.1, show_default=True, help="Points a total may fall.")
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

    Files of folders are paired by their names.

    PoseTrack17, 18 and 21 JSON (mixed too): AP, MOTA and HOTA of keypoints. COCO or CrowdPose keypoint
    results, MPII joints (JSON) and MOTChallenge boxes (.txt) are recognised by their files.

    Protocol poseval gives the figures of the official tool, whose faults are: each video's last frame is
    not tracked; a frame without predictions counts one miss and one false positive a joint, however many
    people there are; labelled frames without people are left out, so false positives there are free; joints
    that nobody annotated pull the mean AP down; frames are paired by place even where the ids say otherwise.
    Protocol corrected has none of these. MOTP is 1 minus the mean distance of the matches under both.

    Protocol posetrack21 gives the figures of the PoseTrack21 kit (pose HOTA and PosemAP), in which a frame
    without predictions misses every keypoint of the whole video; corrected HOTA counts that frame's own.
    """
    from rich.console import Console

    from posetrack_app.evaluation.baseline import fallen_totals, read_totals
    from posetrack_app.evaluation.evaluation import evaluate as score
    from posetrack_app.evaluation.report_page import report_page
    from posetrack_app.evaluation.terminal import as_tables
    from posetrack_app.formats.json_file import write_json
    from posetrack_app.formats.whole import refuse_to_replace_input, write_whole

    if not math.isfinite(margin):
        raise InputError(f"--margin must be a number of points, got {margin:g}")
    targets = [target for target in (json_file, report) if target is not None]
    for file in (truth, predictions):
        refuse_to_replace_input(file, targets, "what is to be scored")
    before = None if baseline is None else read_totals(baseline)  # first: --json may write the same file
    result = score(truth, predictions, protocols, keypoint_threshold, sweep)
    Console(width=max(110, Console().width)).print(as_tables(result))
    if json_file is not None:
        write_json(json_file, result.as_json())
    if report is not None:
        if result.kind != "posetrack":
            raise InputError(f"--report is for PoseTrack files; {truth} is a {result.kind} file")
        write_whole(report, report_page(result))
    if result.kind == "posetrack" and all(scores.problem is not None for scores in result.scores.values()):
        raise InputError(f"no tracks scored: {result.problems[0]}")
    if before is not None:
        fallen = fallen_totals(before, result.totals, margin)
        for line in fallen:
            click.echo(f"fallen: {line}", err=True)
        if fallen:
            raise SystemExit(1)
