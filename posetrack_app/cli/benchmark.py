"""`posetrack benchmark`: the whole chain on a PoseTrack data set, scored."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("dataset", type=click.Choice(["posetrack17", "posetrack18", "posetrack21"]))
@click.argument("root", type=_FILE)
@click.option(
    "--out", type=_FILE, required=True, help="Folder for predictions, evaluation.json, report.html."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="Which part.",
)
@click.option("--preset", default="default", show_default=True, help="Settings that ship with posetrack.")
@click.option(
    "--config", "config_file", type=_FILE, help="TOML file with settings that differ from the preset's."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the networks compute.",
)
@click.option("--resume", is_flag=True, help="Keep finished sequences made with equal settings and weights.")
@click.option(
    "--detections",
    type=_FILE,
    help="Boxes to use in place of the detector's (COCO result file). [detector] min_score and [tracker] confident "
    "and weak count for them: --preset accurate or a --config with your detector's may fit better.",
)
@click.option(
    "--gt-boxes", is_flag=True, help="Use the boxes of the ground truth: scores poses and tracking alone."
)
def benchmark(
    dataset: str,
    root: Path,
    out: Path,
    split: str,
    preset: str,
    config_file: Path | None,
    device: str,
    resume: bool,
    detections: Path | None,
    gt_boxes: bool,
) -> None:
    """Run everything on a PoseTrack tree and score it.

    ROOT is the official tree (annotations/val/*.json, images/...). Writes official-format predictions, one
    file a sequence: people in labelled frames only, track ids from 1, keypoints without evidence left out.
    Then scores them as posetrack evaluate does, with the trade-off of dropping weak keypoints.
    """
    from rich.console import Console

    from posetrack_app.benchmark import run_benchmark
    from posetrack_app.config import load_config
    from posetrack_app.errors import InputError
    from posetrack_app.evaluation.report_page import report_page
    from posetrack_app.evaluation.terminal import as_tables
    from posetrack_app.formats.json_file import write_json
    from posetrack_app.formats.whole import write_whole

    if detections is not None and gt_boxes:
        raise InputError("--detections and --gt-boxes exclude each other; choose one")
    result = run_benchmark(
        dataset,
        root,
        out,
        split=split,
        config=load_config(preset, config_file),
        device=device,
        detections=detections,
        gt_boxes=gt_boxes,
        resume=resume,
        say=lambda line: click.echo(line, err=True),
    )
    write_json(out / "evaluation.json", result.as_json())
    write_whole(out / "report.html", report_page(result))
    Console(width=max(110, Console().width)).print(as_tables(result))
    click.echo(f"{out / 'report.html'}: the same with curves, sequences and identity switches")
