"""The pose networks and detectors by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from posetrack_detectors.networks import faster_rcnn, hrnet
from posetrack_detectors.networks.cascade_rcnn import CascadeRCNN
from posetrack_detectors.networks.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.networks.mask_rcnn import MaskRCNN
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.networks.pose_resnet import PoseResNet

POSE_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "hrnet-compact": lambda outputs: PoseHRNet(hrnet.COMPACT, outputs),
    "hrnet-compact-deep": lambda outputs: PoseHRNet(hrnet.COMPACT_DEEP, outputs),
    "hrnet-w32": lambda outputs: PoseHRNet(hrnet.W32, outputs),
    "hrnet-w48": lambda outputs: PoseHRNet(hrnet.W48, outputs),
    "resnet-50": lambda outputs: PoseResNet(50, outputs),
    "resnet-101": lambda outputs: PoseResNet(101, outputs),
    "resnet-152": lambda outputs: PoseResNet(152, outputs),
}
"""Functions from the number of output maps (keypoints, or three times as many for UDP offsets) to a network."""

DETECTORS: dict[str, tuple[type[FasterRCNN], DetectorSize]] = {
    "faster-rcnn-compact": (FasterRCNN, faster_rcnn.COMPACT),
    "faster-rcnn-compact-deep": (FasterRCNN, faster_rcnn.COMPACT_DEEP),
    "faster-rcnn-w18": (FasterRCNN, faster_rcnn.W18),
    "faster-rcnn-w32": (FasterRCNN, faster_rcnn.W32),
    "faster-rcnn-w40": (FasterRCNN, faster_rcnn.W40),
    "faster-rcnn-w48": (FasterRCNN, faster_rcnn.W48),
    "cascade-rcnn-w18": (CascadeRCNN, faster_rcnn.W18),
    "cascade-rcnn-w32": (CascadeRCNN, faster_rcnn.W32),
    "cascade-rcnn-w40": (CascadeRCNN, faster_rcnn.W40),
    "mask-rcnn-w18": (MaskRCNN, faster_rcnn.W18),
    "mask-rcnn-w32": (MaskRCNN, faster_rcnn.W32),
    "mask-rcnn-w40": (MaskRCNN, faster_rcnn.W40),
}
"""The class of a detector and its dimensions."""
