"""Predictions as the PoseTrack benchmarks take them: PoseTrack18 layout, frames as in the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.pose_sequence import SCORED_KEYPOINTS, PoseSequence
from posetrack_app.records import TrackedPoses
from posetrack_app.skeleton import POSETRACK

LARGEST_ID = 9999
"""poseval refuses larger track ids."""
_SCORED = np.array([name in SCORED_KEYPOINTS for name in POSETRACK.keypoints])


def official_predictions(
    truth: PoseSequence, tracked: Mapping[int, TrackedPoses], info: Mapping[str, Any]
) -> dict[str, Any]:
    """The file for one video; `tracked` maps a frame of `truth`, from 0, to its people (PoseTrack18 keypoints).

    Only labelled frames have people. Keypoints with a score of 0, and the ears, which PoseTrack leaves out,
    are absent (0, 0, 0). Track ids are numbered from 1.
    """
    ids = truth.image_ids.tolist() or list(range(1, truth.frame_count + 1))
    labelled = truth.labelled | truth.has_people()
    images = [
        {"file_name": name, "id": image_id, "frame_id": image_id}
        for name, image_id in zip(truth.rows.frame_names, ids, strict=True)
    ]
    numbers: dict[int, int] = {}
    people: list[dict[str, Any]] = []
    for frame in np.flatnonzero(labelled).tolist():
        for person in official_people(tracked[frame]) if frame in tracked else ():
            number = numbers.setdefault(person["track_id"], len(numbers) + 1)
            people.append({"id": len(people) + 1, "image_id": ids[frame], **person, "track_id": number})
    if len(numbers) > LARGEST_ID:
        raise InputError(f"{truth.name}: has {len(numbers)} tracks; poseval takes {LARGEST_ID} at most")
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(POSETRACK.keypoints)}
    return {"info": dict(info), "images": images, "annotations": people, "categories": [category]}


def official_people(tracked: TrackedPoses) -> Sequence[dict[str, Any]]:
    """Annotations of one frame without `id` and `image_id`; absent keypoints and the ears are 0, 0, 0."""
    seen = (tracked.keypoint_scores > 0) & _SCORED
    points = np.concatenate([tracked.keypoints.round(3), seen[..., None]], axis=2) * seen[..., None]
    boxes = np.concatenate([tracked.boxes[:, :2], tracked.boxes[:, 2:] - tracked.boxes[:, :2]], axis=1)
    scores = np.where(seen, tracked.keypoint_scores, 0.0).round(6)
    return [
        {
            "category_id": 1,
            "track_id": int(tracked.ids[k]),
            "bbox": boxes[k].round(2).tolist(),
            "score": round(float(tracked.scores[k]), 6),
            "keypoints": points[k].reshape(-1).tolist(),
            "scores": scores[k].tolist(),
        }
        for k in range(len(tracked))
    ]
