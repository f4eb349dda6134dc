"""HRNet for ImageNet classes: the four branches are gathered from fine to coarse (Wang et al., TPAMI 2020)."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from posetrack_detectors.networks.hrnet import BN_MOMENTUM, Bottleneck, HRNetTrunk, TrunkSize
from torch import Tensor, nn

HEAD_PLANES = (32, 64, 128, 256)
FEATURES = 2048


class HRNetClassifier(HRNetTrunk):
    """(N, 3, H, W) normalised RGB images to logits (N, classes)."""

    def __init__(self, size: TrunkSize, classes: int = 1000) -> None:
        super().__init__(size)
        widths = [4 * planes for planes in HEAD_PLANES]
        self.incre_modules = nn.ModuleList(
            nn.Sequential(Bottleneck(channels, planes))
            for channels, planes in zip(size.channels, HEAD_PLANES, strict=True)
        )
        self.downsamp_modules = nn.ModuleList(
            self._layer(nn.Conv2d(fine, coarse, 3, stride=2, padding=1), coarse)
            for fine, coarse in pairwise(widths)
        )
        self.final_layer = self._layer(nn.Conv2d(widths[-1], FEATURES, 1), FEATURES)
        self.classifier = nn.Linear(FEATURES, classes)

    @staticmethod
    def _layer(convolution: nn.Conv2d, channels: int) -> nn.Sequential:
        return nn.Sequential(
            convolution, nn.BatchNorm2d(channels, momentum=BN_MOMENTUM), nn.ReLU(inplace=True)
        )

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        branches = super().forward(images)
        x = self.incre_modules[0](branches[0])
        for down, widen, branch in zip(
            self.downsamp_modules, self.incre_modules[1:], branches[1:], strict=True
        ):
            x = widen(branch) + down(x)
        return cast(Tensor, self.classifier(self.final_layer(x).mean(dim=(2, 3))))
