"""How far the values in a network go: what computing it in 8-bit integers needs to know, kept in its weight file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from posetrack_detectors.checkpoints import CheckpointError
from posetrack_detectors.hrnet import BasicBlock, Bottleneck
from posetrack_detectors.tensor_file import read_metadata, write_metadata

Ranges = dict[str, tuple[float, float]]
"""Least and greatest value that comes into each convolution, and out of each block, by its name in the network."""
_METADATA = "activation_ranges"


def measure_ranges(network: nn.Module, run: Callable[[], object]) -> Ranges:
    """The ranges while `run` has `network` see pictures; a convolution that sees none has none."""
    ranges: Ranges = {}

    def note(name: str, values: Tensor) -> None:
        low, high = (float(v) for v in values.detach().aminmax())
        before = ranges.get(name, (0.0, 0.0))
        ranges[name] = min(low, before[0]), max(high, before[1])

    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_pre_hook(lambda _, x, name=name: note(name, x[0])))
        elif isinstance(module, (BasicBlock, Bottleneck)):
            hooks.append(module.register_forward_hook(lambda _, __, out, name=name: note(name, out)))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return ranges


def read_ranges(path: Path) -> Ranges | None:
    """The ranges stored in a .safetensors weight file, None where there are none; CheckpointError if they are none."""
    text = read_metadata(path).get(_METADATA)
    if text is None:
        return None
    try:
        ranges = {name: (low + 0.0, high + 0.0) for name, (low, high) in json.loads(text).items()}
        if not all(-math.inf < low <= 0 <= high < math.inf for low, high in ranges.values()):
            raise ValueError
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: its activation ranges are none") from error
    return ranges


def write_ranges(path: Path, ranges: Ranges) -> None:
    """Store the ranges in the .safetensors weight file, in place of earlier ones; tensors stay as they are.

    Not where one has no end: such a network is for floats.
    """
    if not all(math.isfinite(value) for pair in ranges.values() for value in pair):
        return
    rounded = {name: [float(f"{value:.4g}") for value in pair] for name, pair in ranges.items()}
    write_metadata(path, {_METADATA: json.dumps(rounded)})
