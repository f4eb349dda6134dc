"""SimpleBaseline for pose: a ResNet and three transposed convolutions (Xiao et al., ECCV 2018).

State-dict keys are those of the authors' code. The authors' weight files (both of their repositories) expect BGR
crops normalised with the RGB mean and deviation; mmpose's expect RGB.
"""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor, nn

from posetrack_detectors.networks.hrnet import BN_MOMENTUM, Bottleneck

Depth = Literal[50, 101, 152]

BLOCKS: dict[Depth, tuple[int, int, int, int]] = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Bottlenecks in the four stages (He et al., CVPR 2016)."""
DECONV_CHANNELS = 256


class PoseResNet(nn.Module):
    """(N, 3, H, W) normalised crops to heatmaps (N, K, H/4, W/4), one per keypoint; H and W multiples of 32.

    `caffe_style` puts the stride of a downsampling bottleneck on its first convolution, as in the authors' `*_caffe`
    configurations: same keys and shapes, other outputs. It is kept for the golden comparison.
    """

    def __init__(self, depth: Depth, keypoints: int, *, caffe_style: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64, momentum=BN_MOMENTUM)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for stage, blocks in enumerate(BLOCKS[depth]):
            planes = 64 * 2**stage
            layers = []
            for i in range(blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                layers.append(Bottleneck(channels, planes, stride, caffe_style=caffe_style))
                channels = 4 * planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        deconvs: list[nn.Module] = []
        for _ in range(3):
            deconvs += [
                nn.ConvTranspose2d(channels, DECONV_CHANNELS, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(DECONV_CHANNELS, momentum=BN_MOMENTUM),
                nn.ReLU(inplace=True),
            ]
            channels = DECONV_CHANNELS
        self.deconv_layers = nn.Sequential(*deconvs)
        self.final_layer = nn.Conv2d(channels, keypoints, 1)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(crops))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return cast(Tensor, self.final_layer(self.deconv_layers(x)))
