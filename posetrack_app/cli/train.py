"""`posetrack train`: the networks on your own pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from posetrack_app.errors import InputError

_PATH = click.Path(path_type=Path)
_POSE_NETWORKS = click.Choice(["hrnet-compact", "hrnet-compact-deep", "hrnet-w32", "hrnet-w48"])
Command = Callable[..., Any]


@click.group()
def train() -> None:
    """Train a pose net or a person detector on your pictures.

    COCO files, PoseTrack18 folders, or our own shards; on a GPU where there is one. On several: torchrun
    --nproc-per-node N -m posetrack_app train pose ... The folder --out gets the weights (for [pose] or
    [detector] weights in --config of `posetrack run`), log.jsonl with losses and figures on dev pictures,
    their curves loss.svg and dev.svg, and checkpoint.pt to --resume from.
    """


def _common(command: Command) -> Command:
    """What both commands are told."""
    for option in reversed(
        (
            click.option(
                "--data", type=_PATH, required=True, help="A COCO file, or a folder: COCO, PoseTrack18."
            ),
            click.option(
                "--out", type=_PATH, required=True, help="A new folder for everything that comes out."
            ),
            click.option(
                "--images", type=_PATH, help="The pictures of a COCO file; default: found beside it."
            ),
            click.option(
                "--dev", type=_PATH, help="A COCO file to measure on; default: val, or 1 picture in 20."
            ),
            click.option("--cache", type=_PATH, help="Folder for the decoded pictures; default: in --out."),
            click.option(
                "--init", type=_PATH, help="Weights to start from; what fits is taken, if only the trunk."
            ),
            click.option(
                "--minutes", type=float, default=math.inf, help="Shorten the schedule to end by then."
            ),
            click.option(
                "--save-minutes", type=float, default=10.0, show_default=True, help="Between checkpoints."
            ),
            click.option(
                "--seed",
                type=int,
                default=1,
                show_default=True,
                help="Of everything random; give the run after --init another than the one before had, or it sees "
                "the same crops again.",
            ),
            click.option(
                "--device",
                type=click.Choice(["auto", "cpu", "cuda"]),
                default="auto",
                help="Where to compute.",
            ),
            click.option(
                "--compile",
                "compiled",
                is_flag=True,
                help="Kernels made for this network (torch.compile): starts later, then runs faster.",
            ),
            click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out."),
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
    help="What to train.",
)
@click.option("--size", default="256x192", show_default=True, help="Crops, height x width, multiples of 32.")
@click.option("--small-first", type=float, default=0.0, show_default=True, help="Share at half the size.")
@click.option("--epochs", type=float, default=150.0, show_default=True, help="Times each person is seen.")
@click.option("--batch", type=int, default=32, show_default=True, help="Crops a step and process.")
@click.option("--rate", type=float, default=1.5e-3, show_default=True, help="Peak learning rate.")
@click.option("--teacher", type=_PATH, help="Weights of a larger net of ours, to learn its heatmaps too.")
@click.option(
    "--teacher-network",
    type=_POSE_NETWORKS,
    default="hrnet-w48",
    show_default=True,
    help="The network of --teacher.",
)
def pose(size: str, **options: Any) -> None:
    """Train a pose net.

    It has 19 outputs: PoseTrack18's 17 keypoints and the eyes, of which COCO's 17 are a part. Keypoints that
    your labels lack are left as they are, not unlearned.
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
    help="What to train.",
)
@click.option("--side", type=int, default=320, show_default=True, help="Square crops, a multiple of 32.")
@click.option("--epochs", type=float, default=40.0, show_default=True, help="Times each picture is seen.")
@click.option("--batch", type=int, default=16, show_default=True, help="Crops a step and process.")
@click.option("--rate", type=float, default=1e-3, show_default=True, help="Peak learning rate.")
def detector(**options: Any) -> None:
    """Train a person detector.

    Best with --init of a trained pose net: the trunk is the same.
    """
    if options["side"] < 64 or options["side"] % 32:
        raise InputError(f"--side {options['side']}: must be a multiple of 32, at least 64")
    _run("detector", options)


def _run(task: str, options: dict[str, Any]) -> None:
    for name in ("batch", "epochs", "rate", "minutes", "save_minutes"):
        if not options[name] > 0:
            raise InputError(f"--{name.replace('_', '-')} {options[name]:g}: must be more than 0")
        if math.isinf(options[name]) and name != "minutes":
            raise InputError(f"--{name.replace('_', '-')}: must be a number; to end earlier give --minutes")
    if not 0 <= options["seed"] < 2**32:
        raise InputError(f"--seed {options['seed']}: must be from 0 to {2**32 - 1}")
    from posetrack_app.training.train import TrainOptions, train_network

    epochs = options.pop("epochs")
    weights = train_network(TrainOptions(task=task, samples_per_label=epochs, **options), click.echo)
    if int(os.environ.get("RANK", 0)) == 0:  # torchrun's others are done before the first one
        click.echo(
            f'{weights}: use it with [{task}] weights = "{weights}" in a file for posetrack run --config'
        )


def _parse_size(text: str, multiple: int) -> tuple[int, int]:
    """'256x192' (height x width, as papers write it) to (width, height), both multiples of `multiple`."""
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise InputError(f"--size {text}: must be height x width, such as 256x192")
    if int(height) % multiple or int(width) % multiple:
        why = ", as half of it must be one of 32 (--small-first)" if multiple > 32 else ""
        raise InputError(f"--size {text}: both must be multiples of {multiple}{why}")
    return int(width), int(height)
