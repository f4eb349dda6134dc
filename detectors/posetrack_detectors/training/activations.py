"""Activation ranges of a trained network, measured on training images for int8 inference."""

from __future__ import annotations

from collections.abc import Sequence

from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.training.detector_quality import detect
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.pose_crops import PosedPerson
from posetrack_detectors.training.pose_quality import predict
from posetrack_detectors.weights.activation_ranges import Ranges, measure_ranges

MAX_SAMPLES = 400
"""Largest number of people or images to measure on, spread evenly over the data."""


def pose_ranges(estimator: PoseEstimator, images: Images, people: Sequence[PosedPerson]) -> Ranges:
    """Ranges of a pose network in float32."""
    step = -(-len(people) // MAX_SAMPLES)
    return measure_ranges(estimator.network, lambda: predict(estimator, images, people[::step]))


def detector_ranges(detector: PersonDetector, images: Images) -> Ranges:
    """Ranges of a detector in float32."""
    chosen = range(0, len(images), -(-len(images) // MAX_SAMPLES))
    return measure_ranges(detector.network, lambda: detect(detector, images, chosen))
