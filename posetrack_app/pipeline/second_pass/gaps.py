"""Second pass: fill short gaps by interpolation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from posetrack_app.core.records import INTERPOLATED, FloatArray, is_missing
from posetrack_app.pipeline.second_pass.smooth_tracks import bridge_missing
from posetrack_app.pipeline.second_pass.tracks import Track, concatenated


def fill_keypoints(track: Track, max_seconds: float, min_score: float) -> Track:
    """Fill keypoints whose score stays below `min_score` for at most `max_seconds`.

    Positions and scores are interpolated as in `fill_gaps`, but never across a frame where the person is missing.
    """
    keypoints, scores = track.keypoints.copy(), track.keypoint_scores.copy()
    origins = track.keypoint_origins.copy()
    is_sure = scores >= min_score
    for stretch in np.split(np.arange(len(track.frames)), np.nonzero(np.diff(track.frames) > 1)[0] + 1):
        for keypoint in range(keypoints.shape[1]):
            known = stretch[is_sure[stretch, keypoint]]
            steps = np.diff(known)
            gaps = np.nonzero((steps > 1) & (np.diff(track.seconds[known]) <= max_seconds))[0]
            if not len(gaps):
                continue
            curve = PchipInterpolator(track.seconds[known], track.keypoints[known, keypoint])
            for gap in gaps:
                rows = np.arange(known[gap] + 1, known[gap + 1])
                keypoints[rows, keypoint] = curve(track.seconds[rows])
                scores[rows, keypoint] = 0.5 * track.keypoint_scores[known[gap : gap + 2], keypoint].min()
                origins[rows, keypoint] = INTERPOLATED
    return replace(track, keypoints=keypoints, keypoint_scores=scores, keypoint_origins=origins)


def fill_gaps(track: Track, seconds: FloatArray, max_seconds: float) -> Track:
    """Fill gaps of at most `max_seconds`; `seconds` are the times of all frames of the video.

    Positions follow a monotone cubic (PCHIP: no overshoot) through two frames on each side. Scores are half of the lower
    score at the two ends. A keypoint that is missing at one end is missing in the gap.
    """
    parts = [track]
    for before in np.nonzero(np.diff(track.frames) > 1)[0]:
        if track.seconds[before + 1] - track.seconds[before] > max_seconds:
            continue
        frames = np.arange(track.frames[before] + 1, track.frames[before + 1])
        knots = track.rows(slice(max(before - 1, 0), before + 3))
        sides = track.rows(slice(before, before + 2))
        at, count = seconds[frames], len(frames)
        missing = is_missing(knots.keypoints, knots.keypoint_scores)
        known = bridge_missing(knots.seconds, knots.keypoints, missing)
        keypoints = PchipInterpolator(knots.seconds, known)(at)
        keypoints[:, is_missing(sides.keypoints, sides.keypoint_scores).any(axis=0)] = 0.0
        parts.append(
            Track(
                track.id,
                frames,
                at,
                PchipInterpolator(knots.seconds, knots.boxes)(at),
                np.full(count, 0.5 * sides.scores.min()),
                keypoints,
                np.repeat(0.5 * sides.keypoint_scores.min(axis=0)[None], count, axis=0),
                np.full(count, INTERPOLATED),
                np.full((count, track.keypoints.shape[1]), INTERPOLATED),
                np.repeat(sides.appearance.mean(axis=0)[None], count, axis=0),
            )
        )
    return concatenated(parts)
