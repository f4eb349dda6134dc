"""Detectors see one frame: they find people in an image and keypoints in a person's crop."""
