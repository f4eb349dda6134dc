"""Find the prediction of every ground-truth video and pair their frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.evaluation.scene import SequencePair
from posetrack_app.formats.json_file import json_files
from posetrack_app.formats.pose_sequence import PoseSequence, rows_in_frame_order
from posetrack_app.formats.posetrack import read_posetrack


def sequence_files(truth: Path, predicted: Path) -> list[tuple[Path, Path]]:
    """The (ground truth, prediction) files: two files, or two folders whose files share names.

    Files that are only among the predictions are not scored.
    """
    if not truth.exists():
        raise InputError(f"{truth}: there is no such file or folder")
    if not predicted.exists():
        raise InputError(f"{predicted}: there is no such file or folder")
    if truth.is_file():
        return [(truth, predicted / truth.name if predicted.is_dir() else predicted)]
    if predicted.is_file():
        raise InputError(f"{truth} is a folder but {predicted} a file; give two folders or two files")
    files = json_files(truth)
    if not files:
        raise InputError(f"{truth}: holds no .json file")
    for file in files:
        if not (predicted / file.name).is_file():
            raise InputError(
                f"{predicted / file.name}: there is no such file, but the ground truth has {file}"
            )
    return [(file, predicted / file.name) for file in files]


def read_pairs(truth: Path, predicted: Path, fixed_order: bool = False) -> list[SequencePair]:
    """All videos, checked; `fixed_order` reads keypoints as PoseTrack21 does (PoseTrack18 layout only)."""
    return [
        pair_sequences(read_posetrack(t, fixed_order), read_posetrack(p, fixed_order))
        for t, p in sequence_files(truth, predicted)
    ]


def pair_sequences(truth: PoseSequence, predicted: PoseSequence) -> SequencePair:
    """Frames are paired by place; InputError if their numbers differ or a predicted id comes twice in one."""
    if truth.frame_count != predicted.frame_count:
        raise InputError(
            f"{predicted.path}: has {predicted.frame_count} frames, the ground truth {truth.path} has "
            f"{truth.frame_count}; write one entry for every frame, in the same order"
        )
    rows = np.flatnonzero(predicted.has_points)
    order = rows[np.lexsort((predicted.ids[rows], predicted.frame[rows]))]
    frame, ids = predicted.frame[order], predicted.ids[order]
    twice = np.flatnonzero((frame[1:] == frame[:-1]) & (ids[1:] == ids[:-1]))
    if len(twice):
        row = int(order[twice[0] + 1])
        predicted.rows.fail(row, f"has the track id {ids[twice[0]]} of another person of this frame")
    return SequencePair(truth, predicted)


def paired_by_image_id(pair: SequencePair) -> SequencePair:
    """The same video with the predicted frames in the order of the ground truth's image ids.

    Unchanged where the two files do not list the same ids.
    """
    truth, predicted = pair.truth, pair.predicted
    order = np.argsort(predicted.image_ids)
    true_order = np.argsort(truth.image_ids)
    same = np.array_equal(predicted.image_ids[order], truth.image_ids[true_order])
    if not same or not len(order) or np.array_equal(order, true_order):
        return pair
    place = np.empty_like(order)
    place[order] = true_order
    frame = place[predicted.frame]
    rows = np.argsort(frame, kind="stable")
    names = [predicted.rows.frame_names[k] for k in np.argsort(place).tolist()]
    columns = ("ids", "keypoints", "present", "scores", "head_boxes", "has_points")
    return SequencePair(
        truth,
        replace(
            predicted,
            rows=rows_in_frame_order(predicted.path, names, frame[rows]),
            image_ids=truth.image_ids,
            **{column: getattr(predicted, column)[rows] for column in columns},
        ),
    )
