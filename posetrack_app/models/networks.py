"""Networks by name, with their weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from posetrack_detectors.networks.cost import Cost, cost, detector_cost
from posetrack_detectors.networks.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.networks.registry import DETECTORS, POSE_NETWORKS
from posetrack_detectors.weights.checkpoints import CheckpointError, load_weights
from torch import nn

from posetrack_app.core.errors import InputError

_Network = TypeVar("_Network", bound=nn.Module)


@cache
def cost_of(network: str, outputs: int, crop: tuple[int, int] | None) -> Cost:
    """Parameters and multiply-adds of a network, for one `crop` (width, height), or for one image of 1333 x 800 pixels."""
    if crop is not None:
        return cost(partial(POSE_NETWORKS[network], outputs), crop)
    detector, size = DETECTORS[network]
    return detector_cost(lambda: detector(size))


def load_detector(name: str, path: Path, short_side: int = 0, **changes: Any) -> FasterRCNN:
    """The detector of that name with the weights of `path`; `changes` are made to its `DetectorSize`.

    InputError if the file is missing, damaged, or of another network.
    """
    network, size = DETECTORS[name]
    return _load(network(replace(at_short_side(size, short_side), **changes)), path)


def at_short_side(size: DetectorSize, short_side: int) -> DetectorSize:
    """The size for images with this short side, in pixels, and the long side in proportion; 0 changes nothing."""
    if not short_side:
        return size
    return replace(
        size, short_side=short_side, long_side=round(size.long_side * short_side / size.short_side)
    )


def load_pose_network(name: str, outputs: int, path: Path) -> nn.Module:
    """The pose network of that name with the weights of `path`.

    InputError if the file is missing, damaged, or of another network.
    """
    return _load(POSE_NETWORKS[name](outputs), path)


def _load(network: _Network, path: Path) -> _Network:
    with named_errors():
        load_weights(network, path)
    return network


@contextmanager
def named_errors(path: Path | None = None) -> Iterator[None]:
    """Turn a CheckpointError into an InputError; `path` if its text does not name the file."""
    try:
        yield
    except CheckpointError as error:
        raise InputError(f"{path}: {error}" if path else str(error)) from error
