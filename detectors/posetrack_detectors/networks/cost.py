"""Cost of a network: its parameters and multiply-adds, counted in a forward pass on PyTorch's meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from posetrack_detectors.networks.faster_rcnn import BoxHead, DetectorSize, FasterRCNN
from posetrack_detectors.networks.mask_rcnn import MaskHead
from posetrack_detectors.person_detector import padded_shape, resized_shape


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-adds of convolutions and linear layers for one input.

    `macs` is the actual number. `published_macs` counts as the papers do: transposed convolutions at every OUTPUT
    position, which is four times the work at stride 2. The papers' "GFLOPs" are `published_macs / 2**30`.
    """

    parameters: int
    macs: int
    published_macs: int


class _Counter:
    """A forward hook that sums up multiply-adds."""

    def __init__(self) -> None:
        self.macs = self.published_macs = 0

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weights = next(p for name, p in layer.named_parameters() if name == "weight").numel()
        if isinstance(layer, nn.Linear):
            in_positions = out_positions = output.shape[:-1].numel()
        else:
            in_positions = inputs[0].shape[0] * inputs[0].shape[2:].numel()
            out_positions = output.shape[0] * output.shape[2:].numel()
        self.published_macs += weights * out_positions
        self.macs += weights * (in_positions if isinstance(layer, nn.ConvTranspose2d) else out_positions)


@contextmanager
def _counting(build: Callable[[], nn.Module]) -> Iterator[tuple[nn.Module, _Counter]]:
    counter = _Counter()
    with torch.inference_mode(), torch.device("meta"):
        network = build().eval()
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                layer.register_forward_hook(counter)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.forward = nn.Identity().forward  # type: ignore[method-assign]  # not counted, and slow on meta
        yield network, counter


def cost(build: Callable[[], nn.Module], input_size: tuple[int, int]) -> Cost:
    """Cost of a pose network for one crop of `input_size` (width, height)."""
    with _counting(build) as (network, counter):
        network(torch.empty(1, 3, input_size[1], input_size[0]))
        return _total(network, counter)


def detector_cost(build: Callable[[], FasterRCNN], image_size: tuple[int, int] = (1333, 800)) -> Cost:
    """Largest cost of a detector for one image of (width, height), padded as in `PersonDetector`.

    Counts convolutions and linear layers, without RoIAlign, interpolation and NMS. As in the paper, branches are
    reduced at the finest size. The box heads (all stages of a cascade) and the mask head run on the largest number of
    boxes an image may have.
    """
    with _counting(build) as (network, counter):
        assert isinstance(network, FasterRCNN)
        size: DetectorSize = network.size
        width, height = padded_shape([resized_shape(*image_size, size)])
        levels = network.pyramid(torch.empty(1, 3, height, width))
        # `HRFPN` reduces each branch at its own size, with F.conv2d: cheaper, and the hooks do not count it.
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
