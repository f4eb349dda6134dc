"""A run with fake networks, to be started in a process of its own and killed."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrack_app.assemble import Parts
from posetrack_app.config import Config, DetectorConfig
from posetrack_app.records import FloatArray
from posetrack_app.run import track_video
from posetrack_app.skeleton import POSETRACK

PAUSE_SECONDS = 0.004


class WanderingDetector:
    """Three people at places that the picture's bytes decide; like a network, a little otherwise in another batch."""

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> list[tuple[FloatArray, FloatArray]]:
        time.sleep(PAUSE_SECONDS)
        return [self._people(image, len(images)) for image in images]

    def _people(self, image: NDArray[np.uint8], batch: int) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng(zlib.crc32(image[::4, ::4].tobytes()))
        corners = np.array([[10, 10], [60, 12], [110, 20]]) + rng.normal(0, 1, (3, 2)) + 1e-3 * batch
        boxes = np.concatenate([corners, corners + [30, 70]], axis=1).astype(np.float32)
        return boxes, rng.uniform(0.4, 1, 3).astype(np.float32)


class WanderingEstimator:
    """Keypoints in the box, moved by how many boxes were asked for together."""

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, ...]:
        time.sleep(PAUSE_SECONDS)
        corners = np.asarray(boxes, np.float32).reshape(-1, 1, 4)
        share = np.linspace(0, 1, 17, dtype=np.float32)[None, :, None] + np.float32(1e-4 * len(boxes))
        keypoints = corners[..., :2] * (1 - share) + corners[..., 2:] * share
        appearance = np.eye(3, dtype=np.float32)[np.arange(len(boxes)) % 3]
        return keypoints, np.full(keypoints.shape[:2], 0.9, np.float32), appearance


def fake_parts() -> Parts:
    weights = {"detector": {"sha256": "0"}, "pose": {"sha256": "0"}}
    return Parts(WanderingDetector(), WanderingEstimator(), POSETRACK, "cpu", "float32", weights)


def config() -> Config:
    """Batches that do not divide the video."""
    return Config(detector=DetectorConfig(batch=3))


def run_fake(video: Path, out: Path, resume: bool) -> None:
    """What the killed process does."""
    track_video(video, out, config=config(), resume=resume, parts=fake_parts())
