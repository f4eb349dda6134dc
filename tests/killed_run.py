"""A run with fake networks, which tests start in a separate process and kill."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.config import Config, DetectorConfig
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.records import FloatArray
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.jobs.track import track_video

PAUSE_SECONDS = 0.004


class HashDetector:
    """Three people at positions that depend on the image, and slightly on the batch size, as with real networks."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        """Sizes of the batches so far."""

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> list[tuple[FloatArray, FloatArray]]:
        time.sleep(PAUSE_SECONDS)
        self.batches.append(len(images))
        return [self._people(image, len(images)) for image in images]

    def _people(self, image: NDArray[np.uint8], batch: int) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng(zlib.crc32(image[::4, ::4].tobytes()))
        corners = np.array([[10, 10], [60, 12], [110, 20]]) + rng.normal(0, 1, (3, 2)) + 1e-3 * batch
        boxes = np.concatenate([corners, corners + [30, 70]], axis=1).astype(np.float32)
        return boxes, rng.uniform(0.4, 1, 3).astype(np.float32)


class DiagonalEstimator:
    """Keypoints on the diagonal of the box, moved slightly by the batch size."""

    def __call__(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        time.sleep(PAUSE_SECONDS)
        corners = np.asarray(boxes, np.float32).reshape(-1, 1, 4)
        share = np.linspace(0, 1, 17, dtype=np.float32)[None, :, None] + np.float32(1e-4 * len(boxes))
        keypoints = corners[..., :2] * (1 - share) + corners[..., 2:] * share
        appearance = np.eye(3, dtype=np.float32)[np.arange(len(boxes)) % 3]
        return keypoints, np.full(keypoints.shape[:2], 0.9, np.float32), appearance


def fake_networks(detector: HashDetector | None = None) -> Networks:
    weights = {"detector": {"sha256": "0"}, "pose": {"sha256": "0"}}
    return Networks(detector or HashDetector(), DiagonalEstimator(), POSETRACK, "cpu", "float32", weights)


def config() -> Config:
    """Settings with a batch size that does not divide the number of frames."""
    return Config(detector=DetectorConfig(batch=3))


def run_fake(video: Path, out: Path, resume: bool, detector: HashDetector | None = None) -> None:
    """Track `video` with fake networks; the killed process calls this."""
    track_video(video, out, config=config(), resume=resume, networks=fake_networks(detector))
