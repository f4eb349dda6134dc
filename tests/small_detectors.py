"""A detector that runs in milliseconds, and images for it."""

from __future__ import annotations

import numpy as np
import torch
from posetrack_detectors.networks.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.networks.hrnet import TrunkSize

TINY = DetectorSize(
    TrunkSize(4, modules=(1, 1, 1), blocks=1, stem_channels=8, stem_planes=4, stem_blocks=1),
    channels=8,
    box_channels=16,
    classes=3,
    proposals_per_level=40,
    proposals=20,
    score_threshold=0.2,
    short_side=64,
    long_side=128,
)


def tiny(kind: type[FasterRCNN] = FasterRCNN, seed: int = 0, size: DetectorSize = TINY) -> FasterRCNN:
    """Random weights and BatchNorm statistics, so that errors in folding and padding have an effect."""
    torch.manual_seed(seed)
    network = kind(size).eval()
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(std=0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network


def random_images(count: int, height: int = 48, width: int = 80) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]
