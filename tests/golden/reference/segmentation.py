"""HRNetV2 for semantic segmentation: branches concatenated at the finest size (Wang et al., TPAMI 2020)."""

from __future__ import annotations

from typing import cast

import torch
from posetrack_detectors.networks.hrnet import BN_MOMENTUM, HRNetTrunk, TrunkSize
from torch import Tensor, nn


class HRNetSegmentation(HRNetTrunk):
    """(N, 3, H, W) normalised RGB images to logits (N, classes, H/4, W/4); H and W multiples of 32.

    Upsampling is bilinear, also in the trunk. `align_corners` depends on the weight file: True for files of the authors'
    HRNet-OCR branch whose configuration does not set it (all OCR networks, ADE20K, COCO-Stuff), False for pytorch-v1.1
    and the plain Cityscapes, LIP and Pascal networks.
    """

    def __init__(self, size: TrunkSize, classes: int, *, align_corners: bool) -> None:
        super().__init__(size)
        for module in self.modules():
            if isinstance(module, nn.Upsample):
                module.mode, module.align_corners = "bilinear", align_corners
        self.to_finest = nn.ModuleList(
            nn.Upsample(scale_factor=2**i, mode="bilinear", align_corners=align_corners) for i in range(1, 4)
        )
        channels = sum(size.channels)
        self.last_layer = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels, momentum=BN_MOMENTUM),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        finest, *others = super().forward(images)
        resized = [layer(branch) for layer, branch in zip(self.to_finest, others, strict=True)]
        return cast(Tensor, self.last_layer(torch.cat([finest, *resized], dim=1)))
