"""Find the prediction of every ground-truth video and pair their frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import json_files
from posetrack_app.evaluation.posetrack.scene import SequencePair
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.formats.posetrack.sequence import PoseSequence, rows_in_frame_order


def sequence_files(truth: Path, predicted: Path) -> list[tuple[Path, Path]]:
    """The (ground truth, prediction) files: two files, or the files of the same name in two folders.

    Predictions without ground truth are not scored. Raises InputError if a file is missing.
    """
    if not truth.exists():
        raise InputError(f"{truth}: no such file or folder")
    if not predicted.exists():
        raise InputError(f"{predicted}: no such file or folder")
    if truth.is_file():
        return [(truth, predicted / truth.name if predicted.is_dir() else predicted)]
    if predicted.is_file():
        raise InputError(f"{truth} is a folder, but {predicted} is a file; give two folders or two files")
    files = json_files(truth)
    if not files:
        raise InputError(f"{truth} has no .json file")
    for file in files:
        if not (predicted / file.name).is_file():
            raise InputError(f"{predicted / file.name}: no such file, but the ground truth has {file}")
    return [(file, predicted / file.name) for file in files]


def read_pairs(truth: Path, predicted: Path, fixed_order: bool = False) -> list[SequencePair]:
    """Read and check all videos; with `fixed_order`, keypoints are read as by the PoseTrack21 kit (PoseTrack18 layout)."""
    return [
        pair_sequences(read_posetrack(t, fixed_order), read_posetrack(p, fixed_order))
        for t, p in sequence_files(truth, predicted)
    ]


def pair_sequences(truth: PoseSequence, predicted: PoseSequence) -> SequencePair:
    """Pair the frames by position. InputError if their numbers differ, or a predicted id occurs twice in a frame."""
    if truth.frame_count != predicted.frame_count:
        raise InputError(
            f"{predicted.path} has {predicted.frame_count} frames, but the ground truth {truth.path} has "
            f"{truth.frame_count}; write one entry for every frame, in the same order"
        )
    rows = np.flatnonzero(predicted.has_points)
    order = rows[np.lexsort((predicted.ids[rows], predicted.frame[rows]))]
    frame, ids = predicted.frame[order], predicted.ids[order]
    repeated = np.flatnonzero((frame[1:] == frame[:-1]) & (ids[1:] == ids[:-1]))
    if len(repeated):
        row = int(order[repeated[0] + 1])
        predicted.rows.fail(row, f"has the track id {ids[repeated[0]]} of another person of this frame")
    return SequencePair(truth, predicted)


def paired_by_image_id(pair: SequencePair) -> SequencePair:
    """The same video with the predicted frames in the order of the ground truth's image ids.

    Unchanged if the two files have different ids.
    """
    truth, predicted = pair.truth, pair.predicted
    order = np.argsort(predicted.image_ids)
    true_order = np.argsort(truth.image_ids)
    same = np.array_equal(predicted.image_ids[order], truth.image_ids[true_order])
    if not same or not len(order) or np.array_equal(order, true_order):
        return pair
    position = np.empty_like(order)
    position[order] = true_order
    frame = position[predicted.frame]
    rows = np.argsort(frame, kind="stable")
    names = [predicted.rows.frame_names[k] for k in np.argsort(position).tolist()]
    columns = (
        "ids",
        "person_ids",
        "keypoints",
        "present",
        "scores",
        "head_boxes",
        "has_points",
        "integer_frame",
    )
    return SequencePair(
        truth,
        replace(
            predicted,
            rows=rows_in_frame_order(predicted.path, names, frame[rows]),
            image_ids=truth.image_ids,
            **{column: getattr(predicted, column)[rows] for column in columns},
        ),
    )
