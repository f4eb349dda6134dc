"""Training of a person detector: Faster R-CNN (Ren et al., NeurIPS 2015), all four losses weighted 1."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posetrack_detectors.activation_ranges import write_ranges
from posetrack_detectors.detection_losses import detection_losses
from posetrack_detectors.faster_rcnn import FasterRCNN
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.training.activations import detector_ranges
from posetrack_detectors.training.crop_plans import CropCutter
from posetrack_detectors.training.detection_crops import DetectionCrops, collate
from posetrack_detectors.training.detector_quality import detect, detector_quality
from posetrack_detectors.training.loop import Record, Schedule, Stage, normalise
from posetrack_detectors.training.pictures import Pictures
from posetrack_detectors.training.weight_files import write_weights

CONFIDENT = 0.3
"""Score from which a detection counts for the recall and the false alarms in the log."""
_QUICK = 150
"""Dev pictures measured before the end."""


@dataclass(frozen=True)
class DetectorSettings:
    """`network` is the name put into the weight file; `side` in pixels of the square crops."""

    network: str
    side: int = 320


class DetectorLearner(nn.Module):
    """Squares and boxes to the four losses."""

    def __init__(self, network: FasterRCNN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, squares: Tensor, people: list[Tensor], ignore: list[Tensor], progress: float
    ) -> dict[str, Tensor]:
        """`people` and `ignore` are boxes (P, 4) of each square (N, 3, side, side)."""
        return detection_losses(self.network, squares, people, ignore)


class DetectorTask:
    """See `loop.Task`. `cut_on_device` keeps the pictures there and cuts crops there."""

    def __init__(
        self,
        learner: DetectorLearner,
        settings: DetectorSettings,
        pictures: Pictures,
        dev: Pictures,
        device: torch.device,
        *,
        cut_on_device: bool,
    ) -> None:
        self.learner, self.settings, self.pictures = learner, settings, pictures
        self.shares = np.array([picture.share for picture in pictures.labels])
        self._dev, self._device = dev, device
        self._cutter = CropCutter(pictures, device) if cut_on_device else None

    def stages(self, schedule: Schedule) -> list[Stage]:
        """One."""
        crops = DetectionCrops(
            self.pictures, self.settings.side, schedule.seed, plans_only=self._cutter is not None
        )
        return [Stage(1.0, crops, schedule.batch, collate)]  # type: ignore[arg-type]

    def inputs(self, batch: Any, device: torch.device) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Normalised squares, and boxes."""
        squares, *boxes = batch
        if self._cutter is not None:
            squares = self._cutter(squares, (self.settings.side, self.settings.side))
        people, ignore = (list(rows.to(device, non_blocking=True).split(counts)) for rows, counts in boxes)
        return normalise(squares, device), people, ignore

    def save(self, average: nn.Module, folder: Path, progress: float) -> Record:
        """detector.safetensors, in the end with activation ranges, and quality on the dev pictures (a part before)."""
        target, final = folder / "detector.safetensors", progress >= 1
        write_weights(average, target, {"network": self.settings.network})
        assert isinstance(average, FasterRCNN)
        step = 1 if final else max(1, len(self._dev) // _QUICK)
        detector = PersonDetector(copy.deepcopy(average), str(self._device))
        if final:
            write_ranges(target, detector_ranges(detector, self.pictures))
        return detector_quality(detect(detector, self._dev, range(0, len(self._dev), step)), CONFIDENT)
