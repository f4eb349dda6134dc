"""`posetrack train`: train the networks on your own images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import click

from posetrack_app.cli.options import PATH, DeviceName
from posetrack_app.core.errors import InputError

_POSE_NETWORKS = click.Choice(["hrnet-compact", "hrnet-compact-deep", "hrnet-w32", "hrnet-w48"])
Command = Callable[..., Any]


@click.group()
def train() -> None:
    """Train a pose network or a person detector on your own images.

    Give COCO files or PoseTrack18 folders. A GPU is used if there is one; for several run torchrun
    --nproc-per-node N -m posetrack_app train pose ... The folder --out gets the weights (for [pose] or
    [detector] weights in --config of `posetrack run`), log.jsonl with losses and results on dev images,
    their curves loss.svg and dev.svg, and checkpoint.pt for --resume.
    """


def _common(command: Command) -> Command:
    """The options of both commands."""
    for option in reversed(
        (
            click.option(
                "--data",
                type=PATH,
                required=True,
                multiple=True,
                help="A COCO file, or a folder: COCO, PoseTrack18. Repeat the option to use several.",
            ),
            click.option("--out", type=PATH, required=True, help="A new folder for all results."),
            click.option(
                "--images", type=PATH, help="Folder of a COCO file's images; default: found next to the file."
            ),
            click.option(
                "--dev", type=PATH, help="A COCO file to measure on; default: val, or 1 image in 20."
            ),
            click.option("--cache", type=PATH, help="Folder for decoded images; default: in --out."),
            click.option(
                "--init",
                type=PATH,
                help="Weights to start from; layers of another shape are left out.",
            ),
            click.option(
                "--minutes", type=float, default=math.inf, help="Shorten the schedule to end after this time."
            ),
            click.option(
                "--save-minutes",
                type=float,
                default=10.0,
                show_default=True,
                help="Time between checkpoints.",
            ),
            click.option(
                "--seed",
                type=int,
                default=1,
                show_default=True,
                help="Seed of all random numbers. Change it for a run that continues from --init, or it repeats the "
                "same crops.",
            ),
            click.option(
                "--device",
                type=DeviceName(["auto", "cpu", "cuda"]),
                default="auto",
                show_default=True,
                help="Where to train; cuda:1 is the second card.",
            ),
            click.option(
                "--compile",
                "compiled",
                is_flag=True,
                help="Use torch.compile: starts later, then runs faster.",
            ),
            click.option("--resume", is_flag=True, help="Continue from the checkpoint in --out."),
        )
    ):
        command = option(command)
    return command


@train.command()
@_common
@click.option(
    "--network",
    type=_POSE_NETWORKS,
    default="hrnet-compact-deep",
    show_default=True,
    help="The network to train.",
)
@click.option(
    "--size", default="256x192", show_default=True, help="Size of crops, height x width, multiples of 32."
)
@click.option(
    "--small-first",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of the training at half the size.",
)
@click.option(
    "--epochs", type=float, default=150.0, show_default=True, help="How many times each person is shown."
)
@click.option("--batch", type=int, default=32, show_default=True, help="Crops per step and process.")
@click.option("--rate", type=float, default=1.5e-3, show_default=True, help="Peak learning rate.")
@click.option(
    "--teacher",
    type=PATH,
    help="Weights of a larger network from `posetrack train`; also learn its heatmaps.",
)
@click.option(
    "--teacher-network",
    type=_POSE_NETWORKS,
    default="hrnet-w48",
    show_default=True,
    help="The network of --teacher.",
)
def pose(size: str, **options: Any) -> None:
    """Train a pose network.

    It has 19 outputs: PoseTrack18's 17 keypoints and the eyes, which include COCO's 17. Keypoints that are
    not in your labels are not trained and not forgotten.
    """
    small_first = options["small_first"]
    if not 0 <= small_first <= 1:
        raise InputError(f"--small-first {small_first:g}: must be from 0 to 1")
    _run("pose", {**options, "size": _parse_size(size, 64 if small_first else 32)})


@train.command()
@_common
@click.option(
    "--network",
    type=click.Choice(
        ["faster-rcnn-compact", "faster-rcnn-compact-deep", "faster-rcnn-w18", "faster-rcnn-w32"]
    ),
    default="faster-rcnn-compact-deep",
    show_default=True,
    help="The network to train.",
)
@click.option(
    "--side", type=int, default=320, show_default=True, help="Side of the square crops, a multiple of 32."
)
@click.option(
    "--epochs", type=float, default=40.0, show_default=True, help="How many times each image is shown."
)
@click.option("--batch", type=int, default=16, show_default=True, help="Crops per step and process.")
@click.option("--rate", type=float, default=1e-3, show_default=True, help="Peak learning rate.")
def detector(**options: Any) -> None:
    """Train a person detector.

    Best with --init and the weights of a trained pose network, whose trunk is the same.
    """
    if options["side"] < 64 or options["side"] % 32:
        raise InputError(f"--side {options['side']}: must be a multiple of 32, at least 64")
    _run("detector", options)


def _run(task: str, options: dict[str, Any]) -> None:
    for name in ("batch", "epochs", "rate", "minutes", "save_minutes"):
        if not options[name] > 0:
            raise InputError(f"--{name.replace('_', '-')} {options[name]:g}: must be more than 0")
        if math.isinf(options[name]) and name != "minutes":
            raise InputError(f"--{name.replace('_', '-')}: must be finite; use --minutes to end earlier")
    if not 0 <= options["seed"] < 2**32:
        raise InputError(f"--seed {options['seed']}: must be from 0 to {2**32 - 1}")
    from posetrack_app.models.training.train import TrainOptions, train_network

    epochs = options.pop("epochs")
    weights = train_network(TrainOptions(task=task, samples_per_label=epochs, **options), click.echo)
    if int(os.environ.get("RANK", 0)) == 0:  # under torchrun, only rank 0 reports
        click.echo(
            f'{weights}: to use it, write [{task}] weights = "{weights}" in a file for posetrack run --config'
        )


def _parse_size(text: str, multiple: int) -> tuple[int, int]:
    """'256x192' (height x width, as papers write it) to (width, height), both multiples of `multiple`."""
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise InputError(f"--size {text}: must be height x width, such as 256x192")
    if int(height) % multiple or int(width) % multiple:
        reason = ", because half of it must be a multiple of 32 (--small-first)" if multiple > 32 else ""
        raise InputError(f"--size {text}: both must be multiples of {multiple}{reason}")
    return int(width), int(height)
