"""Activation ranges of a network, which int8 inference needs; stored in the metadata of its weight file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from posetrack_detectors.networks.hrnet import BasicBlock, Bottleneck
from posetrack_detectors.weights.checkpoints import CheckpointError
from posetrack_detectors.weights.tensor_file import read_metadata, write_metadata

Ranges = dict[str, tuple[float, float]]
"""Minimum and maximum of the input of each convolution and the output of each block, by module name."""
_METADATA = "activation_ranges"


def measure_ranges(network: nn.Module, run: Callable[[], object]) -> Ranges:
    """Record the ranges while `run` passes images through `network`; every range includes 0."""
    ranges: Ranges = {}

    def record(name: str, values: Tensor) -> None:
        low, high = (float(v) for v in values.detach().aminmax())
        before = ranges.get(name, (0.0, 0.0))
        ranges[name] = min(low, before[0]), max(high, before[1])

    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_pre_hook(lambda _, x, name=name: record(name, x[0])))
        elif isinstance(module, (BasicBlock, Bottleneck)):
            hooks.append(module.register_forward_hook(lambda _, __, out, name=name: record(name, out)))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return ranges


def read_ranges(path: Path) -> Ranges | None:
    """The ranges stored in a .safetensors weight file, None if it has none; CheckpointError if they are invalid."""
    text = read_metadata(path).get(_METADATA)
    if text is None:
        return None
    try:
        ranges = {name: (low + 0.0, high + 0.0) for name, (low, high) in json.loads(text).items()}
        if not all(-math.inf < low <= 0 <= high < math.inf for low, high in ranges.values()):
            raise ValueError
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: invalid activation ranges in its metadata; use another copy of the file"
        ) from error
    return ranges


def write_ranges(path: Path, ranges: Ranges) -> None:
    """Store the ranges in a .safetensors weight file, replacing earlier ones; the tensors stay the same.

    Infinite ranges are not stored: the network then runs in float32.
    """
    if not all(math.isfinite(value) for pair in ranges.values() for value in pair):
        return
    rounded = {name: [float(f"{value:.4g}") for value in pair] for name, pair in ranges.items()}
    write_metadata(path, {_METADATA: json.dumps(rounded)})
