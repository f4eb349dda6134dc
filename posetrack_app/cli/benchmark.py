"""`posetrack benchmark`: the complete pipeline on a PoseTrack data set, scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from posetrack_app.cli.options import PATH, config_option, device_option, force_option, preset_option
from posetrack_app.core.choices import DATASETS, ORACLES, SPLITS
from posetrack_app.core.errors import InputError

if TYPE_CHECKING:
    from posetrack_app.core.config import Config
    from posetrack_app.evaluation.evaluate import Evaluation


@click.command()
@click.argument("dataset", type=click.Choice(DATASETS))
@click.argument("root", type=PATH)
@click.option(
    "--out", type=PATH, required=True, help="Folder for poses, predictions, evaluation.json, report.html."
)
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
    "--from",
    "stored",
    type=PATH,
    help="The output folder of an earlier benchmark: use its poses and settings, without networks. --config, "
    "--min-score and --keypoint-threshold change thresholds and tracker.",
)
@click.option(
    "--min-score", type=float, help="[detector] min_score: drop people whose box scores below this."
)
@click.option(
    "--keypoint-threshold", type=float, help="[pose] min_score: leave out keypoints that score below this."
)
@click.option(
    "--detections",
    type=PATH,
    help="Boxes to use instead of the detector's (COCO result file). Thresholds are taken from their scores, unless "
    "--preset or --config sets [detector] min_score or [tracker] high_score or low_score.",
)
@click.option(
    "--oracle",
    "oracles",
    type=click.Choice(ORACLES),
    multiple=True,
    help="Take this from the ground truth, to see what a perfect part would gain: boxes of everyone, poses of the "
    "people who were found, ids of the poses that are right. May be given several times.",
)
@click.option("--gt-boxes", is_flag=True, help="The same as --oracle boxes.")
@click.option(
    "--ablation",
    type=PATH,
    help="A TOML file of variants, each a table of the settings it changes: run all, and compare them in one table.",
)
@click.option(
    "--expect",
    is_flag=True,
    help="Compare with the published scores of this preset and data set; exit with 1 if they differ by more than the "
    "tolerance.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Keep finished sequences that were made with the same settings and weights.",
)
@force_option
@click.pass_context
def benchmark(
    context: click.Context,
    /,
    dataset: str,
    root: Path,
    out: Path,
    preset: str,
    config: Path | None,
    stored: Path | None,
    min_score: float | None,
    keypoint_threshold: float | None,
    oracles: tuple[str, ...],
    gt_boxes: bool,
    ablation: Path | None,
    expect: bool,
    **options: Any,
) -> None:
    """Run the pipeline on a PoseTrack data set and score it.

    ROOT is a PoseTrack folder (annotations/val/*.json, images/...). Predictions are written in the layout of
    the data set, one file per sequence: people in labelled frames only, track ids from 1, keypoints with a
    score of 0 left out. They are scored as by posetrack evaluate, with a sweep over keypoint thresholds.

    The networks run once: their poses are kept in DIR/poses, before any threshold, for --from DIR and posetrack tune.
    """
    from posetrack_app.jobs.ablation import run_ablation
    from posetrack_app.jobs.benchmark import run_benchmark
    from posetrack_app.jobs.expected_scores import expected_scores, unexpected

    if stored is not None and context.get_parameter_source("preset") == ParameterSource.COMMANDLINE:
        raise InputError(
            "--preset cannot change stored poses; their settings are known, change them with --config"
        )
    if options["detections"] is not None and (gt_boxes or "boxes" in oracles):
        raise InputError("--detections and --gt-boxes cannot be used together; choose one")
    settings = _settings(stored, preset, config, min_score, keypoint_threshold)
    chosen = tuple(sorted({*oracles, *(("boxes",) if gt_boxes or _has_true_boxes(stored) else ())}))
    if ablation is not None:
        if expect:
            raise InputError("--expect and --ablation cannot be used together; run one after the other")
        outcome = run_ablation(
            ablation, dataset, root, out, config=settings, oracles=chosen, stored=stored, **options
        )
        for result in outcome.results:
            _write_result(Path(result.predictions).parent, result)
        click.echo(outcome.table())
        click.echo(f"{out / 'ablation.csv'}: the same table; every variant has a folder with its report")
        return
    expected = expected_scores(dataset, options["split"], preset, chosen) if expect else None
    result = run_benchmark(dataset, root, out, config=settings, oracles=chosen, stored=stored, **options)
    result = replace(result, run={**result.run, "preset": None if stored else preset})
    _write_result(out, result)
    _print_tables(result)
    click.echo(f"{out / 'report.html'}: the same with curves, sequences and identity switches")
    if expected is not None:
        click.echo(f"expected: {expected.source}")
        differing = unexpected(expected, result.totals)
        for line in differing:
            click.echo(f"not as expected: {line}", err=True)
        if differing:
            raise SystemExit(1)
        click.echo("as expected")


def _has_true_boxes(stored: Path | None) -> bool:
    """Whether the stored poses are those in the boxes of the ground truth."""
    from posetrack_app.jobs.benchmark_poses import open_stored_poses

    return stored is not None and bool(open_stored_poses(stored).made_with["gt_boxes"])


def _settings(
    stored: Path | None,
    preset: str,
    file: Path | None,
    min_score: float | None,
    keypoint_threshold: float | None,
) -> Config:
    """The settings of the stored poses or of the preset, with the changes of `file` and of the two thresholds."""
    from posetrack_app.core.config import load_config, with_file
    from posetrack_app.jobs.benchmark_poses import open_stored_poses

    if stored is None:
        config = load_config(preset, file)
    else:
        config = open_stored_poses(stored).settings()
        config = config if file is None else with_file(config, file)
    for name, value in (("min_score", min_score), ("keypoint_threshold", keypoint_threshold)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"a score is from 0 to 1, got {value:g}", option=name)
    if min_score is not None:
        config = replace(config, detector=replace(config.detector, min_score=min_score))
    if keypoint_threshold is not None:
        config = replace(config, pose=replace(config.pose, min_score=keypoint_threshold))
    return config


def _write_result(out: Path, result: Evaluation) -> None:
    from posetrack_app.core.files import write_atomic
    from posetrack_app.core.json_file import write_json
    from posetrack_app.evaluation.report.page import report_page

    write_json(out / "evaluation.json", result.as_json())
    write_atomic(out / "report.html", report_page(result))


def _print_tables(result: Evaluation) -> None:
    from rich.console import Console

    from posetrack_app.evaluation.report.terminal import as_tables

    Console(width=max(110, Console().width)).print(as_tables(result))
