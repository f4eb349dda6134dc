"""Measure the activation ranges of both embedded networks on training images and store them; int8 needs them.

python scripts/weights/measure_ranges.py --data ../shared/data/train --data ../shared/data/train2

`posetrack train` does the same at its end; this script is for averaged or older weights.
"""

from __future__ import annotations

from dev_images import load_images, parser, person_detector, pose_estimator
from posetrack_detectors.training.activations import detector_ranges, pose_ranges
from posetrack_detectors.training.pose_crops import people_with_keypoints
from posetrack_detectors.weights.activation_ranges import write_ranges

from posetrack_app.models.weights import EMBEDDED


def main() -> None:
    made = parser(__doc__)
    options = made.parse_args()
    if options.weights is not None:
        made.error("this script is for the embedded weights: leave out --weights")
    images = load_images(options, "pose", trained=True)
    ranges = pose_ranges(pose_estimator(options, flip=False), images, people_with_keypoints(images))
    write_ranges(EMBEDDED / "pose.safetensors", ranges)
    print(f"pose.safetensors: {len(ranges)} ranges")
    images = load_images(options, "detector", trained=True)
    ranges = detector_ranges(person_detector(options), images)
    write_ranges(EMBEDDED / "detector.safetensors", ranges)
    print(f"detector.safetensors: {len(ranges)} ranges")


if __name__ == "__main__":
    main()
