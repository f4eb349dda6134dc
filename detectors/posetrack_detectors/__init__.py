"""Detectors see one frame: people in a picture, keypoints in a person's crop. torch lives only here."""
