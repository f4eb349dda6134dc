"""`posetrack evaluate`: score predictions against ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from posetrack_app.cli.options import PATH
from posetrack_app.core.choices import PROTOCOLS
from posetrack_app.core.errors import InputError

if TYPE_CHECKING:
    from posetrack_app.evaluation.compare import Comparison
    from posetrack_app.evaluation.evaluate import Evaluation
    from posetrack_app.evaluation.report.thumbnails import Crop


@click.command()
@click.argument("truth", type=PATH)
@click.argument("predictions", type=PATH, nargs=-1, required=True)
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
@click.option(
    "--errors", is_flag=True, help="Also show what AP is lost to, and the worst sequences and frames."
)
@click.option("--intervals", is_flag=True, help="Also show 95 % intervals, by bootstrap over the sequences.")
@click.option("--json", "json_file", type=PATH, help="Write all scores, per sequence and per joint.")
@click.option(
    "--report", type=PATH, help="Write an HTML page with tables, curves, errors, sequences and id switches."
)
@click.option(
    "--images", type=PATH, help="Folder that contains 'images', for the thumbnails of the --report."
)
@click.option("--csv", "csv_file", type=PATH, help="Write the main table as CSV.")
@click.option("--latex", "latex_file", type=PATH, help="Write the main table for LaTeX (booktabs).")
@click.option(
    "--baseline", type=PATH, help="A --json file of an earlier run: exit with 1 if a total is worse now."
)
@click.option(
    "--margin", type=float, default=0.1, show_default=True, help="How many points a total may drop."
)
def evaluate(
    truth: Path,
    predictions: tuple[Path, ...],
    protocols: tuple[str, ...],
    keypoint_threshold: float | None,
    sweep: bool,
    errors: bool,
    intervals: bool,
    json_file: Path | None,
    report: Path | None,
    images: Path | None,
    csv_file: Path | None,
    latex_file: Path | None,
    baseline: Path | None,
    margin: float,
) -> None:
    """Score PREDICTIONS against TRUTH: two files, or two folders.

    Files in folders are paired by their names. With several PREDICTIONS, each is compared with the first one.

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

    from posetrack_app.core.files import check_output_file, refuse_to_replace_input, write_atomic
    from posetrack_app.core.json_file import write_json
    from posetrack_app.evaluation.report.baseline import read_totals, worse_totals
    from posetrack_app.evaluation.report.main_table import main_table_csv, main_table_latex
    from posetrack_app.evaluation.report.terminal import as_tables, comparison_tables
    from posetrack_app.jobs.evaluate import compare, image_crops
    from posetrack_app.jobs.evaluate import evaluate as score

    if not math.isfinite(margin):
        raise InputError(f"--margin must be a number of points, got {margin:g}")
    if baseline is not None and len(predictions) > 1:
        raise InputError("--baseline takes the predictions of one result; leave out the others")
    if images is not None and report is None:
        raise InputError("--images is for the thumbnails of a report; give --report too")
    crop = None if images is None else image_crops(images)
    outputs = [file for file in (json_file, report, csv_file, latex_file) if file is not None]
    for file in (truth, *predictions):
        refuse_to_replace_input(file, outputs, "an input")
    for file in outputs:
        check_output_file(file)
    before = None if baseline is None else read_totals(baseline)  # first: --json may write the same file
    options: dict[str, Any] = {
        "protocols": protocols, "keypoint_threshold": keypoint_threshold, "sweep": sweep,
        "errors": errors or report is not None, "intervals": intervals or report is not None,
    }  # fmt: skip
    comparison: Comparison | None = None
    if len(predictions) > 1:
        comparison = compare(truth, predictions, **options)
        results, names, content = comparison.results, comparison.names, comparison.as_json()
        tables = comparison_tables(comparison)
    else:
        results = [score(truth, predictions[0], **options)]
        names, content = [predictions[0].stem], results[0].as_json()
        tables = as_tables(results[0])
    Console(width=max(110, Console().width)).print(tables)
    if json_file is not None:
        write_json(json_file, content)
    if csv_file is not None:
        write_atomic(csv_file, main_table_csv(names, results))
    if latex_file is not None:
        write_atomic(latex_file, main_table_latex(names, results))
    if report is not None:
        write_atomic(report, _page(truth, results, comparison, crop))
    _check_tracks(results)
    if before is not None:
        worse = worse_totals(before, results[0].totals, margin)
        for line in worse:
            click.echo(f"worse: {line}", err=True)
        if worse:
            raise SystemExit(1)


def _check_tracks(results: Sequence[Evaluation]) -> None:
    """InputError if the tracks of a result could not be scored by any protocol."""
    for result in results:
        if result.kind == "posetrack" and all(each.problem is not None for each in result.scores.values()):
            raise InputError(f"no tracks were scored: {result.problems[0]}")


def _page(
    truth: Path, results: Sequence[Evaluation], comparison: Comparison | None, crop: Crop | None
) -> str:
    from posetrack_app.evaluation.report.comparison_page import comparison_page
    from posetrack_app.evaluation.report.page import report_page

    for result in results:
        if result.kind != "posetrack":
            raise InputError(f"--report needs PoseTrack files; {truth} is a {result.kind} file")
    return report_page(results[0], crop) if comparison is None else comparison_page(comparison)
