"""`posetrack benchmark`: the complete pipeline on a PoseTrack data set, scored."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import PATH, config_option, device_option, force_option, preset_option
from posetrack_app.core.choices import DATASETS, SPLITS
from posetrack_app.core.errors import InputError


@click.command()
@click.argument("dataset", type=click.Choice(DATASETS))
@click.argument("root", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder for predictions, evaluation.json, report.html.")
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="val",
    show_default=True,
    help="The split to run on.",
)
@preset_option
@config_option
@device_option
@click.option(
    "--resume",
    is_flag=True,
    help="Keep finished sequences that were made with the same settings and weights.",
)
@force_option
@click.option(
    "--detections",
    type=PATH,
    help="Boxes to use instead of the detector's (COCO result file). Thresholds are taken from their scores, unless "
    "--preset or --config sets [detector] min_score or [tracker] high_score or low_score.",
)
@click.option(
    "--gt-boxes", is_flag=True, help="Use the ground-truth boxes, to score only poses and tracking."
)
def benchmark(
    dataset: str,
    root: Path,
    out: Path,
    split: str,
    preset: str,
    config: Path | None,
    device: str,
    resume: bool,
    force: bool,
    detections: Path | None,
    gt_boxes: bool,
) -> None:
    """Run the pipeline on a PoseTrack data set and score it.

    ROOT is a PoseTrack folder (annotations/val/*.json, images/...). Predictions are written in the layout of
    the data set, one file per sequence: people in labelled frames only, track ids from 1, keypoints with a
    score of 0 left out. They are scored as by posetrack evaluate, with a sweep over keypoint thresholds.
    """
    from rich.console import Console

    from posetrack_app.core.config import load_config
    from posetrack_app.core.files import write_atomic
    from posetrack_app.core.json_file import write_json
    from posetrack_app.evaluation.report.page import report_page
    from posetrack_app.evaluation.report.terminal import as_tables
    from posetrack_app.jobs.benchmark import run_benchmark

    if force and resume:
        raise InputError("--resume keeps existing results and --force overwrites them; choose one")
    if detections is not None and gt_boxes:
        raise InputError("--detections and --gt-boxes cannot be used together; choose one")
    result = run_benchmark(
        dataset,
        root,
        out,
        split=split,
        config=load_config(preset, config),
        device=device,
        detections=detections,
        gt_boxes=gt_boxes,
        resume=resume,
        force=force,
    )
    write_json(out / "evaluation.json", result.as_json())
    write_atomic(out / "report.html", report_page(result))
    Console(width=max(110, Console().width)).print(as_tables(result))
    click.echo(f"{out / 'report.html'}: the same with curves, sequences and identity switches")
