"""Second pass: join the parts of a broken track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from posetrack_app.core.config import SecondPassConfig
from posetrack_app.core.records import FloatArray, IntArray
from posetrack_app.pipeline.second_pass.tracks import Track, concatenated


def join_tracks(tracks: Sequence[Track], settings: SecondPassConfig, shots: IntArray) -> list[Track]:
    """Join tracks where one continues another in the same shot; the set of joints with the lowest total cost.

    `shots` (F,) numbers the shot of every frame of the video.
    """
    if not tracks:
        return []
    cost = np.full((len(tracks), len(tracks)), settings.join_cost)
    difference = _appearance_difference(tracks)
    for first, before in enumerate(tracks):
        for second, after in enumerate(tracks):
            gap = after.seconds[0] - before.seconds[-1]
            same_shot = shots[before.frames[-1]] == shots[after.frames[0]]
            if 0 < gap <= settings.join_seconds and same_shot:
                joint = _joint_cost(before, after, gap) + settings.appearance_cost * difference[first, second]
                cost[first, second] = min(cost[first, second], joint)
    rows, columns = linear_sum_assignment(cost)
    follower = {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if cost[row, column] < settings.join_cost
    }
    joined = []
    for first in sorted(set(range(len(tracks))) - set(follower.values())):
        chain = [first]
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
        joined.append(concatenated([tracks[link] for link in chain]))
    return joined


def _joint_cost(before: Track, after: Track, gap: float) -> float:
    """Squared distance, in standard deviations, of the predicted positions and of the sizes; `gap` in seconds.

    `before` is predicted forwards and `after` backwards. Velocities decay with a time constant of one second, because
    people who were lost have often stopped or turned.
    """
    centre_before, size_before, velocity_before = _end_of(before, last=True)
    centre_after, size_after, velocity_after = _end_of(after, last=False)
    size = np.sqrt(size_before * size_after)
    travel = 1.0 - np.exp(-gap)
    forwards = centre_before + velocity_before * travel - centre_after
    backwards = centre_after - velocity_after * travel - centre_before
    miss = 0.5 * (np.hypot(*forwards) + np.hypot(*backwards)) / size
    return float((miss / (0.3 + 0.6 * gap)) ** 2 + (np.log(size_after / size_before) / 0.2) ** 2)


def _appearance_difference(tracks: Sequence[Track]) -> FloatArray:
    """(T, T) 1 - cosine of the tracks' mean appearances, after subtracting the overall mean; 0 without appearance."""
    means = np.array([track.appearance.mean(axis=0) for track in tracks])
    if not means.shape[1]:
        return np.zeros((len(tracks), len(tracks)))
    means -= np.concatenate([track.appearance for track in tracks]).mean(axis=0)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    difference: FloatArray = 1.0 - means @ means.T
    return difference


def _end_of(track: Track, *, last: bool) -> tuple[FloatArray, float, FloatArray]:
    """Centre (2,), body size and velocity (2,) at one end of a track, in pixels and seconds, from its last half second."""
    edge = track.seconds[-1] if last else track.seconds[0]
    near = track.rows(np.abs(track.seconds - edge) <= 0.5)
    centres = 0.5 * (near.boxes[:, :2] + near.boxes[:, 2:])
    extent = np.maximum(near.boxes[:, 2:] - near.boxes[:, :2], 1.0)
    size = float(np.median(np.sqrt(extent.prod(axis=1))))
    since = near.seconds - edge
    if len(since) < 3 or np.ptp(since) < 0.1:
        return centres[-1 if last else 0], size, np.zeros(2)
    slope, at_edge = np.polyfit(since, centres, 1)
    return at_edge, size, slope
