"""Identity switches of people: the keypoint switches of CLEAR-MOT, grouped by person and frame."""

from __future__ import annotations

from dataclasses import dataclass

from posetrack_app.evaluation.posetrack.clear_mot import MotCounts
from posetrack_app.evaluation.posetrack.scene import Scene
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS


@dataclass(frozen=True)
class IdSwitch:
    """The person `truth_id` had the track `before`, and from `frame` (0-based, in the file) on the track `after`."""

    sequence: str
    frame: int
    frame_name: str
    truth_id: int
    before: int
    after: int
    keypoints: tuple[str, ...]


def list_id_switches(scene: Scene, counts: MotCounts) -> list[IdSwitch]:
    """The switches by sequence and frame; keypoints that switch together are one entry."""
    grouped: dict[tuple[int, int, int, int], list[str]] = {}
    events = counts.events
    truth, predicted = scene.truth, scene.predicted
    columns = (
        truth.frame[events.truth],
        truth.track_ids[truth.track[events.truth]],
        predicted.track_ids[events.previous_track],
        predicted.track_ids[predicted.track[events.predicted]],
        events.joint,
    )
    for frame, truth_id, before, after, joint in zip(*(column.tolist() for column in columns), strict=True):
        grouped.setdefault((frame, truth_id, before, after), []).append(SCORED_KEYPOINTS[joint])
    return [
        IdSwitch(
            sequence=scene.names[scene.frame_video[frame]],
            frame=int(scene.frame_number[frame]),
            frame_name=scene.frame_names[frame],
            truth_id=truth_id,
            before=before,
            after=after,
            keypoints=tuple(sorted(keypoints)),
        )
        for (frame, truth_id, before, after), keypoints in sorted(grouped.items())
    ]
