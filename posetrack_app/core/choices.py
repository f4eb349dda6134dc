"""The words that options and settings accept. This module imports nothing, so that `--help` starts fast."""

DEVICES = ("auto", "cpu", "cuda", "mps")
DATASETS = ("posetrack17", "posetrack18", "posetrack21")
FORMATS = (
    "tracks", "per-track", "posetrack17", "posetrack21", "coco", "mot", "csv", "parquet", "openpose", "trc", "trc-c3d",
)  # fmt: skip
SUBMISSION = "posetrack-submission"
"""What `posetrack convert` also writes: many sequences in one archive."""
ORACLES = ("boxes", "poses", "ids")
PROTOCOLS = ("corrected", "poseval", "posetrack21")
SMOOTHING = ("butterworth", "savgol", "kalman", "none")
SPLITS = ("train", "val", "test")
