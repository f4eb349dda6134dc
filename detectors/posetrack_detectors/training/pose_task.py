"""Training of a pose net: heatmaps towards Gaussians, weighted by keypoint, and towards a larger net's heatmaps.

Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018; Hinton et al., "Distilling the
Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posetrack_detectors.activation_ranges import write_ranges
from posetrack_detectors.calibration import FEWEST, write_calibration
from posetrack_detectors.pose_estimator import Decoding, PoseEstimator
from posetrack_detectors.training.activations import pose_ranges
from posetrack_detectors.training.crop_plans import CropCutter
from posetrack_detectors.training.labels import KEYPOINTS
from posetrack_detectors.training.loop import Record, Schedule, Stage, normalise
from posetrack_detectors.training.pictures import Pictures
from posetrack_detectors.training.pose_crops import PoseCrops, people_with_keypoints
from posetrack_detectors.training.pose_quality import calibrate, pose_quality, predict
from posetrack_detectors.training.weight_files import write_weights

FOREGROUND = 10.0
"""Extra weight of the loss on the Gaussians at the start, falling to 0: most of a map is background."""
SIGMA, LEAST_SIGMA = 2.0, 1.5
"""Of the Gaussians in cells, at 256 pixels of height; it goes with the height."""
DECODING: Decoding = "dark-smoothed"
KERNEL = 7
"""How heatmaps of a net trained here become keypoints: the Gaussians stand between cells, as DARK wants them."""
TEACHER = 0.5
"""The teacher's part in the targets."""


@dataclass(frozen=True)
class PoseSettings:
    """`network` is the name put into the weight file; `size` (width, height) of the crops."""

    network: str
    size: tuple[int, int] = (192, 256)
    small_first: float = 0.0
    """Share of the schedule at half the size, twice the batch."""


class PoseLearner(nn.Module):
    """Crops and labels to the loss; `teacher` is a pose net of the same outputs, not trained."""

    def __init__(self, network: nn.Module, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self._teacher = (
            [teacher.eval()] if teacher is not None else []
        )  # in a list: no part of what is trained

    def forward(self, crops: Tensor, points: Tensor, weights: Tensor, progress: float) -> dict[str, Tensor]:
        """`points` (N, K, 2) in cells, `weights` (N, K)."""
        heatmaps = self.network(crops).float()
        sigma = max(LEAST_SIGMA, SIGMA * crops.shape[2] / 256)
        targets = draw_targets(points, (heatmaps.shape[2], heatmaps.shape[3]), sigma)
        for teacher in self._teacher:
            with torch.no_grad():
                soft = teacher.to(crops.device)(crops).float().clamp(0, 1)
            # Where nobody labelled a keypoint the teacher alone says what is there, as far as it is sure.
            sure = soft.amax(dim=(2, 3))
            labelled = (weights > 0)[..., None, None]
            targets = torch.where(labelled, (1 - TEACHER) * targets + TEACHER * soft, soft)
            weights = torch.where(weights > 0, weights, TEACHER * sure)
        return {"heatmap": heatmap_loss(heatmaps, targets, weights, FOREGROUND * (1 - progress))}


class PoseTask:
    """See `loop.Task`. `cut_on_device` keeps the pictures there and cuts crops there."""

    def __init__(
        self,
        learner: PoseLearner,
        settings: PoseSettings,
        pictures: Pictures,
        dev: Pictures,
        device: torch.device,
        *,
        cut_on_device: bool,
    ) -> None:
        self.learner, self.settings, self.pictures = learner, settings, pictures
        self.people = people_with_keypoints(pictures)
        self.shares = np.array([person.share for person in self.people])
        self._dev = dev
        self._cutter = CropCutter(pictures, device) if cut_on_device else None
        self._device = device

    def stages(self, schedule: Schedule) -> list[Stage]:
        """At half the size first, if wanted."""
        width, height = self.settings.size
        sizes = [(self.settings.small_first, (width // 2, height // 2), 2), (1.0, (width, height), 1)]
        return [
            Stage(
                until,
                PoseCrops(
                    self.pictures, self.people, size, schedule.seed, plans_only=self._cutter is not None
                ),  # type: ignore[arg-type]
                schedule.batch * times,
            )
            for until, size, times in sizes
            if until > 0
        ]

    def inputs(self, batch: Any, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised crops, points and weights."""
        crops, points, weights = batch
        if self._cutter is not None:
            crops = self._cutter(crops, crops_size(crops))
        labels = (value.to(device, non_blocking=True) for value in (points, weights))
        return normalise(crops, device), *labels

    def save(self, average: nn.Module, folder: Path, progress: float) -> Record:
        """pose.safetensors, in the end with calibration and activation ranges; quality on the dev people (a part before)."""
        target, final = folder / "pose.safetensors", progress >= 1
        width, height = self.settings.size
        if progress < self.settings.small_first or self.settings.small_first >= 1:
            width, height = width // 2, height // 2
        write_weights(
            average,
            target,
            {
                "network": self.settings.network,
                "input": f"{height}x{width}",
                "keypoints": " ".join(KEYPOINTS),
                "decoding": DECODING,
                "kernel": str(KERNEL),
            },
        )
        people = people_with_keypoints(self._dev, fewest=1)
        people = [person for person in people if person.label.measured.any()]
        people = people[:: 1 if final else max(1, len(people) // 200)]
        estimator = PoseEstimator(
            copy.deepcopy(average),
            size=(width, height),
            keypoints=len(KEYPOINTS),
            decoding=DECODING,
            kernel=KERNEL,
            device=str(self._device),
        )
        if final:
            write_ranges(target, pose_ranges(estimator, self.pictures, self.people))
        if not people:
            return {"dev_people": 0}
        keypoints, heights = predict(estimator, self._dev, people)
        record: Record = {"dev_input": f"{height}x{width}", **pose_quality(people, keypoints)}
        if final:
            known = int(sum(person.label.measured.sum() for person in people))
            if known >= FEWEST:
                write_calibration(target, calibrate(people, keypoints, heights))
            record["calibrated_on"] = known if known >= FEWEST else 0
        return record


def crops_size(plans: dict[str, Tensor]) -> tuple[int, int]:
    """(width, height) of stacked plans of one tile."""
    width, height = (int(v) for v in plans["split"][0])
    return width, height


def draw_targets(points: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """Keypoints (N, K, 2) in cells to Gaussians (N, K, H, W) of height 1, not rounded to cells."""
    rows = torch.arange(shape[0], device=points.device, dtype=torch.float32)
    columns = torch.arange(shape[1], device=points.device, dtype=torch.float32)
    down = torch.exp(-((rows - points[..., 1:]) ** 2) / (2 * sigma**2))
    across = torch.exp(-((columns - points[..., :1]) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def heatmap_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor, foreground: float) -> Tensor:
    """Squared error, `1 + foreground * target` times as dear, averaged over labelled keypoints; x 1000."""
    error = (heatmaps - targets) ** 2 * (1 + foreground * targets)
    return 1000 * (error.mean(dim=(2, 3)) * weights).sum() / weights.sum().clamp(min=1)
