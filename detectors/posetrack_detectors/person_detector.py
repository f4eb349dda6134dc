"""People in pictures: resize, network, boxes in pixels of the whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posetrack_detectors.activation_ranges import Ranges
from posetrack_detectors.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.hrnet import MEAN, STD
from posetrack_detectors.int8 import for_inference

PERSON = 0
"""The person's class in the one-class nets and in COCO's 80."""
STRIDE = 32
"""Sides of the network's input are multiples of this."""


class PersonDetector:
    """Pictures to boxes of people; `network` is taken over: BatchNorms are folded into its convolutions.

    `dtype` "bfloat16" runs the convolutions at half precision, boxes stay float32. With `ranges`, on a CPU, the trunk
    and the larger convolutions run in int8, the rest in float32.
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
        self.network = for_inference(network, self.device, self.dtype, ranges)

    @torch.inference_mode()
    def __call__(
        self, images: Sequence[NDArray[np.uint8]]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Boxes (N, 4) x1 y1 x2 y2 and scores (N,), best first, of each (H, W, 3) RGB image; one batch."""
        if not images:
            return []
        pictures, sizes, scales = prepare(images, self.size, self.device)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            found = self.network(pictures, sizes, scales)
        return [
            (one.boxes[people].cpu().numpy(), one.scores[people].cpu().numpy())
            for one in found
            for people in [one.labels == PERSON]
        ]


def resized_shape(width: int, height: int, size: DetectorSize) -> tuple[int, int]:
    """(width, height) of a picture brought to the network's sides, its aspect kept."""
    scale = min(size.long_side / max(width, height), size.short_side / min(width, height))
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def padded_shape(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(width, height) of a batch that holds pictures of these: multiples of 32, at least 64 for the coarsest level."""
    width, height = (max(64, -(-max(sides) // STRIDE) * STRIDE) for sides in zip(*shapes, strict=True))
    return width, height


def prepare(
    images: Sequence[NDArray[Any]], size: DetectorSize, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """What `FasterRCNN.forward` takes: resized, normalised, padded with 0 to the largest, sides multiples of 32."""
    shapes = [resized_shape(image.shape[1], image.shape[0], size) for image in images]
    width, height = padded_shape(shapes)
    mean, std = torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)
    pictures = torch.zeros(len(images), 3, height, width, device=device)
    for target, image, (w, h) in zip(pictures, images, shapes, strict=True):
        small = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
        normal = (torch.from_numpy(small).to(device) - mean) / std
        target[:, :h, :w] = normal.permute(2, 0, 1)
    # The scale is rounded to float32 once, as its inverse: part of the official numbers.
    scales = [(1 / (w / i.shape[1]), 1 / (h / i.shape[0])) for i, (w, h) in zip(images, shapes, strict=True)]
    return (
        pictures,
        torch.tensor(shapes, dtype=torch.float32, device=device),
        torch.tensor(scales, dtype=torch.float32, device=device),
    )
