"""Find keypoints of people in images: crop, run the network, decode, return pixels of the whole image."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from posetrack_detectors.decoding import on_device
from posetrack_detectors.decoding.crops import PIXEL_STD, centre_and_scale, crop_person, to_frame
from posetrack_detectors.decoding.crops_on_device import crop_people
from posetrack_detectors.decoding.dark_udp import (
    decode_dark,
    decode_dark_smoothed,
    decode_udp,
    decode_udp_offsets,
)
from posetrack_detectors.decoding.heatmaps import decode_heatmaps, flip_back, flip_back_offsets
from posetrack_detectors.int8 import for_inference
from posetrack_detectors.networks.hrnet import MEAN, STD
from posetrack_detectors.weights.activation_ranges import Ranges
from posetrack_detectors.weights.calibration import Calibration

Decoding = Literal["quarter", "dark", "dark-smoothed", "udp", "udp-offsets"]
"""How heatmaps become keypoints; depends on how the network was trained."""
_SUBPIXEL_DECODERS = {
    "dark": decode_dark,
    "dark-smoothed": decode_dark_smoothed,
    "udp": decode_udp,
    "udp-offsets": decode_udp_offsets,
}
_FLIP_SHIFT = {"dark-smoothed": 0.75, "udp": 0.0}
"""Columns by which flipped-back heatmaps are shifted right; 1, as in the reference code, for other decodings.

