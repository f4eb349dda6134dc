"""Shared by the measuring scripts: their options, the dev images of data sets, and the networks to measure."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from posetrack_detectors.int8 import int8_works
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.pose_crops import PosedPerson, people_with_keypoints
from posetrack_detectors.weights.activation_ranges import read_ranges

from posetrack_app.core.config import DetectorConfig, PoseConfig
from posetrack_app.models.build import build_person_detector, build_pose_estimator
from posetrack_app.models.training.data import read_training_data
from posetrack_app.models.training.train import MAX_SIDE
from posetrack_app.models.weights import EMBEDDED

MIN_SCORE = 0.05
"""The detector is measured on boxes from this score on, as in training."""
SOURCES = {
    "coco_val2017_dev": "COCO val (dev)",
    "hd_coco": "COCO train (dev2)",
    "coco_train2017": "COCO train",
    "coco2014_val": "COCO 2014",
    "lspet": "LSPET",
    "inria_person": "INRIA",
    "pennfudan": "Penn-Fudan",
}
"""Titles of the sources whose boxes or keypoints were labelled by humans, in the order of the tables."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of all these scripts."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--data",
        type=Path,
        required=True,
        action="append",
        help="as in posetrack train; repeat it for several data sets",
    )
    made.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder for decoded images")
    made.add_argument("--weights", type=Path, help="default: the embedded weights")
    made.add_argument("--device", default="cpu")
    return made


def load_images(options: argparse.Namespace, task: str, *, trained: bool = False) -> Images:
    """The decoded dev images of all data sets, or with `trained` the training images."""
    data = read_training_data(options.data, task)
    images = Images(data.train if trained else data.dev, options.cache, MAX_SIDE)
    if not images.decoded:
        images.decode()
    return images


def people_labelled_by_humans(images: Images) -> list[PosedPerson]:
    """People with at least one keypoint that a human labelled."""
    return [p for p in people_with_keypoints(images, min_keypoints=1) if p.label.measured.any()]


def weight_file(options: argparse.Namespace, task: str) -> Path:
    """The weights of "pose" or "detector"."""
    return options.weights or EMBEDDED / f"{task}.safetensors"


def precisions(options: argparse.Namespace, task: str) -> tuple[str, ...]:
    """float32, and int8 if the weights have activation ranges and this processor supports it."""
    has_ranges = read_ranges(weight_file(options, task)) is not None
    ready = options.device == "cpu" and has_ranges and int8_works()
    return ("float32", "int8") if ready else ("float32",)


def pose_estimator(
    options: argparse.Namespace,
    *,
    flip: bool,
    size: tuple[int, int] | None = None,
    precision: str = "float32",
) -> PoseEstimator:
    """The pose network as in a run, with all 19 keypoints; at its own size or at `size` (width, height)."""
    settings = PoseConfig(weights=str(options.weights or "embedded"), flip_test=flip)
    if size:
        settings = replace(settings, input_width=size[0], input_height=size[1])
    estimator, _ = build_pose_estimator(settings, options.device, precision)
    return estimator


def person_detector(
    options: argparse.Namespace, short_side: int = 0, precision: str = "float32"
) -> PersonDetector:
    """The detector as in a run, but with all boxes from `MIN_SCORE` on."""
    settings = DetectorConfig(
        weights=str(options.weights or "embedded"), min_score=MIN_SCORE, short_side=short_side
    )
    detector, _ = build_person_detector(settings, options.device, precision)
    return detector
