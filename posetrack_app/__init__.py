"""Multi-person pose tracking in video: every person's identity, box and keypoints over time."""

__version__ = "0.1.0"
