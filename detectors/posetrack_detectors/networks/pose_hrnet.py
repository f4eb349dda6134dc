"""HRNet for pose: heatmaps by a 1x1 convolution on the finest branch (Sun et al., CVPR 2019)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from posetrack_detectors.networks.hrnet import HRNetTrunk, TrunkSize


class PoseHRNet(HRNetTrunk):
    """(N, 3, H, W) normalised RGB crops to heatmaps (N, K, H/4, W/4), one per keypoint."""

    def __init__(self, size: TrunkSize, keypoints: int) -> None:
        super().__init__(size, outputs=1)
        self.final_layer = nn.Conv2d(size.width, keypoints, 1)

    def forward(self, crops: Tensor) -> Tensor:  # type: ignore[override]
        return cast(Tensor, self.final_layer(super().forward(crops)[0]))
