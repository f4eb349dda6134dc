"""Training of a person detector: Faster R-CNN (Ren et al., NeurIPS 2015), all four losses weighted 1."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posetrack_detectors.networks.faster_rcnn import FasterRCNN
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.training.activations import detector_ranges
from posetrack_detectors.training.crop_plans import CropCutter
from posetrack_detectors.training.detection_crops import DetectionCrops, collate
from posetrack_detectors.training.detection_losses import detection_losses
from posetrack_detectors.training.detector_quality import detect, detector_quality
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.loop import Record, Schedule, Stage, normalise
from posetrack_detectors.training.weight_files import write_weights
from posetrack_detectors.weights.activation_ranges import write_ranges

MIN_SCORE = 0.3
"""Recall and false positives in the log count detections from this score on."""
_QUICK_IMAGES = 150
"""Number of dev images measured at checkpoints before the last one."""


@dataclass(frozen=True)
class DetectorSettings:
    """`network` is the name stored in the weight file; `side` is that of the square crops, in pixels."""

    network: str
    side: int = 320


class DetectorLearner(nn.Module):
    """Crops and boxes to the four losses."""

    def __init__(self, network: FasterRCNN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, crops: Tensor, people: list[Tensor], ignore: list[Tensor], progress: float
    ) -> dict[str, Tensor]:
        """`people` and `ignore` are the boxes (P, 4) in each of the crops (N, 3, side, side)."""
        return detection_losses(self.network, crops, people, ignore)


class DetectorTask:
    """See `loop.Task`. `cut_on_device` keeps the images on the device and cuts the crops there."""

    def __init__(
        self,
        learner: DetectorLearner,
        settings: DetectorSettings,
        images: Images,
        dev: Images,
        device: torch.device,
        *,
        cut_on_device: bool,
    ) -> None:
        self.learner, self.settings, self.images = learner, settings, images
        self.shares = np.array([image.share for image in images.labels])
        self._dev, self._device = dev, device
        self._cutter = CropCutter(images, device) if cut_on_device else None

    def stages(self, schedule: Schedule) -> list[Stage]:
        """A single stage."""
        crops = DetectionCrops(
            self.images, self.settings.side, schedule.seed, plans_only=self._cutter is not None
        )
        return [Stage(1.0, crops, schedule.batch, collate)]  # type: ignore[arg-type]

    def inputs(self, batch: Any, device: torch.device) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Normalised crops, and the boxes of people and of areas to ignore in each."""
        crops, *boxes = batch
        if self._cutter is not None:
            crops = self._cutter(crops, (self.settings.side, self.settings.side))
        people, ignore = (list(rows.to(device, non_blocking=True).split(counts)) for rows, counts in boxes)
        return normalise(crops, device), people, ignore

    def save(self, average: nn.Module, folder: Path, progress: float) -> Record:
        """Write detector.safetensors and measure it on dev images.

        At the end it gets activation ranges and is measured on all dev images, before on some.
        """
        target, final = folder / "detector.safetensors", progress >= 1
        write_weights(average, target, {"network": self.settings.network})
        assert isinstance(average, FasterRCNN)
        step = 1 if final else max(1, len(self._dev) // _QUICK_IMAGES)
        detector = PersonDetector(copy.deepcopy(average), str(self._device))
        if final:
            write_ranges(target, detector_ranges(detector, self.images))
        return detector_quality(detect(detector, self._dev, range(0, len(self._dev), step)), MIN_SCORE)
