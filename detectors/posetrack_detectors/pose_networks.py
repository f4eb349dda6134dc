"""The pose networks by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from posetrack_detectors import hrnet
from posetrack_detectors.pose_hrnet import PoseHRNet
from posetrack_detectors.pose_resnet import PoseResNet

POSE_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "hrnet-compact": lambda outputs: PoseHRNet(hrnet.COMPACT, outputs),
    "hrnet-compact-deep": lambda outputs: PoseHRNet(hrnet.COMPACT_DEEP, outputs),
    "hrnet-w32": lambda outputs: PoseHRNet(hrnet.W32, outputs),
    "hrnet-w48": lambda outputs: PoseHRNet(hrnet.W48, outputs),
    "resnet-50": lambda outputs: PoseResNet(50, outputs),
    "resnet-101": lambda outputs: PoseResNet(101, outputs),
    "resnet-152": lambda outputs: PoseResNet(152, outputs),
}
"""Builders; they take the number of output maps: keypoints, or three times as many for UDP offsets."""
