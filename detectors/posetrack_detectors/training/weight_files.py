"""Weight files that training starts from and writes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from posetrack_detectors.weights.checkpoints import CheckpointError, canonical_names, read_tensors
from posetrack_detectors.weights.tensor_file import write_tensors


def write_weights(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write float16 .safetensors, atomically, without the batch counters that inference does not need."""
    state = {
        name: value.half().contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_tensors(path, state, metadata)


def start_from(network: nn.Module, path: Path) -> tuple[int, int]:
    """Copy every weight of `path` whose name and shape match; returns the numbers of copied and of all weights.

    Weights of the same network match completely. An ImageNet classifier, or a pose network's weights in a detector,
    match in the trunk. CheckpointError if nothing matches.
    """
    expected = network.state_dict()
    weights = canonical_names(read_tensors(path), for_network=expected)
    is_detector = any(name.startswith("backbone.") for name in expected)
    if is_detector and not any(name.startswith("backbone.") for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    matching = {
        name: value.to(torch.float32)
        for name, value in weights.items()
        if name in expected and value.shape == expected[name].shape and value.is_floating_point()
    }
    total = sum(value.is_floating_point() for value in expected.values())
    if not matching:
        raise CheckpointError(
            f"{path}: none of its weights fit this network ({type(network).__name__}); use weights of a similar network"
        )
    network.load_state_dict({**expected, **matching})
    return len(matching), total
