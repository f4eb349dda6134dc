"""`posetrack tune`: thresholds and tracker settings for your data."""

from __future__ import annotations

from pathlib import Path

import click

from posetrack_app.cli.options import PATH, force_option


@click.command()
@click.argument("truth", type=PATH)
@click.argument("poses", type=PATH)
@click.option("--out", type=PATH, required=True, help="The TOML file to write, for --config.")
@click.option(
    "--objective",
    default="MOTA",
    show_default=True,
    help="What to maximise: MOTA, HOTA, mAP, or a weighted mean such as MOTA=2,mAP=1.",
)
@click.option(
    "--config", type=PATH, help="A TOML file with changes to the settings that the search starts from."
)
@click.option(
    "--protocol",
    type=click.Choice(("corrected", "poseval")),
    default="corrected",
    show_default=True,
    help="The rules to score by.",
)
@click.option("--trials", type=int, default=300, show_default=True, help="How many settings to try.")
@click.option(
    "--folds", type=int, default=4, show_default=True, help="Parts of the videos for the cross-validation."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Equal seeds give equal results.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes; default: one for each core, up to one a fold."
)
@force_option
def tune(
    truth: Path,
    poses: Path,
    out: Path,
    objective: str,
    config: Path | None,
    protocol: str,
    trials: int,
    folds: int,
    seed: int,
    workers: int | None,
    force: bool,
) -> None:
    """Find thresholds and tracker settings for labelled data.

    TRUTH is the folder with the annotations of a split, POSES the output folder of posetrack benchmark on it: its
    poses are linked and scored again for every trial, without networks. The settings that are best on all videos
    are written with the evidence in comments: scores before and after, and a cross-validation by sequence, which
    says what to expect on other videos. docs/tuning.md explains the search. Needs pip install 'posetrack-app[tune]'.
    """
    from posetrack_app.jobs.tune.tune import tune as search

    report = search(
        truth, poses, out, objective=objective, config=config, protocol=protocol, trials=trials, folds=folds,
        seed=seed, workers=workers, force=force,
    )  # fmt: skip
    click.echo(report.summary())
