"""`posetrack evaluate`: scores of predictions against ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath
from posetrack_app.evaluation.compare import Comparison, compare_results
from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.evaluate import evaluate as score
from posetrack_app.evaluation.report.thumbnails import Box, Crop
from posetrack_app.formats.posetrack.dataset import image_file

_MAX_SIDE = 440
"""Pixels of a thumbnail."""
_JPEG_QUALITY = 80


def evaluate(
    truth: StrPath,
    predictions: StrPath,
    *,
    protocols: Sequence[str] = ("corrected", "poseval"),
    keypoint_threshold: float | None = None,
    sweep: bool = False,
    errors: bool = False,
    intervals: bool = False,
) -> Evaluation:
    """Score predictions against ground truth, two files or two folders: `posetrack evaluate`.

    Args:
        truth: PoseTrack17, 18 or 21 files, COCO, CrowdPose or MPII annotations, or MOTChallenge boxes.
        predictions: the same kind; files in folders are paired by their names.
        protocols: for PoseTrack files, any of `core.choices.PROTOCOLS`.
        keypoint_threshold: drop predicted keypoints below this score first (PoseTrack files).
        sweep: also score at 20 keypoint thresholds (PoseTrack files).
        errors: also sort the errors into kinds, and list the worst sequences and frames (PoseTrack files).
        intervals: also find 95 % intervals by bootstrap over the sequences (PoseTrack files).

    Returns the scores: `.totals` in percent, `.as_json()` everything. Raises InputError for files that cannot be scored.
    """
    return score(Path(truth), Path(predictions), protocols, keypoint_threshold, sweep, errors, intervals)


def compare(
    truth: StrPath,
    predictions: Sequence[StrPath],
    *,
    protocols: Sequence[str] = ("corrected", "poseval"),
    keypoint_threshold: float | None = None,
    sweep: bool = False,
    errors: bool = False,
    intervals: bool = False,
) -> Comparison:
    """Score two or more results and compare each with the first one, by a paired bootstrap over the sequences.

    The arguments are those of `evaluate`. Raises InputError for files that cannot be scored.
    """
    if len(predictions) < 2:
        raise InputError("a comparison needs the predictions of two results or more")
    results = [
        score(Path(truth), Path(each), protocols, keypoint_threshold, sweep, errors, intervals)
        for each in predictions
    ]
    return compare_results(results)


def image_crops(root: Path) -> Crop:
    """Crops of the images below a data set folder, for `report_page`. InputError if the folder does not exist."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that contains 'images'", option="images")

    def crop(frame_name: str, box: Box) -> bytes | None:
        import cv2
        import numpy as np

        from posetrack_app.core.image_file import read_rgb

        image = read_rgb(image_file(root, frame_name))
        if image is None:
            return None
        x1, y1, x2, y2 = box
        scale = min(1.0, _MAX_SIDE / max(x2 - x1, y2 - y1))
        move = np.array([[scale, 0, -scale * x1], [0, scale, -scale * y1]])
        size = (round(scale * (x2 - x1)), round(scale * (y2 - y1)))
        part = cv2.warpAffine(image, move, size, flags=cv2.INTER_AREA)  # black outside of the image
        _, jpeg = cv2.imencode(".jpg", part[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return jpeg.tobytes()

    return crop
