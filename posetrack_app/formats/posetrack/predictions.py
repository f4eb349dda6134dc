"""Predictions for the PoseTrack benchmarks: PoseTrack18 layout, with the frames of the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS, PoseSequence

_MAX_ID = 9999
"""poseval refuses larger track ids."""
_IS_SCORED = np.array([name in SCORED_KEYPOINTS for name in POSETRACK.keypoints])


def posetrack_predictions(
    truth: PoseSequence,
    tracked: Mapping[int, TrackedPoses],
    info: Mapping[str, Any],
    *,
    renumber: bool = True,
    all_frames: bool = False,
) -> dict[str, Any]:
    """The content of the file for one video. Track ids are renumbered from 1, and only labelled frames get people.

    A video without any label, as in the test split, gets people in all frames.

    Args:
        truth: the ground truth of the video, which gives the frames and their ids.
        tracked: frame of `truth`, from 0, to its people (PoseTrack18 keypoints).
        info: the `info` block.
        renumber: otherwise the ids stay, and there may be any number of them.
        all_frames: frames without labels get people, too.

    Raises InputError if there are more tracks than poseval accepts.
    """
    ids = truth.image_ids.tolist() or list(range(1, truth.frame_count + 1))
    labelled = truth.labelled | truth.has_people()
    if all_frames or not labelled.any():
        labelled[:] = True
    images = [
        {"file_name": name, "id": image_id, "frame_id": image_id}
        for name, image_id in zip(truth.rows.frame_names, ids, strict=True)
    ]
    numbers: dict[int, int] = {}
    people: list[dict[str, Any]] = []
    for frame in np.flatnonzero(labelled).tolist():
        for person in posetrack_annotations(tracked[frame]) if frame in tracked else ():
            number = person["track_id"]
            if renumber:
                number = numbers.setdefault(number, len(numbers) + 1)
            people.append({"id": len(people) + 1, "image_id": ids[frame], **person, "track_id": number})
    if len(numbers) > _MAX_ID:
        raise InputError(f"{truth.name} has {len(numbers)} tracks; poseval accepts at most {_MAX_ID}")
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(POSETRACK.keypoints)}
    return {"info": dict(info), "images": images, "annotations": people, "categories": [category]}


def posetrack_annotations(tracked: TrackedPoses) -> Sequence[dict[str, Any]]:
    """The annotations of one frame, without `id` and `image_id`.

    Keypoints with a score of 0, and the ears, which PoseTrack does not score, are written as missing: 0, 0, 0.
    """
    present = (tracked.keypoint_scores > 0) & _IS_SCORED
    triples = np.concatenate([tracked.keypoints.round(3), present[..., None]], axis=2) * present[..., None]
    boxes = np.concatenate([tracked.boxes[:, :2], tracked.boxes[:, 2:] - tracked.boxes[:, :2]], axis=1)
    scores = np.where(present, tracked.keypoint_scores, 0.0).round(6)
    return [
        {
            "category_id": 1,
            "track_id": int(tracked.ids[k]),
            "bbox": boxes[k].round(2).tolist(),
            "score": round(float(tracked.scores[k]), 6),
            "keypoints": triples[k].reshape(-1).tolist(),
            "scores": scores[k].tolist(),
        }
        for k in range(len(tracked))
    ]
