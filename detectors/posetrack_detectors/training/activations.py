"""How far the values in a network go on pictures to learn from: what `int8` needs to know."""

from __future__ import annotations

from collections.abc import Sequence

from posetrack_detectors.activation_ranges import Ranges, measure_ranges
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.training.detector_quality import detect
from posetrack_detectors.training.pictures import Pictures
from posetrack_detectors.training.pose_crops import PosedPerson
from posetrack_detectors.training.pose_quality import predict

MOST = 400
"""People, or pictures, that are looked at."""


def pose_ranges(estimator: PoseEstimator, pictures: Pictures, people: Sequence[PosedPerson]) -> Ranges:
    """Of a net in float32, on people of all parts of the set."""
    step = -(-len(people) // MOST)
    return measure_ranges(estimator.network, lambda: predict(estimator, pictures, people[::step]))


def detector_ranges(detector: PersonDetector, pictures: Pictures) -> Ranges:
    """Of a detector in float32, on pictures of all parts of the set."""
    every = range(0, len(pictures), -(-len(pictures) // MOST))
    return measure_ranges(detector.network, lambda: detect(detector, pictures, every))
