"""HRNetV2 for semantic segmentation: branches concatenated at the finest size (Wang et al., TPAMI 2020)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from posetrack_detectors.hrnet import BN_MOMENTUM, HRNetTrunk, TrunkSize, Upsampling, upsample


class HRNetSegmentation(HRNetTrunk):
    """(N, 3, H, W) normalised RGB pictures to (N, classes, H/4, W/4) logits; H and W multiples of 32.

    `align_corners` is a property of the weight file: True for those of the authors' HRNet-OCR branch whose
    configuration does not say (every OCR net, ADE20K, COCO-Stuff), False for pytorch-v1.1 and the plain
    Cityscapes, LIP and Pascal nets.
    """

    def __init__(self, size: TrunkSize, classes: int, *, align_corners: bool) -> None:
        upsampling: Upsampling = "bilinear with aligned corners" if align_corners else "bilinear"
        super().__init__(size, upsampling=upsampling)
        self.to_finest = nn.ModuleList(upsample(2**i, upsampling) for i in range(1, 4))
        channels = sum(size.channels)
        self.last_layer = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels, momentum=BN_MOMENTUM),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, classes, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:  # type: ignore[override]
        finest, *others = super().forward(pictures)
        brought = [layer(branch) for layer, branch in zip(self.to_finest, others, strict=True)]
        return cast(Tensor, self.last_layer(torch.cat([finest, *brought], dim=1)))
