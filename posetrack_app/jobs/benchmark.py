"""`posetrack benchmark`: predictions for every sequence of a PoseTrack data set, and their scores."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.config import Config, PersonScoreConfig
from posetrack_app.core.errors import InputError
from posetrack_app.core.image_file import read_rgb
from posetrack_app.core.json_file import json_files, load_json, write_json
from posetrack_app.core.protocols import Networks
from posetrack_app.core.records import FloatArray, Frame
from posetrack_app.core.version import __version__
from posetrack_app.evaluation.evaluate import Evaluation, evaluate_posetrack
from posetrack_app.formats.posetrack.dataset import annotation_folder, image_file
from posetrack_app.formats.posetrack.predictions import posetrack_predictions
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.formats.posetrack.sequence import PoseSequence
from posetrack_app.jobs.manifest import versions
from posetrack_app.models.build import load_networks
from posetrack_app.pipeline.track_people import track_people

_logger = logging.getLogger("posetrack")

FRAME_RATE = 25.0
"""PoseTrack files have no times; the videos have about this rate."""
LAYOUTS = {"posetrack17": "posetrack17", "posetrack18": "posetrack18", "posetrack21": "posetrack18"}
"""Data set -> layout of its files."""
PROTOCOLS = {
    "posetrack17": ("corrected", "poseval"),
    "posetrack18": ("corrected", "poseval"),
    "posetrack21": ("corrected", "posetrack21"),
}
"""Data set -> protocols it is scored by."""
_BOX_MARGIN = 0.15
"""Added to a box on every side of the keypoints, as a share of the side (Xiao et al., ECCV 2018)."""
_MIN_SIDE = 8.0
"""Pixels; for a box around a single keypoint, or around keypoints in a line."""
Boxes = tuple[FloatArray, FloatArray]
"""Boxes (N, 4) x1 y1 x2 y2 in pixels and scores (N,) of one frame."""


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
) -> Evaluation:
    """Write `out`/predictions/*.json for every sequence of the split and score them.

    Args:
        dataset: one of `core.choices.DATASETS`.
        root: the folder with the annotations and the images.
        out: the folder for the predictions.
        split: "train", "val" or "test".
        config: the settings; default: those of the default preset.
        device: "auto", "cpu", "cuda" or "mps".
        detections: boxes to use in place of the detector's, a COCO list of boxes by image id.
        gt_boxes: use the boxes of the ground truth in place of the detector's.
        resume: keep predictions that were made with the same settings, weights, boxes and versions.

    Raises InputError for files that cannot be read, written or scored.
    """
    config = config or Config()
    folder = annotation_folder(root, split)
    files = json_files(folder)
    given = _read_detections(detections, files) if detections else None
    networks = load_networks(config, device)
    made_with = _made_with(config, networks, detections, gt_boxes)
    settings = _keep_all_boxes(config) if gt_boxes else config
    predictions = out / "predictions"
    predictions.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files, 1):
        target = predictions / file.name
        label = f"{number} of {len(files)}: {file.stem}"
        if resume and target.exists() and load_json(target).get("info") == made_with:
            _logger.info("%s: already done", label)
            continue
        truth = read_posetrack(file)
        if truth.layout != LAYOUTS[dataset]:
            raise InputError(f"{file} has the layout of {truth.layout}, not of {dataset}")
        boxes = None
        if gt_boxes:
            boxes = truth_boxes(truth)
        elif given is not None:
            boxes = _boxes_by_frame(truth, given)
        content = predict_sequence(root, truth, networks, settings, made_with, boxes)
        write_json(target, content)
        _logger.info("%s: %d frames, %d poses", label, truth.frame_count, len(content["annotations"]))
    return evaluate_posetrack(folder, predictions, PROTOCOLS[dataset], sweep=True)


def _made_with(config: Config, networks: Networks, detections: Path | None, gt_boxes: bool) -> dict[str, Any]:
    """What the predictions depend on, as the `info` of their files: equal `info` means equal predictions."""
    facts = {
        "config": config.as_dict(),
        "weights": networks.weights,
        "detections": hashlib.sha256(detections.read_bytes()).hexdigest() if detections else None,
        "gt_boxes": gt_boxes,
        "precision": networks.precision,
        # Other versions may compute other outputs.
        "versions": {"posetrack": __version__, **versions(("torch", "torchvision"))},
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))  # as it comes back from a file
    return plain


def predict_sequence(
    root: Path,
    truth: PoseSequence,
    networks: Networks,
    config: Config,
    made_with: dict[str, Any],
    boxes: Sequence[Boxes] | None = None,
) -> dict[str, Any]:
    """Predictions for one video in the layout of the data set.

    Args:
        root: the folder with the images.
        truth: the annotations, for the frames to predict.
        networks: the networks.
        config: the settings.
        made_with: the `info` of the predictions.
        boxes: the boxes of each frame, in place of the detector's; frames without boxes are skipped.
    """
    frames = list(range(truth.frame_count))
    if boxes is not None:
        # Usually only labelled frames have boxes. Skip the others, or the people there would count as missed.
        frames = [index for index in frames if len(boxes[index][0])]
        detected = frames[:: config.propagation.detect_every]
        networks = replace(networks, detector=_GivenBoxes([boxes[index] for index in detected]))
    # A video with fewer frames than a confirmation needs would have no confirmed track.
    confirmations = max(1, min(config.tracker.confirmations, len(frames)))
    config = replace(config, tracker=replace(config.tracker, confirmations=confirmations))
    stream = _frames(root, truth, frames)
    tracked = {frame.info.index: people for frame, people in track_people(stream, networks, config)}
    return posetrack_predictions(truth, tracked, made_with)


def _keep_all_boxes(config: Config) -> Config:
    """The settings for ground-truth boxes: none of them is a duplicate or a false positive, and none is missing."""
    return replace(
        config,
        detector=replace(config.detector, min_score=0.0),
        person_score=PersonScoreConfig(1.0, 0.0, 0.0),
        propagation=replace(config.propagation, max_seconds=0.0),
        duplicates=replace(config.duplicates, box_overlap=1.0, max_similarity=1.0),
        tracker=replace(config.tracker, confirmations=1),
    )


def _frames(root: Path, truth: PoseSequence, indices: Sequence[int]) -> Iterator[Frame]:
    for index in indices:
        file = image_file(root, truth.rows.frame_names[index])
        image = read_rgb(file)
        if image is None:
            raise InputError(
                f"{truth.path}: frame {index}: the image {file} is missing or damaged; "
                f"run posetrack dataset check {root}"
            )
        yield Frame.of(index, index / FRAME_RATE, image)


class _GivenBoxes:
    """A detector that returns given boxes and scores, in the order of its calls."""

    def __init__(self, boxes: Sequence[Boxes]) -> None:
        self._next = iter(boxes)

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> Sequence[Boxes]:
        return [next(self._next) for _ in images]


def truth_boxes(truth: PoseSequence) -> list[Boxes]:
    """The annotated people of each frame as boxes around their keypoints, 15 % larger on every side; scores 1."""
    visible = np.where(truth.present[..., None], truth.keypoints, np.nan)
    rows = np.flatnonzero(truth.present.any(axis=1))
    low, high = np.nanmin(visible[rows], axis=1), np.nanmax(visible[rows], axis=1)
    margin = np.maximum(_BOX_MARGIN * (high - low), 0.5 * (_MIN_SIDE - (high - low)))
    boxes = np.concatenate([low - margin, high + margin], axis=1)
    frame = truth.frame[rows]
    return [(boxes[frame == k], np.ones(int((frame == k).sum()))) for k in range(truth.frame_count)]


def _read_detections(path: Path, truth_files: Sequence[Path]) -> dict[int, list[tuple[float, ...]]]:
    """x1 y1 x2 y2 score by image id, from a COCO result file for the frames of `truth_files`."""
    content = load_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path} must be a list of {{image_id, bbox, score}}, as COCO detections are")
    found: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for k, entry in enumerate(content):
        try:
            x, y, width, height = map(float, entry["bbox"])
            found[int(entry["image_id"])].append((x, y, x + width, y + height, float(entry["score"])))
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path}: entry {k} needs 'image_id', 'bbox' (x y width height) and 'score'"
            ) from None
    known = {image_id for file in truth_files for image_id in read_posetrack(file).image_ids.tolist()}
    if known and not known & found.keys():
        raise InputError(f"{path}: no 'image_id' belongs to a frame in {truth_files[0].parent}")
    return found


def _boxes_by_frame(truth: PoseSequence, found: dict[int, list[tuple[float, ...]]]) -> list[Boxes]:
    """The given boxes of every frame, highest score first."""
    if not len(truth.image_ids):
        raise InputError(
            f"{truth.path}: PoseTrack17 frames have no image ids; use your own detections with PoseTrack18 files",
            option="detections",
        )
    frames: list[Boxes] = []
    for image_id in truth.image_ids.tolist():
        table = np.array(sorted(found.get(image_id, ()), key=lambda row: -row[4]), np.float64).reshape(-1, 5)
        frames.append((table[:, :4], table[:, 4]))
    return frames
