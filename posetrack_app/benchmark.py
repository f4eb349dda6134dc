"""The whole chain on a data set: predictions for every sequence, then the figures."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app import __version__
from posetrack_app.assemble import Parts, build_parts
from posetrack_app.chain import track_people
from posetrack_app.config import Config
from posetrack_app.errors import InputError
from posetrack_app.evaluation.dataset import annotation_folder, picture_file
from posetrack_app.evaluation.evaluation import Evaluation, evaluate_posetrack
from posetrack_app.formats.json_file import json_files, load_json, write_json
from posetrack_app.formats.official import official_predictions
from posetrack_app.formats.pose_sequence import PoseSequence
from posetrack_app.formats.posetrack import read_posetrack
from posetrack_app.manifest import versions
from posetrack_app.picture_file import read_rgb
from posetrack_app.records import FloatArray, Frame

FRAME_RATE = 25.0
"""PoseTrack gives no times; its videos run at about this rate."""
LAYOUTS = {"posetrack17": "posetrack17", "posetrack18": "posetrack18", "posetrack21": "posetrack18"}
PROTOCOLS = {
    "posetrack17": ("corrected", "poseval"),
    "posetrack18": ("corrected", "poseval"),
    "posetrack21": ("corrected", "posetrack21"),
}
_BOX_MARGIN = 0.15  # on every side of the keypoints: Xiao et al., ECCV 2018
_LEAST_SIDE = 8.0
"""Pixels, of a box where one keypoint is labelled or those that are stand in a line."""
Boxes = tuple[FloatArray, FloatArray]


def run_benchmark(
    dataset: str,
    root: Path,
    out: Path,
    *,
    split: str = "val",
    config: Config | None = None,
    device: str = "auto",
    detections: Path | None = None,
    gt_boxes: bool = False,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> Evaluation:
    """Write `out`/predictions/*.json for every sequence of the split and score them.

    `detections` (a COCO list of boxes by image id) or the boxes of the ground truth replace the detector.
    With `resume`, sequences stay whose predictions were made with equal settings, weights, boxes and versions.
    `say` gets a line a sequence.
    """
    config = config or Config()
    folder = annotation_folder(root, split)
    found = _read_detections(detections) if detections else None
    parts = build_parts(config, device)
    described = {
        "config": config.as_dict(),
        "weights": parts.weights,
        "detections": hashlib.sha256(detections.read_bytes()).hexdigest() if detections else None,
        "gt_boxes": gt_boxes,
        "precision": parts.precision,
        # Other versions may give other answers.
        "versions": {"posetrack": __version__, **versions(("torch", "torchvision"))},
    }
    made_with = json.loads(json.dumps(described))  # as it comes back from a file
    predictions = out / "predictions"
    predictions.mkdir(parents=True, exist_ok=True)
    files = json_files(folder)
    if found is not None:
        known = {image_id for file in files for image_id in read_posetrack(file).image_ids.tolist()}
        if known and not known & found.keys():
            raise InputError(f"{detections}: none of its 'image_id's is that of a frame in {folder}")
    for k, file in enumerate(files, 1):
        target = predictions / file.name
        place = f"{k} of {len(files)}: {file.stem}"
        if resume and target.exists() and load_json(target).get("info") == made_with:
            say(f"{place}: done before")
            continue
        truth = read_posetrack(file)
        if truth.layout != LAYOUTS[dataset]:
            raise InputError(f"{file}: is laid out as {truth.layout}, not as {dataset}")
        boxes = None
        if gt_boxes:
            boxes = truth_boxes(truth)
        elif found is not None:
            boxes = _boxes_of_frames(truth, found)
        settings = _everybody(config) if gt_boxes else config
        content = predict_sequence(root, truth, parts, settings, made_with, boxes)
        write_json(target, content)
        say(f"{place}: {truth.frame_count} frames, {len(content['annotations'])} poses")
    return evaluate_posetrack(folder, predictions, PROTOCOLS[dataset], sweep=True)


def predict_sequence(
    root: Path,
    truth: PoseSequence,
    parts: Parts,
    config: Config,
    made_with: dict[str, Any],
    boxes: Sequence[Boxes] | None = None,
) -> dict[str, Any]:
    """Official-format predictions of one video; `boxes` of each frame replace the detector."""
    frames = list(range(truth.frame_count))
    if boxes is not None:
        # Often there are boxes for the labelled frames only: in others nobody is looked for, so nobody is missed.
        frames = [index for index in frames if len(boxes[index][0])]
        asked = frames[:: config.propagation.detect_every]
        parts = replace(parts, detector=_GivenBoxes([boxes[index] for index in asked]))
    # Nobody could be confirmed in a video shorter than the tracker waits.
    confirmations = max(1, min(config.tracker.confirmations, len(frames)))
    config = replace(config, tracker=replace(config.tracker, confirmations=confirmations))
    pictures = _pictures(root, truth, frames)
    tracked = {frame.index: found for frame, found in track_people(pictures, parts, config)}
    return official_predictions(truth, tracked, made_with)


def _everybody(config: Config) -> Config:
    """The settings for boxes that are right: nobody is a double or a false alarm."""
    return replace(
        config,
        detector=replace(config.detector, min_score=0.0),
        duplicates=replace(config.duplicates, box_overlap=1.0, max_similarity=1.0),
        tracker=replace(config.tracker, confirmations=1),
    )


def _pictures(root: Path, truth: PoseSequence, frames: Sequence[int]) -> Iterator[Frame]:
    for index in frames:
        name = truth.rows.frame_names[index]
        file = picture_file(root, name)
        image = read_rgb(file)
        if image is None:
            raise InputError(
                f"{truth.path}: frame {index}: the picture {file} is missing or broken; "
                f"see posetrack dataset check {root}"
            )
        yield Frame(index, index / FRAME_RATE, image)


class _GivenBoxes:
    """A detector that knows the answers: boxes and scores of the frames that it is asked for, in order."""

    def __init__(self, boxes: Sequence[Boxes]) -> None:
        self._next = iter(boxes)

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> Sequence[Boxes]:
        return [next(self._next) for _ in images]


def truth_boxes(truth: PoseSequence) -> list[Boxes]:
    """Each frame's annotated people as boxes round their keypoints, 15 % larger on every side; scores 1."""
    visible = np.where(truth.present[..., None], truth.keypoints, np.nan)
    rows = np.flatnonzero(truth.present.any(axis=1))
    low, high = np.nanmin(visible[rows], axis=1), np.nanmax(visible[rows], axis=1)
    margin = np.maximum(_BOX_MARGIN * (high - low), 0.5 * (_LEAST_SIDE - (high - low)))
    boxes = np.concatenate([low - margin, high + margin], axis=1)
    frame = truth.frame[rows]
    return [(boxes[frame == k], np.ones(int((frame == k).sum()))) for k in range(truth.frame_count)]


def _read_detections(path: Path) -> dict[int, list[tuple[float, ...]]]:
    """x1 y1 x2 y2 score by image id, of a COCO result file."""
    content = load_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: must be a list of {{image_id, bbox, score}}, as COCO detections are")
    found: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for k, entry in enumerate(content):
        try:
            x, y, width, height = map(float, entry["bbox"])
            found[int(entry["image_id"])].append((x, y, x + width, y + height, float(entry["score"])))
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path}: entry {k} needs 'image_id', 'bbox' (x y width height) and 'score'"
            ) from None
    return found


def _boxes_of_frames(truth: PoseSequence, found: dict[int, list[tuple[float, ...]]]) -> list[Boxes]:
    """The given boxes of every frame, best first."""
    if not len(truth.image_ids):
        raise InputError(
            f"{truth.path}: PoseTrack17 frames have no image ids; --detections needs PoseTrack18 files"
        )
    frames: list[Boxes] = []
    for image_id in truth.image_ids.tolist():
        table = np.array(sorted(found.get(image_id, ()), key=lambda row: -row[4]), np.float64).reshape(-1, 5)
        frames.append((table[:, :4], table[:, 4]))
    return frames
