"""The dev pictures of a set, and the embedded networks, for the measuring scripts."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from posetrack_detectors.activation_ranges import read_ranges
from posetrack_detectors.int8 import int8_works
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.training.pictures import Pictures

from posetrack_app.assemble import build_person_detector, build_pose_estimator
from posetrack_app.config import DetectorConfig, PoseConfig
from posetrack_app.training.data import read_training_data
from posetrack_app.training.train import LONGEST
from posetrack_app.weights import EMBEDDED

LEAST_SCORE = 0.05
"""Of the boxes that the detector is measured by, as in training."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """With the options that all these scripts have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--data", type=Path, required=True, help="as for posetrack train")
    made.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder for decoded pictures")
    made.add_argument("--weights", type=Path, help="default: the embedded ones")
    made.add_argument("--device", default="cpu")
    return made


def dev_pictures(options: argparse.Namespace, task: str, *, trained: bool = False) -> Pictures:
    """Decoded; with `trained` those to learn from instead."""
    data = read_training_data(options.data, task)
    pictures = Pictures(data.train if trained else data.dev, options.cache, LONGEST)
    if not pictures.decoded:
        pictures.decode()
    return pictures


def weight_file(options: argparse.Namespace, task: str) -> Path:
    """The weights of "pose" or "detector"."""
    return options.weights or EMBEDDED / f"{task}.safetensors"


def precisions(options: argparse.Namespace, task: str) -> tuple[str, ...]:
    """float32, and int8 where these weights and this processor are ready for it."""
    known = read_ranges(weight_file(options, task)) is not None
    ready = options.device == "cpu" and known and int8_works()
    return ("float32", "int8") if ready else ("float32",)


def pose_estimator(
    options: argparse.Namespace,
    *,
    flip: bool,
    size: tuple[int, int] | None = None,
    precision: str = "float32",
) -> PoseEstimator:
    """The pose net as a run builds it, with all 19 keypoints; at its own size or at `size` (width, height)."""
    settings = PoseConfig(weights=str(options.weights or "embedded"), flip_test=flip)
    if size:
        settings = replace(settings, input_width=size[0], input_height=size[1])
    estimator, _ = build_pose_estimator(settings, options.device, precision)
    return estimator


def person_detector(
    options: argparse.Namespace, short_side: int = 0, precision: str = "float32"
) -> PersonDetector:
    """The detector as a run builds it, with every box from `LEAST_SCORE` on."""
    settings = DetectorConfig(
        weights=str(options.weights or "embedded"), min_score=LEAST_SCORE, short_side=short_side
    )
    detector, _ = build_person_detector(settings, options.device, precision)
    return detector