Networks trained here place pixel x at cell x / 4, so the last pixel is 1/4 cell before the end. UDP crops are symmetric.
"""


class PoseEstimator:
    """Finds keypoints of people. `network` is changed in place: its BatchNorms are folded into the convolutions.

    Args:
        network: A pose network with its weights loaded.
        size: (width, height) of the crops.
        keypoints: Number of keypoints K.
        mirrored: Turns flip averaging on; `mirrored[i]` is the keypoint that i becomes in a flipped image.
        bgr: The network was trained on BGR images.
        decoding: How its heatmaps become keypoints.
        kernel: Size in heatmap cells of the smoothing in DARK and UDP decoding.
        device: "cpu", "cuda" or "mps".
        dtype: "bfloat16" runs the network in half precision.
        calibration: Turns heatmap heights into probabilities.
        appearance: Also return features of the network's last layer, pooled at the keypoints.
        ranges: Activation ranges; with them the trunk runs in int8 (CPU only).
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        size: tuple[int, int],
        keypoints: int,
        mirrored: tuple[int, ...] | None = None,
        bgr: bool = False,
        decoding: Decoding = "quarter",
        kernel: int = 11,
        device: str = "cpu",
        dtype: str = "float32",
        calibration: Calibration | None = None,
        appearance: bool = False,
        ranges: Ranges | None = None,
    ) -> None:
        self.calibration = calibration
        self.size, self.keypoints, self.mirrored, self.bgr = size, keypoints, mirrored, bgr
        self.decoding, self.kernel = decoding, kernel
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self.network = for_inference(network, self.device, self.dtype, ranges)
        self.on_device = self.device.type in ("cuda", "mps")
        """Crops, flip averaging and decoding run on the device; one copy back per batch. NumPy is faster on a CPU."""
        self._last_layer = threading.local()
        self.appearance_size = 0
        """Features per person; 0 if `appearance` is off."""
        if appearance:
            final_layer = cast(nn.Conv2d, network.final_layer)
            final_layer.register_forward_pre_hook(self._keep_features)
            self.appearance_size = final_layer.in_channels
        # (x - mean) / std as one multiply-add on bytes.
        self._gain = (1 / torch.tensor(STD)).view(1, 3, 1, 1).to(self.device)
        self._offset = (torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1).to(self.device)

    @torch.inference_mode()
    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints (N, K, 2), scores (N, K) and appearance (N, D) of N people.

        Person i is in `images[i]` (H, W, 3) RGB at `boxes[i]` x1 y1 x2 y2. Keypoints are in pixels of the whole
        image. A score is the probability that the keypoint is correct if the weights are calibrated, else the
        height of the heatmap's peak. D is 0 if `appearance` is off.
        """
        if not images:
            shapes = (0, self.keypoints, 2), (0, self.keypoints), (0, self.appearance_size)
            keypoints, scores, appearance = (np.zeros(shape, np.float32) for shape in shapes)
            return keypoints, scores, appearance
        aspect = self.size[0] / self.size[1]
        places = [centre_and_scale(box, aspect) for box in boxes]
        centres = np.array([centre for centre, _ in places], dtype=np.float32).reshape(-1, 2)
        scales = np.array([scale for _, scale in places], dtype=np.float32).reshape(-1, 2)
        find = self._find_on_device if self.on_device else self._find
        keypoints, heights, appearance = find(images, centres, scales)
        scores = self.calibration(heights) if self.calibration else heights
        return keypoints, scores, appearance

    def _find(
        self, images: Sequence[NDArray[np.uint8]], centres: NDArray[np.float32], scales: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints, heights of the peaks and appearance, with OpenCV and NumPy around the network."""
        crops = np.empty((len(images), self.size[1], self.size[0], 3), dtype=np.uint8)
        for crop, image, centre, scale in zip(crops, images, centres, scales, strict=True):
            crop[:] = crop_person(image, centre, scale, self.size, udp=self._udp)
        keypoints, heights = self._decode(self._heatmaps(crops), centres, scales)
        return keypoints, heights, self._appearance(keypoints, heights, centres, scales)

    def _find_on_device(
        self, images: Sequence[NDArray[np.uint8]], centres: NDArray[np.float32], scales: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """As `_find`, in one batch on the device, with one copy to the host."""
        crops = crop_people(images, centres, scales, self.size, self.device, udp=self._udp)
        found = self._points_on_device(crops).cpu().numpy()
        points, heights = found[:, : 2 * self.keypoints], found[:, 2 * self.keypoints : 3 * self.keypoints]
        points = points.reshape(len(images), self.keypoints, 2)
        keypoints = to_frame(points, centres, scales, self.size).astype(np.float32)
        return keypoints, heights.copy(), found[:, 3 * self.keypoints :].copy()

    def _points_on_device(self, crops: Tensor) -> Tensor:
        """(N, 3 * K + D): keypoints x, y in pixels of the crops, heights, appearance; waits for nothing."""
        count, pixels = len(crops), crops.flip(1) if self.bgr else crops
        if self.mirrored is None:
            heatmaps = self._forward(pixels)
        else:
            both = self._forward(torch.cat([pixels.flip(3), pixels]))
            flipped, heatmaps = both[:count], both[count:]
            if self.decoding == "udp-offsets":
                unflipped = on_device.flip_back_offsets(flipped, self.mirrored)
            else:
                shift = _FLIP_SHIFT.get(self.decoding, 1.0)
                unflipped = on_device.flip_back(flipped, self.mirrored, shift=shift)
            heatmaps = (heatmaps + unflipped) * 0.5
        points, heights = on_device.DECODERS[self.decoding](heatmaps, self.size, self.kernel)
        columns = [points.flatten(1), heights]
        if self.appearance_size:
            features = cast(Tensor, self._last_layer.features)[-count:].float()
            columns.append(on_device.pool_features(features, points, heights, self.size))
        return torch.cat(columns, dim=1)

    def _keep_features(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._last_layer.features = inputs[0]

    def _appearance(
        self,
        keypoints: NDArray[np.float32],
        heights: NDArray[np.float32],
        centres: NDArray[np.float32],
        scales: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """(N, D) mean of the last layer's features at the keypoints, weighted by heatmap heights; D may be 0."""
        if not self.appearance_size:
            return np.zeros((len(keypoints), 0), np.float32)
        features = cast(Tensor, self._last_layer.features).float().cpu().numpy()
        size = np.array(features.shape[:1:-1])
        shares = (keypoints - centres[:, None]) / (scales[:, None] * PIXEL_STD) + 0.5
        cells = np.clip((shares * size).astype(int), 0, size - 1)
        people = np.arange(len(features))[:, None]
        at_keypoints = features[people, :, cells[..., 1], cells[..., 0]]
        weights = np.maximum(heights, 1e-3)[..., None]
        return np.asarray((at_keypoints * weights).sum(axis=1) / weights.sum(axis=1), dtype=np.float32)

    @property
    def _udp(self) -> bool:
        return self.decoding in ("udp", "udp-offsets")

    def _decode(
        self, heatmaps: NDArray[np.float32], centres: NDArray[np.float32], scales: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.decoding == "quarter":
            return decode_heatmaps(heatmaps, centres, scales)
        points, scores = _SUBPIXEL_DECODERS[self.decoding](heatmaps, self.size, self.kernel)
        return to_frame(points, centres, scales, self.size).astype(np.float32), scores.astype(np.float32)

    def _heatmaps(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(crops[..., ::-1].copy() if self.bgr else crops)
        pixels = pixels.to(self.device).permute(0, 3, 1, 2)
        if self.mirrored is None:
            return self._run(pixels)
        # The unflipped crops come last: `_appearance` uses the features of the last pass.
        flipped, heatmaps = self._run(pixels.flip(3)), self._run(pixels)
        if self.decoding == "udp-offsets":
            unflipped = flip_back_offsets(flipped, self.mirrored)
        else:
            unflipped = flip_back(flipped, self.mirrored, shift=_FLIP_SHIFT.get(self.decoding, 1.0))
        return np.asarray((heatmaps + unflipped) * np.float32(0.5), dtype=np.float32)

    def _run(self, pixels: Tensor) -> NDArray[np.float32]:
        return np.asarray(self._forward(pixels).cpu().numpy(), dtype=np.float32)

    def _forward(self, pixels: Tensor) -> Tensor:
        x = pixels.float().mul_(self._gain).sub_(self._offset).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            heatmaps: Tensor = self.network(x)
        return heatmaps.float()
