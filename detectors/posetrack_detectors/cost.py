"""What a network costs: parameters and multiply-adds, counted while shapes run through it without numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from posetrack_detectors.faster_rcnn import BoxHead, DetectorSize, FasterRCNN
from posetrack_detectors.mask_rcnn import MaskHead
from posetrack_detectors.person_detector import padded_shape, resized_shape


@dataclass(frozen=True)
class Cost:
    """`macs` are the true multiply-adds of convolutions and linear layers for one input.

    `published_macs` count as the papers do: for transposed convolutions every weight at every OUTPUT
    position, four times the work at stride 2. The papers' "GFLOPs" are `published_macs / 2**30`.
    """

    parameters: int
    macs: int
    published_macs: int


class _Counter:
    """Sums of a network's layers, each time one runs."""

    def __init__(self) -> None:
        self.macs = self.published_macs = 0

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weights = next(p for name, p in layer.named_parameters() if name == "weight").numel()
        if isinstance(layer, nn.Linear):
            source = places = output.shape[:-1].numel()
        else:
            source, places = (
                inputs[0].shape[0] * inputs[0].shape[2:].numel(),
                output.shape[0] * output.shape[2:].numel(),
            )
        self.published_macs += weights * places
        self.macs += weights * (source if isinstance(layer, nn.ConvTranspose2d) else places)


@contextmanager
def _counting(build: Callable[[], nn.Module]) -> Iterator[tuple[nn.Module, _Counter]]:
    counter = _Counter()
    with torch.inference_mode(), torch.device("meta"):
        network = build().eval()
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                layer.register_forward_hook(counter)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.forward = nn.Identity().forward  # type: ignore[method-assign]  # nothing to count, slow to trace
        yield network, counter


def cost(build: Callable[[], nn.Module], input_size: tuple[int, int]) -> Cost:
    """The cost of a pose network for one crop of (width, height)."""
    with _counting(build) as (network, counter):
        network(torch.empty(1, 3, input_size[1], input_size[0]))
        return _total(network, counter)


def detector_cost(build: Callable[[], FasterRCNN], picture: tuple[int, int] = (1333, 800)) -> Cost:
    """The cost of a detector for one picture of (width, height), padded as `PersonDetector` does.

    Convention: convolutions and linear layers only, no RoIAlign, interpolation or suppression; the branches
    are reduced at the finest size, as published; as many boxes as a picture may have pass the box heads (all
    stages of a cascade) and the mask head, so it is the most that a picture costs.
    """
    with _counting(build) as (network, counter):
        assert isinstance(network, FasterRCNN)
        size: DetectorSize = network.size
        width, height = padded_shape([resized_shape(*picture, size)])
        levels = network.pyramid(torch.empty(1, 3, height, width))
        # The pyramid reduces each branch at its own size, which gives the same sum cheaper and unseen by hooks.
        reduction = sum(network.neck.branches) * size.channels * levels[0].shape[2:].numel()
        for level in levels:
            network.rpn_head(level)
        for head in network.roi_head.modules():
            if isinstance(head, BoxHead):
                head(torch.empty(size.proposals, size.channels, 7, 7))
            elif isinstance(head, MaskHead):
                head(torch.empty(size.detections, size.channels, 14, 14))
        counted = _total(network, counter)
    return replace(counted, macs=counted.macs + reduction, published_macs=counted.published_macs + reduction)


def _total(network: nn.Module, counter: _Counter) -> Cost:
    return Cost(sum(p.numel() for p in network.parameters()), counter.macs, counter.published_macs)
