"""Measure how far the values in both embedded networks go, and store that in their files: int8 needs it.

python scripts/measure_ranges.py --data ../shared/data/train

`posetrack train` does the same when it ends; this is for weights that were averaged, or trained before.
"""

from __future__ import annotations

from dev_pictures import dev_pictures, parser, person_detector, pose_estimator
from posetrack_detectors.activation_ranges import write_ranges
from posetrack_detectors.training.activations import detector_ranges, pose_ranges
from posetrack_detectors.training.pose_crops import people_with_keypoints

from posetrack_app.weights import EMBEDDED


def main() -> None:
    made = parser(__doc__)
    options = made.parse_args()
    if options.weights is not None:
        made.error("this is for the embedded weights: leave out --weights")
    pictures = dev_pictures(options, "pose", trained=True)
    ranges = pose_ranges(pose_estimator(options, flip=False), pictures, people_with_keypoints(pictures))
    write_ranges(EMBEDDED / "pose.safetensors", ranges)
    print(f"pose.safetensors: {len(ranges)} ranges")
    pictures = dev_pictures(options, "detector", trained=True)
    ranges = detector_ranges(person_detector(options), pictures)
    write_ranges(EMBEDDED / "detector.safetensors", ranges)
    print(f"detector.safetensors: {len(ranges)} ranges")


if __name__ == "__main__":
    main()
