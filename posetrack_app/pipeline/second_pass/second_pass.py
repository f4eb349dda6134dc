"""The second pass over the tracks of a whole video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from posetrack_app.core.config import SecondPassConfig
from posetrack_app.core.records import FloatArray, IntArray, TrackedPoses
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.pipeline.second_pass.gaps import fill_gaps, fill_keypoints
from posetrack_app.pipeline.second_pass.join import join_tracks
from posetrack_app.pipeline.second_pass.smooth_tracks import smooth_track
from posetrack_app.pipeline.second_pass.swaps import repair_swaps
from posetrack_app.pipeline.second_pass.tracks import Track, tracks_of


def second_pass(
    seconds: FloatArray,
    frames: Sequence[TrackedPoses],
    skeleton: Skeleton,
    settings: SecondPassConfig | None = None,
    shots: IntArray | None = None,
) -> list[TrackedPoses]:
    """The frames after the second pass, each with its people sorted by id.

    A joined track keeps the id of its first part. Tracks of different shots are not joined.

    Args:
        seconds: (F,) times of the frames; they rise.
        frames: the F frames of a video.
        skeleton: the skeleton of the poses.
        settings: default: those of `SecondPassConfig`.
        shots: (F,) number of each frame's shot; default: one shot.
    """
    settings = settings or SecondPassConfig()
    shots = np.zeros(len(frames), dtype=np.int64) if shots is None else shots
    tracks = drop_false_positives(tracks_of(seconds, frames), settings)
    tracks = [repair_swaps(track, skeleton, settings.swap_penalty) for track in tracks]
    tracks = [fill_keypoints(track, settings.fill_seconds, settings.keypoint_score) for track in tracks]
    tracks = join_tracks(tracks, settings, shots)
    tracks = [fill_gaps(track, seconds, settings.fill_seconds) for track in tracks]
    count = len(skeleton.keypoints)
    return list(_frames_of(tracks, len(frames), count, settings.smoothing, settings.keypoint_score))


def drop_false_positives(tracks: Sequence[Track], settings: SecondPassConfig) -> list[Track]:
    """The tracks that last at least `min_track_seconds` or have a mean box score of at least `min_track_score`."""
    return [
        track
        for track in tracks
        if track.seconds[-1] - track.seconds[0] >= settings.min_track_seconds
        or track.scores.mean() >= settings.min_track_score
    ]


def _frames_of(
    tracks: Sequence[Track], count: int, keypoints: int, smoothing: str, keypoint_score: float
) -> Iterator[TrackedPoses]:
    """`count` frames with the people of `tracks` and their smoothed keypoints."""
    smoothed = [
        track.keypoints
        if smoothing == "none"
        else smooth_track(smoothing, track.seconds, track.keypoints, track.keypoint_scores, keypoint_score)
        for track in tracks
    ]
    features = tracks[0].appearance.shape[1] if tracks else 0
    rows: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for number, track in enumerate(tracks):
        for row, frame in enumerate(track.frames.tolist()):
            rows[frame].append((number, row))
    for people in rows:
        yield TrackedPoses(
            boxes=np.array([tracks[i].boxes[row] for i, row in people]).reshape(-1, 4),
            scores=np.array([tracks[i].scores[row] for i, row in people], dtype=np.float64),
            keypoints=np.array([tracks[i].keypoints[row] for i, row in people]).reshape(-1, keypoints, 2),
            keypoint_scores=np.array([tracks[i].keypoint_scores[row] for i, row in people]).reshape(
                -1, keypoints
            ),
            ids=np.array([tracks[i].id for i, _ in people], dtype=np.int64),
            smoothed_keypoints=np.array([smoothed[i][row] for i, row in people]).reshape(-1, keypoints, 2),
            origins=np.array([tracks[i].origins[row] for i, row in people], dtype=np.int8),
            keypoint_origins=np.array(
                [tracks[i].keypoint_origins[row] for i, row in people], dtype=np.int8
            ).reshape(-1, keypoints),
            appearance=np.array([tracks[i].appearance[row] for i, row in people]).reshape(
                len(people), features
            ),
        )
