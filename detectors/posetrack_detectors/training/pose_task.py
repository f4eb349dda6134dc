"""Training of a pose network: its targets are Gaussians at labelled keypoints, optionally mixed with a teacher's heatmaps.

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

from posetrack_detectors.pose_estimator import Decoding, PoseEstimator
from posetrack_detectors.training.activations import pose_ranges
from posetrack_detectors.training.crop_plans import CropCutter
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import KEYPOINTS
from posetrack_detectors.training.loop import Record, Schedule, Stage, normalise
from posetrack_detectors.training.pose_crops import PoseCrops, people_with_keypoints
from posetrack_detectors.training.pose_quality import calibrate, pose_quality, predict
from posetrack_detectors.training.weight_files import write_weights
from posetrack_detectors.weights.activation_ranges import write_ranges
from posetrack_detectors.weights.calibration import MIN_CALIBRATION_KEYPOINTS, write_calibration

FOREGROUND = 10.0
"""Extra weight of the Gaussians in the loss at the start, falling to 0; most of a heatmap is background."""
SIGMA, MIN_SIGMA = 2.0, 1.5
"""Standard deviation of the Gaussians in cells: SIGMA at a crop height of 256 pixels, in proportion at others."""
DECODING: Decoding = "dark-smoothed"
KERNEL = 7
"""Decoding of the networks trained here: DARK, because the Gaussians are not centred on cells."""
TEACHER_SHARE = 0.5
"""Share of the teacher's heatmaps in the targets."""
_QUICK_PEOPLE = 200
"""Number of dev people measured at checkpoints before the last one."""


@dataclass(frozen=True)
class PoseSettings:
    """`network` is the name stored in the weight file, `size` the (width, height) of the crops."""

    network: str
    size: tuple[int, int] = (192, 256)
    small_first: float = 0.0
    """Share of the schedule at half the size and twice the batch."""


class PoseLearner(nn.Module):
    """Crops and labels to the loss; `teacher` is a pose network with the same outputs, which is not trained."""

    def __init__(self, network: nn.Module, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        # In a list, so that it is not a submodule and gets no gradients.
        self._teacher = [teacher.eval()] if teacher is not None else []

    def forward(self, crops: Tensor, points: Tensor, weights: Tensor, progress: float) -> dict[str, Tensor]:
        """The loss of crops (N, 3, H, W) with keypoints `points` (N, K, 2) in cells and `weights` (N, K)."""
        heatmaps = self.network(crops).float()
        sigma = max(MIN_SIGMA, SIGMA * crops.shape[2] / 256)
        targets = draw_targets(points, (heatmaps.shape[2], heatmaps.shape[3]), sigma)
        for teacher in self._teacher:
            with torch.no_grad():
                soft = teacher.to(crops.device)(crops).float().clamp(0, 1)
            # Unlabelled keypoints are learned from the teacher alone, weighted by its score.
            scores = soft.amax(dim=(2, 3))
            labelled = (weights > 0)[..., None, None]
            targets = torch.where(labelled, (1 - TEACHER_SHARE) * targets + TEACHER_SHARE * soft, soft)
            weights = torch.where(weights > 0, weights, TEACHER_SHARE * scores)
        return {"heatmap": heatmap_loss(heatmaps, targets, weights, FOREGROUND * (1 - progress))}


class PoseTask:
    """See `loop.Task`. `cut_on_device` keeps the images on the device and cuts the crops there."""

    def __init__(
        self,
        learner: PoseLearner,
        settings: PoseSettings,
        images: Images,
        dev: Images,
        device: torch.device,
        *,
        cut_on_device: bool,
    ) -> None:
        self.learner, self.settings, self.images = learner, settings, images
        self.people = people_with_keypoints(images)
        self.shares = np.array([person.share for person in self.people])
        self._dev = dev
        self._cutter = CropCutter(images, device) if cut_on_device else None
        self._device = device

    def stages(self, schedule: Schedule) -> list[Stage]:
        """Half the size first if `small_first` says so, then full size."""
        width, height = self.settings.size
        sizes = [(self.settings.small_first, (width // 2, height // 2), 2), (1.0, (width, height), 1)]
        return [
            Stage(
                until,
                PoseCrops(self.images, self.people, size, schedule.seed, plans_only=self._cutter is not None),  # type: ignore[arg-type]
                schedule.batch * times,
            )
            for until, size, times in sizes
            if until > 0
        ]

    def inputs(self, batch: Any, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised crops, keypoints and weights."""
        crops, points, weights = batch
        if self._cutter is not None:
            crops = self._cutter(crops, crop_size(crops))
        labels = (value.to(device, non_blocking=True) for value in (points, weights))
        return normalise(crops, device), *labels

    def save(self, average: nn.Module, folder: Path, progress: float) -> Record:
        """Write pose.safetensors and measure it on dev people.

        At the end it gets calibration and activation ranges and is measured on all dev people, before on some.
        """
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
        people = people_with_keypoints(self._dev, min_keypoints=1)
        people = [person for person in people if person.label.measured.any()]
        people = people[:: 1 if final else max(1, len(people) // _QUICK_PEOPLE)]
        estimator = PoseEstimator(
            copy.deepcopy(average),
            size=(width, height),
            keypoints=len(KEYPOINTS),
            decoding=DECODING,
            kernel=KERNEL,
            device=str(self._device),
        )
        if final:
            write_ranges(target, pose_ranges(estimator, self.images, self.people))
        if not people:
            return {"dev_people": 0}
        keypoints, heights = predict(estimator, self._dev, people)
        record: Record = {"dev_input": f"{height}x{width}", **pose_quality(people, keypoints)}
        if final:
            labelled = int(sum(person.label.measured.sum() for person in people))
            enough = labelled >= MIN_CALIBRATION_KEYPOINTS
            if enough:
                write_calibration(target, calibrate(people, keypoints, heights))
            record["calibrated_on"] = labelled if enough else 0
        return record


def crop_size(plans: dict[str, Tensor]) -> tuple[int, int]:
    """(width, height) of the crops of stacked plans with one tile."""
    width, height = (int(v) for v in plans["split"][0])
    return width, height


def draw_targets(points: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """Gaussians (N, K, H, W) of height 1 at keypoints (N, K, 2) in cells, not rounded to whole cells."""
    rows = torch.arange(shape[0], device=points.device, dtype=torch.float32)
    columns = torch.arange(shape[1], device=points.device, dtype=torch.float32)
    down = torch.exp(-((rows - points[..., 1:]) ** 2) / (2 * sigma**2))
    across = torch.exp(-((columns - points[..., :1]) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def heatmap_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor, foreground: float) -> Tensor:
    """1000 times the squared error, weighted by `1 + foreground * target` and averaged over labelled keypoints."""
    error = (heatmaps - targets) ** 2 * (1 + foreground * targets)
    return 1000 * (error.mean(dim=(2, 3)) * weights).sum() / weights.sum().clamp(min=1)
