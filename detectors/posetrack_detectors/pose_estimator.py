"""People in pictures to keypoints: crop, network, decode, keypoints in pixels of the whole picture."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from posetrack_detectors.activation_ranges import Ranges
from posetrack_detectors.calibration import Calibration
from posetrack_detectors.crops import PIXEL_STD, centre_and_scale, crop_person, to_frame
from posetrack_detectors.heatmaps import decode_heatmaps, flip_back, flip_back_offsets
from posetrack_detectors.hrnet import MEAN, STD
from posetrack_detectors.int8 import for_inference
from posetrack_detectors.udp_dark import decode_dark, decode_dark_smoothed, decode_udp, decode_udp_offsets

Decoding = Literal["quarter", "dark", "dark-smoothed", "udp", "udp-offsets"]
"""How heatmaps become keypoints: what the network was trained for."""
_FINER = {
    "dark": decode_dark,
    "dark-smoothed": decode_dark_smoothed,
    "udp": decode_udp,
    "udp-offsets": decode_udp_offsets,
}
_SHIFT = {"dark-smoothed": 0.75, "udp": 0.0}
"""Columns from a turned heatmap to the other, if not the official one: a pixel x is at cell x / 4 in nets trained here,
so that the last pixel's is 1/4 before the end. Crops of UDP are symmetric.
"""


class PoseEstimator:
    """Boxes in pictures to keypoints; `network` is taken over: BatchNorms are folded into its convolutions.

    `size` is the crop's (width, height), `keypoints` their number. `mirrored` turns flip averaging on;
    `mirrored[i]` is the keypoint that i becomes in a flipped picture. `bgr`: the network was trained on
    blue-green-red pictures. `kernel` is the smoothing of DARK and UDP decoding, in heatmap cells. `dtype`
    "bfloat16" runs the network at half precision; with `ranges`, on a CPU, the trunk runs in int8. `calibration`
    turns scores into chances. With `appearance` each person's answer has the features, pooled at the keypoints,
    that the network finds them from.
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
        self._kept = threading.local()
        self.appearance = 0
        """Number of features a person, 0 where they are not asked for."""
        if appearance:
            last = cast(nn.Conv2d, network.final_layer)
            last.register_forward_pre_hook(self._keep_features)
            self.appearance = last.in_channels
        # One multiply-add on bytes: (x - mean) / std.
        self._gain = (1 / torch.tensor(STD)).view(1, 3, 1, 1).to(self.device)
        self._offset = (torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1).to(self.device)

    @torch.inference_mode()
    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.float32], ...]:
        """Person i stands in `images[i]` (H, W, 3) RGB at `boxes[i]` x1 y1 x2 y2.

        Keypoints (N, K, 2) in pixels of the whole picture and scores (N, K): the chance that a keypoint is
        right where the weights are calibrated, else the heatmap's height. With `appearance` also (N, C)
        features of the trunk's last layer.
        """
        if not images:
            shapes = [(0, self.keypoints, 2), (0, self.keypoints), (0, self.appearance)]
            return tuple(np.zeros(shape, np.float32) for shape in shapes[: 3 if self.appearance else 2])
        aspect = self.size[0] / self.size[1]
        places = [centre_and_scale(box, aspect) for box in boxes]
        centres = np.array([centre for centre, _ in places], dtype=np.float32).reshape(-1, 2)
        scales = np.array([scale for _, scale in places], dtype=np.float32).reshape(-1, 2)
        crops = np.empty((len(images), self.size[1], self.size[0], 3), dtype=np.uint8)
        for crop, image, (centre, scale) in zip(crops, images, places, strict=True):
            crop[:] = crop_person(image, centre, scale, self.size, udp=self._udp)
        keypoints, heights = self._decode(self._heatmaps(crops), centres, scales)
        scores = self.calibration(heights) if self.calibration else heights
        if not self.appearance:
            return keypoints, scores
        return keypoints, scores, self._pooled(keypoints, heights, centres, scales)

    def _keep_features(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._kept.features = inputs[0]

    def _pooled(
        self,
        keypoints: NDArray[np.float32],
        heights: NDArray[np.float32],
        centres: NDArray[np.float32],
        scales: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """(N, C) mean of the kept features at the keypoints, weighted by the heights of their heatmaps."""
        features = cast(Tensor, self._kept.features).float().cpu().numpy()
        size = np.array(features.shape[:1:-1])
        within = (keypoints - centres[:, None]) / (scales[:, None] * PIXEL_STD) + 0.5
        cells = np.clip((within * size).astype(int), 0, size - 1)
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
        points, scores = _FINER[self.decoding](heatmaps, self.size, self.kernel)
        return to_frame(points, centres, scales, self.size).astype(np.float32), scores.astype(np.float32)

    def _heatmaps(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(crops[..., ::-1].copy() if self.bgr else crops)
        pixels = pixels.to(self.device).permute(0, 3, 1, 2)
        if self.mirrored is None:
            return self._run(pixels)
        flipped, heatmaps = self._run(pixels.flip(3)), self._run(pixels)  # features are those of the latter
        if self.decoding == "udp-offsets":
            turned = flip_back_offsets(flipped, self.mirrored)
        else:
            turned = flip_back(flipped, self.mirrored, shift=_SHIFT.get(self.decoding, 1.0))
        return np.asarray((heatmaps + turned) * np.float32(0.5), dtype=np.float32)

    def _run(self, pixels: Tensor) -> NDArray[np.float32]:
        x = pixels.float().mul_(self._gain).sub_(self._offset).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            heatmaps: Tensor = self.network(x)
        return np.asarray(heatmaps.float().cpu().numpy(), dtype=np.float32)
