"""HRNet for keypoints: the finest branch and a 1x1 convolution to heatmaps (Sun et al., CVPR 2019)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from posetrack_detectors.hrnet import HRNetTrunk, TrunkSize


class PoseHRNet(HRNetTrunk):
    """(N, 3, H, W) normalised RGB crops to (N, K, H/4, W/4) heatmaps, one a keypoint."""

    def __init__(self, size: TrunkSize, keypoints: int) -> None:
        super().__init__(size, outputs=1)
        self.final_layer = nn.Conv2d(size.width, keypoints, 1)

    def forward(self, crops: Tensor) -> Tensor:  # type: ignore[override]
        return cast(Tensor, self.final_layer(super().forward(crops)[0]))
