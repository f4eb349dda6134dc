"""`posetrack benchmark`: predictions for every sequence of a PoseTrack data set, and their scores."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.choices import ORACLES
from posetrack_app.core.config import Config
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import check_folder
from posetrack_app.core.json_file import json_files, load_json, write_json
from posetrack_app.core.protocols import Estimator, Networks
from posetrack_app.core.records import Frame, HasInfo, Poses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.evaluation.evaluate import Evaluation, evaluate_posetrack
from posetrack_app.formats.pose_store import PoseStore
from posetrack_app.formats.posetrack.dataset import annotation_folder
from posetrack_app.formats.posetrack.predictions import posetrack_predictions
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.formats.posetrack.sequence import PoseSequence
from posetrack_app.jobs.benchmark_poses import (
    Boxes,
    ComputedPoses,
    PoseSource,
    StoredPoses,
    keep_all_boxes,
    linking_settings,
    open_stored_poses,
    read_sequence,
)
from posetrack_app.jobs.detection_thresholds import fitted_thresholds
from posetrack_app.jobs.manifest import computing_versions, source_commit
from posetrack_app.jobs.oracles import with_true_ids, with_true_keypoints
from posetrack_app.models.build import load_networks
from posetrack_app.pipeline.stored_poses import link_stored, lowest_stored_score
from posetrack_app.pipeline.track_people import propagates

_logger = logging.getLogger("posetrack")

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
    oracles: Sequence[str] = (),
    stored: Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> Evaluation:
    """Write `out`/poses/*.npz and `out`/predictions/*.json for every sequence of the split, and score them.

    The stored poses are those before any threshold: another call with `stored` can change thresholds and tracker.

    Args:
        dataset: one of `core.choices.DATASETS`.
        root: the folder with the annotations and the images.
        out: the folder for the poses and predictions.
        split: "train", "val" or "test".
        config: the settings; default: those of the default preset, with `stored` those that the poses were made with.
        device: "auto", "cpu", "cuda" or "mps".
        detections: boxes to use in place of the detector's, a COCO list of boxes by image id. Thresholds are taken from
            their scores, unless `config` has others than the default ones.
        gt_boxes: the same as the oracle "boxes".
        oracles: what to take from the ground truth, any of `core.choices.ORACLES`.
        stored: the `out` of an earlier call, whose poses are used; no network runs.
        resume: keep poses and predictions that were made with the same settings, weights, boxes and versions.
        force: overwrite an earlier result.

    Raises InputError for files that cannot be read, written or scored.
    """
    if not set(oracles) <= set(ORACLES):
        raise InputError(
            f"oracles must be some of {', '.join(ORACLES)}; got {', '.join(oracles)}", option="oracle"
        )
    gt_boxes = gt_boxes or "boxes" in oracles
    if detections is not None and gt_boxes:
        raise InputError("other detections and true boxes cannot be used together; choose one")
    if not (resume or force):
        refuse_to_replace_result(out)
    folder = annotation_folder(root, split)
    files = json_files(folder)
    check_folder(out)
    estimator: Estimator | None = None
    if stored is None:
        config = config or Config()
        given = _read_detections(detections, files) if detections else None
        if given is not None:
            scores = np.array([box[4] for boxes in given.values() for box in boxes], np.float64)
            config = fitted_thresholds(config, scores, len(given))
        networks = load_networks(config, device)
        made_with = _made_with(config, networks, detections, gt_boxes)
        estimator = networks.estimator
        source: PoseSource = _computed_poses(root, out, config, networks, made_with, given, resume)
    else:
        source, config = _poses_without_networks(stored, config, detections, gt_boxes)
    # What the predictions depend on, as the `info` of their files: equal `info` means equal predictions.
    info = {**source.made_with, "config": config.as_dict(), "gt_boxes": gt_boxes, "oracles": sorted(oracles)}
    predictions = out / "predictions"
    _predict_all(dataset, root, files, predictions, source, config, info, estimator, resume=resume)
    result = evaluate_posetrack(folder, predictions, PROTOCOLS[dataset], sweep=True)
    run = {"dataset": dataset, "split": split, "poses_from": None if stored is None else str(stored), **info}
    return replace(result, run={**run, "commit": source_commit()})


def _predict_all(
    dataset: str,
    root: Path,
    files: Sequence[Path],
    predictions: Path,
    source: PoseSource,
    config: Config,
    info: dict[str, Any],
    estimator: Estimator | None,
    *,
    resume: bool,
) -> None:
    """Write the predictions of every video."""
    predictions.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files, 1):
        target = predictions / file.name
        label = f"{number} of {len(files)}: {file.stem}"
        if resume and target.exists() and load_json(target).get("info") == info:
            _logger.info("%s: already done", label)
            continue
        truth = read_posetrack(file)
        if truth.layout != LAYOUTS[dataset]:
            raise InputError(f"{file} has the layout of {truth.layout}, not of {dataset}")
        content = predict_sequence(root, truth, source.poses_of(truth), config, info, estimator)
        write_json(target, content)
        _logger.info("%s: %d frames, %d poses", label, truth.frame_count, len(content["annotations"]))


def _poses_without_networks(
    stored: Path, config: Config | None, detections: Path | None, gt_boxes: bool
) -> tuple[StoredPoses, Config]:
    """The poses of an earlier benchmark, and the settings to link them with. InputError if they do not fit."""
    source = open_stored_poses(stored)
    if detections is not None or gt_boxes != source.made_with["gt_boxes"]:
        raise InputError(f"the poses in {stored} were made for other boxes; the networks must run again")
    config = config or source.settings()
    source.check(config)
    if config.tracker.method == "kalman" and config.propagation.max_seconds:
        _logger.info(
            "without networks, people whom the detector misses are not looked for ([propagation] max_seconds)"
        )
        config = replace(config, propagation=replace(config.propagation, max_seconds=0.0))
    return source, config


def refuse_to_replace_result(out: Path) -> None:
    """Raise InputError if `out` has the result of an earlier benchmark."""
    for found in (out / "evaluation.json", out / "predictions", out / "poses"):
        if found.is_file() or (found.is_dir() and any(found.iterdir())):
            raise InputError(
                f"{found} is of an earlier benchmark; choose another folder, resume it, or overwrite it",
                option="force",
            )


def _made_with(config: Config, networks: Networks, detections: Path | None, gt_boxes: bool) -> dict[str, Any]:
    """What poses and tracks depend on."""
    facts = {
        "config": config.as_dict(),
        "weights": networks.weights,
        "detections": hashlib.sha256(detections.read_bytes()).hexdigest() if detections else None,
        "gt_boxes": gt_boxes,
        "lowest_score": 0.0 if gt_boxes else lowest_stored_score(config),
        "device": networks.device,
        "precision": networks.precision,
        # Other versions may compute other outputs.
        "versions": computing_versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))  # as it comes back from a file
    return plain


def _computed_poses(
    root: Path,
    out: Path,
    config: Config,
    networks: Networks,
    made_with: dict[str, Any],
    given: dict[int, list[tuple[float, ...]]] | None,
    resume: bool,
) -> ComputedPoses:
    def boxes_of(truth: PoseSequence) -> list[Boxes] | None:
        if made_with["gt_boxes"]:
            return truth_boxes(truth)
        return None if given is None else _boxes_by_frame(truth, given)

    settings = keep_all_boxes(config) if made_with["gt_boxes"] else config
    return ComputedPoses(root, out / "poses", networks, settings, made_with, boxes_of, resume)


def predict_sequence(
    root: Path,
    truth: PoseSequence,
    stored: PoseStore,
    config: Config,
    info: dict[str, Any],
    estimator: Estimator | None = None,
) -> dict[str, Any]:
    """Predictions for one video in the layout of the data set: thresholds, tracker and oracles on stored poses.

    Args:
        root: the folder with the images; only the tracker "flow" reads them.
        truth: the annotations, for the frames to predict and for the oracles.
        stored: the poses.
        config: the settings.
        info: the `info` of the predictions; `gt_boxes` and `oracles` are used.
        estimator: the pose network, for people whom the tracker expects and the detector misses.
    """
    settings = linking_settings(config, len(stored.frames), gt_boxes=info["gt_boxes"])
    poses = [frame.poses for frame in stored.frames]
    if "poses" in info["oracles"]:
        boxes = truth_boxes(truth)
        poses = [
            with_true_keypoints(found, boxes[frame.info.index][0], truth, frame.info.index)
            for frame, found in zip(stored.frames, poses, strict=True)
        ]
    frames: Iterable[HasInfo] = stored.frames
    if config.tracker.method == "flow" or (estimator is not None and propagates(settings)):
        images = read_sequence(root, truth, [frame.info.index for frame in stored.frames])
        frames = (Frame(frame.info, image.image) for frame, image in zip(stored.frames, images, strict=True))
    stream: Iterable[tuple[HasInfo, Poses]] = zip(frames, poses, strict=True)
    linked = link_stored(stream, settings, POSETRACK, estimator)
    if "ids" in info["oracles"]:
        linked = with_true_ids(linked, truth)
    tracked = {frame.info.index: people for frame, people in linked}
    return posetrack_predictions(truth, tracked, info)


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
            score = float(entry["score"])
            if not np.isfinite([x, y, width, height, score]).all():
                raise ValueError
            found[int(entry["image_id"])].append((x, y, x + width, y + height, score))
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
