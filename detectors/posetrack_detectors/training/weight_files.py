"""Weights as training starts from them and leaves them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from posetrack_detectors.checkpoints import CheckpointError, official_names, read_tensors
from posetrack_detectors.tensor_file import write_tensors


def write_weights(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """fp16 .safetensors without the counters that inference does not need, in one step."""
    state = {
        name: value.half().contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_tensors(path, state, metadata)


def start_from(network: nn.Module, path: Path) -> tuple[int, int]:
    """Take over every weight of `path` that has its name and shape here; how many that were, and of how many.

    From the weights of the same network that is all; from an ImageNet classifier or a pose net into a detector the
    trunk. CheckpointError if nothing fits.
    """
    wanted = network.state_dict()
    weights = official_names(read_tensors(path), for_network=wanted)
    detector = any(name.startswith("backbone.") for name in wanted)
    if detector and not any(name.startswith("backbone.") for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    fitting = {
        name: value.to(torch.float32)
        for name, value in weights.items()
        if name in wanted and value.shape == wanted[name].shape and value.is_floating_point()
    }
    total = sum(value.is_floating_point() for value in wanted.values())
    if not fitting:
        raise CheckpointError(f"{path} holds no weight of this network ({type(network).__name__})")
    network.load_state_dict({**wanted, **fitting})
    return len(fitting), total
