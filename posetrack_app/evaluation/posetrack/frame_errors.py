"""Where tracking fails: misses, false positives and switches of every frame, and the frames with most of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posetrack_app.core.records import IntArray
from posetrack_app.evaluation.posetrack.clear_mot import MotCounts
from posetrack_app.evaluation.posetrack.scene import People, Scene


@dataclass(frozen=True, eq=False)
class FrameErrors:
    """Keypoint errors of every kept frame, (F,) each."""

    misses: IntArray
    false_positives: IntArray
    switches: IntArray

    @property
    def total(self) -> IntArray:
        return self.misses + self.false_positives + self.switches


@dataclass(frozen=True)
class WorstFrame:
    """A frame (0-based, in the file) and its keypoint errors; `scene_frame` is its index in the scene."""

    sequence: str
    frame: int
    frame_name: str
    misses: int
    false_positives: int
    switches: int
    scene_frame: int


def frame_errors(scene: Scene, counts: MotCounts) -> FrameErrors:
    """The errors of CLEAR-MOT by frame; frames that are not tracked have none."""
    frames = len(scene.frame_video)

    def per_frame(people: People, keypoints: IntArray) -> IntArray:
        total = np.bincount(people.frame, keypoints, minlength=frames).astype(np.int64)
        return np.where(counts.counted, total, 0)

    truth, predicted = scene.truth, scene.predicted
    return FrameErrors(
        misses=per_frame(truth, (truth.present & ~counts.found_truth).sum(axis=1)),
        false_positives=per_frame(predicted, (predicted.present & ~counts.found_predicted).sum(axis=1)),
        switches=np.bincount(truth.frame[counts.events.truth], minlength=frames),
    )


def worst_frames(scene: Scene, errors: FrameErrors, count: int) -> list[WorstFrame]:
    """The frames with the most errors; those of neighbouring frames differ little, so each is 5 frames from the others."""
    order = np.argsort(-errors.total, kind="stable")
    chosen: list[int] = []
    for k in order.tolist():
        if len(chosen) == count or errors.total[k] == 0:
            break
        if all(
            scene.frame_video[k] != scene.frame_video[other]
            or abs(scene.frame_number[k] - scene.frame_number[other]) >= 5
            for other in chosen
        ):
            chosen.append(k)
    return [
        WorstFrame(
            sequence=scene.names[scene.frame_video[k]],
            frame=int(scene.frame_number[k]),
            frame_name=scene.frame_names[k],
            misses=int(errors.misses[k]),
            false_positives=int(errors.false_positives[k]),
            switches=int(errors.switches[k]),
            scene_frame=k,
        )
        for k in chosen
    ]
