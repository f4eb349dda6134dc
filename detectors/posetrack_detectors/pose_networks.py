"""The pose networks by name, and what one costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posetrack_detectors import hrnet
from posetrack_detectors.pose_hrnet import PoseHRNet
from posetrack_detectors.pose_resnet import PoseResNet

POSE_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "hrnet-compact": lambda outputs: PoseHRNet(hrnet.COMPACT, outputs),
    "hrnet-w32": lambda outputs: PoseHRNet(hrnet.W32, outputs),
    "hrnet-w48": lambda outputs: PoseHRNet(hrnet.W48, outputs),
    "resnet-50": lambda outputs: PoseResNet(50, outputs),
    "resnet-101": lambda outputs: PoseResNet(101, outputs),
    "resnet-152": lambda outputs: PoseResNet(152, outputs),
}
"""Builders; they take the number of output maps: keypoints, or three times as many for UDP offsets."""


@dataclass(frozen=True)
class Cost:
    """`macs` are the true multiply-adds of convolutions and linear layers for one input.

    `published_macs` count as the papers do: for transposed convolutions every weight at every OUTPUT
    position, four times the work at stride 2. The papers' "GFLOPs" are `published_macs / 2**30`.
    """

    parameters: int
    macs: int
    published_macs: int


def cost(build: Callable[[], nn.Module], input_size: tuple[int, int]) -> Cost:
    """The cost of a network for one input of (width, height), counted while it runs once."""
    macs = published = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, published
        weights = next(p for name, p in layer.named_parameters() if name == "weight").numel()
        source = inputs[0].shape[2:].numel()
        places = output.shape[2:].numel()
        published += weights * places
        macs += weights * (source if isinstance(layer, nn.ConvTranspose2d) else places)

    with torch.inference_mode():
        network = build().eval()
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                layer.register_forward_hook(count)
        network(torch.empty(1, 3, input_size[1], input_size[0]))
    return Cost(sum(p.numel() for p in network.parameters()), macs, published)
