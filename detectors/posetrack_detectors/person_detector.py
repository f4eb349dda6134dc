"""Find people in images: resize, run the network, return boxes in pixels of the original image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posetrack_detectors.int8 import for_inference
from posetrack_detectors.networks.detect_on_device import can_detect, detect
from posetrack_detectors.networks.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.networks.hrnet import MEAN, STD
from posetrack_detectors.weights.activation_ranges import Ranges

PERSON = 0
"""The person's class index, in the one-class networks and in COCO's 80."""
People = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Boxes (N, 4) and scores (N,) of each image."""
STRIDE = 32
"""The sides of the network's input are multiples of this."""


class PersonDetector:
    """Finds people in images. `network` is changed in place: its BatchNorms are folded into the convolutions.

    Args:
        network: A detector with its weights loaded.
        device: "cpu", "cuda" or "mps".
        dtype: "bfloat16" runs the convolutions in half precision; boxes stay float32.
        ranges: Activation ranges; with them the trunk and the larger convolutions run in int8 (CPU only).
    """

    def __init__(
        self,
        network: FasterRCNN,
        device: str = "cpu",
        dtype: str = "float32",
        ranges: Ranges | None = None,
    ) -> None:
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self.size = network.size
        self.on_device = self.device.type in ("cuda", "mps")
        """All images of a batch go through the steps after the trunk together; one copy back per batch."""
        self.network = cast(FasterRCNN, for_inference(network, self.device, self.dtype, ranges))

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> People:
        """Boxes (N, 4) x1 y1 x2 y2 and scores (N,) of each (H, W, 3) RGB image, best first; runs as one batch."""
        if not images:
            return []
        batch, sizes, scales = prepare(images, self.size, self.device)
        batch = batch.contiguous(memory_format=torch.channels_last)
        if self.on_device and can_detect(self.network):
            return self._detect_on_device(batch, sizes, scales)
        return self._detect(batch, sizes, scales)

    def _detect(self, batch: Tensor, sizes: Tensor, scales: Tensor) -> People:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            detections = self.network(batch, sizes, scales)
        return [
            (found.boxes[people].cpu().numpy(), found.scores[people].cpu().numpy())
            for found in detections
            for people in [found.labels == PERSON]
        ]

    def _detect_on_device(self, batch: Tensor, sizes: Tensor, scales: Tensor) -> People:
        """As `_detect`, with one copy to the host."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            found = detect(self.network, batch, sizes, scales)
        people: People = []
        for number, rows in enumerate(found.cpu().numpy()):
            one = slice(number, number + 1)
            if np.isnan(rows).any():  # more boxes than the fixed sizes hold
                people += self._detect(batch[one], sizes[one], scales[one])
                continue
            own = rows[(rows[:, 4] > 0) & (rows[:, 5] == PERSON)]
            people.append((own[:, :4].copy(), own[:, 4].copy()))
        return people


def resized_shape(width: int, height: int, size: DetectorSize) -> tuple[int, int]:
    """(width, height) of an image scaled to the network's sides; the aspect ratio is kept."""
    scale = min(size.long_side / max(width, height), size.short_side / min(width, height))
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def padded_shape(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(width, height) of a batch that holds images of these (width, height): multiples of 32, at least 64.

    The coarsest level of the feature pyramid needs 64 pixels.
    """
    width, height = (max(64, -(-max(sides) // STRIDE) * STRIDE) for sides in zip(*shapes, strict=True))
    return width, height


def prepare(
    images: Sequence[NDArray[Any]], size: DetectorSize, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments of `FasterRCNN.forward`: the batch (N, 3, H, W), image sizes (N, 2) in it, scales (N, 2).

    Images are resized, normalised and padded with 0 to the largest one.
    """
    shapes = [resized_shape(image.shape[1], image.shape[0], size) for image in images]
    width, height = padded_shape(shapes)
    mean, std = torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)
    batch = torch.zeros(len(images), 3, height, width, device=device)
    for target, image, (w, h) in zip(batch, images, shapes, strict=True):
        resized = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
        normalised = (torch.from_numpy(resized).to(device) - mean) / std
        target[:, :h, :w] = normalised.permute(2, 0, 1)
    # The reference code rounds the inverse of the scale to float32, once.
    scales = [(1 / (w / i.shape[1]), 1 / (h / i.shape[0])) for i, (w, h) in zip(images, shapes, strict=True)]
    return (
        batch,
        torch.tensor(shapes, dtype=torch.float32, device=device),
        torch.tensor(scales, dtype=torch.float32, device=device),
    )
