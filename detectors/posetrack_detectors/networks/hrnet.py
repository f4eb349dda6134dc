"""The HRNet trunk that the networks share: parallel branches at strides 4 to 32 that exchange features.

Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019, and Wang et al.,
"Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020. State-dict keys are those of the
authors' code, so published files load unchanged; tests/golden compares outputs with recorded ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

BN_MOMENTUM = 0.1
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""ImageNet's mean and standard deviation of RGB in 0..255, which normalise every network's input."""


@dataclass(frozen=True)
class TrunkSize:
    """Dimensions of a trunk: branch i has `width * 2**i` channels at stride `4 * 2**i`."""

    width: int
    modules: tuple[int, int, int] = (1, 4, 3)
    """Exchange modules in stages 2, 3 and 4."""
    blocks: int = 4
    """Residual blocks per branch in each module."""
    stem_channels: int = 64
    stem_planes: int = 64
    stem_blocks: int = 4
    """Bottlenecks before the first split, each with `4 * stem_planes` channels."""

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the four branches."""
        return (self.width, self.width * 2, self.width * 4, self.width * 8)


W18, W32, W40, W48 = (TrunkSize(width) for width in (18, 32, 40, 48))
# Wide and shallow: on a CPU the number of layers costs more than their width. Both embedded networks were trained with
# one block per branch first, then with two.
COMPACT = TrunkSize(32, modules=(1, 1, 1), blocks=1, stem_channels=32, stem_planes=32, stem_blocks=1)
COMPACT_DEEP = replace(COMPACT, blocks=2)


def _conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=BN_MOMENTUM)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; keeps the number of channels (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv3x3(channels, channels), _norm(channels)
        self.conv2, self.bn2 = _conv3x3(channels, channels), _norm(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return cast(Tensor, self.relu(self.bn2(self.conv2(out)).add_(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut; the output has `4 * planes` channels.

    The 3x3 convolution has the stride, or with `caffe_style` the first 1x1 convolution.
    """

    def __init__(self, channels_in: int, planes: int, stride: int = 1, *, caffe_style: bool = False) -> None:
        super().__init__()
        first, second = (stride, 1) if caffe_style else (1, stride)
        self.conv1, self.bn1 = nn.Conv2d(channels_in, planes, 1, first, bias=False), _norm(planes)
        self.conv2, self.bn2 = _conv3x3(planes, planes, second), _norm(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), _norm(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != 4 * planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, 4 * planes, 1, stride, bias=False), _norm(4 * planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return cast(Tensor, self.relu(self.bn3(self.conv3(out)).add_(shortcut)))


def _down(channels_in: int, channels_out: int, relu: bool) -> nn.Sequential:
    layers: list[nn.Module] = [_conv3x3(channels_in, channels_out, stride=2), _norm(channels_out)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class ExchangeModule(nn.Module):
    """Residual blocks in every branch; then every output is the sum of all branches, resized to it.

    Coarser branches pass a 1x1 convolution and are upsampled, finer ones pass 3x3 convolutions of stride 2.
    `outputs=1` makes the finest output only, as in the last module of the pose networks.
    """

    def __init__(self, channels: tuple[int, ...], blocks: int, outputs: int | None = None) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c) for _ in range(blocks))) for c in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._path(channels, source, target) for source in range(len(channels)))
            for target in range(outputs or len(channels))
        )
        self.relu = nn.ReLU(inplace=True)

    @staticmethod
    def _path(channels: tuple[int, ...], source: int, target: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            return nn.Sequential(
                nn.Conv2d(channels[source], channels[target], 1, bias=False),
                _norm(channels[target]),
                nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
            )
        steps = target - source
        inner = [_down(channels[source], channels[source], relu=True) for _ in range(steps - 1)]
        return nn.Sequential(*inner, _down(channels[source], channels[target], relu=False))

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        fused = []
        for paths in self.fuse_layers:
            terms = [path(x) for path, x in zip(cast(nn.ModuleList, paths), branches, strict=True)]
            total = terms[0] + terms[1]
            for term in terms[2:]:
                total.add_(term)
            fused.append(self.relu(total))
        return fused


class HRNetTrunk(nn.Module):
    """(N, 3, H, W), sides multiples of 32, to four branches (N, C, H/4, W/4), (N, 2C, H/8, W/8), ...

    `outputs=1` returns the finest branch only.
    """

    def __init__(self, size: TrunkSize, outputs: int | None = None) -> None:
        super().__init__()
        stem, planes, channels = size.stem_channels, size.stem_planes, size.channels
        self.conv1, self.bn1 = _conv3x3(3, stem, stride=2), _norm(stem)
        self.conv2, self.bn2 = _conv3x3(stem, stem, stride=2), _norm(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(
            *(Bottleneck(stem if i == 0 else 4 * planes, planes) for i in range(size.stem_blocks))
        )
        self.transition1 = self._transition((4 * planes,), channels[:2])
        self.stage2 = self._stage(channels[:2], size.modules[0], size.blocks)
        self.transition2 = self._transition(channels[:2], channels[:3])
        self.stage3 = self._stage(channels[:3], size.modules[1], size.blocks)
        self.transition3 = self._transition(channels[:3], channels)
        self.stage4 = self._stage(channels, size.modules[2], size.blocks, outputs)

    @staticmethod
    def _transition(before: tuple[int, ...], after: tuple[int, ...]) -> nn.ModuleList:
        """Keep or change the width of existing branches; a new branch starts from the coarsest one before."""
        paths: list[nn.Module] = []
        for i, channels in enumerate(after):
            if i >= len(before):
                paths.append(nn.Sequential(_down(before[-1], channels, relu=True)))
            elif before[i] != channels:
                layers = _conv3x3(before[i], channels), _norm(channels), nn.ReLU(inplace=True)
                paths.append(nn.Sequential(*layers))
            else:
                paths.append(nn.Identity())
        return nn.ModuleList(paths)

    @staticmethod
    def _stage(
        channels: tuple[int, ...], modules: int, blocks: int, outputs: int | None = None
    ) -> nn.Sequential:
        module_outputs = [None] * (modules - 1) + [outputs]
        return nn.Sequential(*(ExchangeModule(channels, blocks, n) for n in module_outputs))

    @staticmethod
    def _enter(transition: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
        last = len(branches) - 1
        return [path(branches[min(i, last)]) for i, path in enumerate(transition)]

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.relu(self.bn2(self.conv2(x)))
        branches = [self.layer1(x)]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            branches = stage(self._enter(transition, branches))
        return branches


def initialise(network: nn.Module) -> None:
    """Initialise for training: He for convolutions before a BatchNorm, normal(0, 0.001) for the others.

    Residual blocks start as the identity (Goyal et al., "Accurate, Large Minibatch SGD", 2017): the weight of their
    last BatchNorm is 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(module.weight, std=0.001)
                nn.init.zeros_(module.bias)
        elif isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """`network`, changed in place for inference: every BatchNorm is merged into the convolution before it."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            names = list(module._modules)
            pairs = [(str(a), str(b)) for a, b in pairwise(names)]
        else:
            pairs = [(f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
        for conv_name, norm_name in pairs:
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, torch.nn.utils.fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    return network


def store_weights(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`network`, changed in place: the weights of convolutions and linear layers become `dtype`.

    This avoids autocast's conversion at every step; results are bit-identical.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            module.to(dtype)
    return network
