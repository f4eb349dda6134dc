"""The second pass, with the whole video known: join broken tracks, fill gaps, repair swaps, drop ghosts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import linear_sum_assignment

from posetrack_app.formats.absent import is_absent
from posetrack_app.offline_smoothing import Method, bridge_absent, smooth_track
from posetrack_app.records import INTERPOLATED, FloatArray, IntArray, TrackedPoses
from posetrack_app.skeleton import Skeleton

_SWAPPING = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
_LONGEST_STEP = 0.13
"""Seconds between frames that a limb's swing can still be seen at; over longer ones nothing is exchanged."""


@dataclass(frozen=True)
class SecondPass:
    """Settings. Lengths are body sizes (square root of the box's area).

    A track that begins up to `join_seconds` after another ended continues it where that costs less than
    `join_cost` squared standard deviations; where appearance is known, tracks that look different cost up to twice
    `appearance_cost` more. Gaps up to `fill_seconds` are filled; a keypoint whose score is below `keypoint_score`
    counts as a gap of that keypoint. A track shorter than `ghost_seconds` whose mean box score is below
    `ghost_score` is dropped.
    """

    join_seconds: float = 4.0
    join_cost: float = 9.0
    appearance_cost: float = 2.0
    fill_seconds: float = 0.5
    keypoint_score: float = 0.2
    ghost_seconds: float = 0.3
    ghost_score: float = 0.6
    swap_penalty: float = 0.05
    smoothing: Method | None = "butterworth"


@dataclass(frozen=True)
class Track:
    """One person over F frames: `frames` (F,) are rising places in the video; each has a row in every column."""

    id: int
    frames: IntArray
    seconds: FloatArray
    boxes: FloatArray
    scores: FloatArray
    keypoints: FloatArray
    keypoint_scores: FloatArray
    origins: IntArray
    keypoint_origins: IntArray
    appearance: FloatArray

    def rows(self, rows: NDArray[np.bool_] | IntArray | slice) -> Track:
        """The same person in the chosen frames only."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return replace(self, **columns)


_OF_POSES = (
    "boxes", "scores", "keypoints", "keypoint_scores", "origins", "keypoint_origins", "appearance"
)  # fmt: skip
_COLUMNS = ("frames", "seconds", *_OF_POSES)


def _concatenated(parts: Sequence[Track]) -> Track:
    """One person out of `parts`, in order of time, with the first one's id."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS
    }
    whole = replace(parts[0], **columns)
    return whole.rows(np.argsort(whole.frames, kind="stable"))


def second_pass(
    seconds: FloatArray,
    frames: Sequence[TrackedPoses],
    skeleton: Skeleton,
    settings: SecondPass | None = None,
    shots: IntArray | None = None,
) -> list[TrackedPoses]:
    """The frames after the second pass; `seconds` (len(frames),) rise, `shots` (len(frames),) number the film's shots.

    A joined track keeps the id of its first part. Tracks of different shots are not joined.
    """
    settings = settings or SecondPass()
    shots = np.zeros(len(frames), dtype=np.int64) if shots is None else shots
    tracks = drop_ghosts(tracks_of(seconds, frames), settings)
    tracks = [repair_swaps(track, skeleton, settings.swap_penalty) for track in tracks]
    tracks = [fill_keypoints(track, settings.fill_seconds, settings.keypoint_score) for track in tracks]
    tracks = join_tracks(tracks, settings, shots)
    tracks = [fill_gaps(track, seconds, settings.fill_seconds) for track in tracks]
    count = len(skeleton.keypoints)
    return list(_frames_of(tracks, len(frames), count, settings.smoothing, settings.keypoint_score))


def tracks_of(seconds: FloatArray, frames: Sequence[TrackedPoses]) -> list[Track]:
    """One track an id, by id."""
    rows = [(place, row) for place, poses in enumerate(frames) for row in range(len(poses))]
    if not rows:
        return []
    place = np.array(rows)[:, 0]
    ids, *columns = (
        np.concatenate([getattr(poses, name) for poses in frames if len(poses)])
        for name in ("ids", *_OF_POSES)
    )
    tracks = []
    for number in np.unique(ids):
        mine = ids == number
        at = place[mine]
        tracks.append(Track(int(number), at, seconds[at], *(column[mine] for column in columns)))
    return tracks


def drop_ghosts(tracks: Sequence[Track], settings: SecondPass) -> list[Track]:
    """Without the tracks that are both short and unsure."""
    return [
        track
        for track in tracks
        if track.seconds[-1] - track.seconds[0] >= settings.ghost_seconds
        or track.scores.mean() >= settings.ghost_score
    ]


def join_tracks(tracks: Sequence[Track], settings: SecondPass, shots: IntArray) -> list[Track]:
    """Tracks of one shot whose end and beginning fit are one; the set of joints with the least total cost."""
    if not tracks:
        return []
    cost = np.full((len(tracks), len(tracks)), settings.join_cost)
    unlike = _unlike(tracks)
    for first, before in enumerate(tracks):
        for second, after in enumerate(tracks):
            gap = after.seconds[0] - before.seconds[-1]
            same_shot = shots[before.frames[-1]] == shots[after.frames[0]]
            if 0 < gap <= settings.join_seconds and same_shot:
                fit = _joint_cost(before, after, gap) + settings.appearance_cost * unlike[first, second]
                cost[first, second] = min(cost[first, second], fit)
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
        joined.append(_concatenated([tracks[link] for link in chain]))
    return joined


def _joint_cost(before: Track, after: Track, gap: float) -> float:
    """Squared standard deviations between where `before` goes to and `after` comes from, and between their sizes.

    Velocities fade with a time constant of a second: who is lost has often stopped or turned.
    """
    centre_before, size_before, velocity_before = _end_of(before, last=True)
    centre_after, size_after, velocity_after = _end_of(after, last=False)
    size = np.sqrt(size_before * size_after)
    travel = 1.0 - np.exp(-gap)
    forwards = centre_before + velocity_before * travel - centre_after
    backwards = centre_after - velocity_after * travel - centre_before
    miss = 0.5 * (np.hypot(*forwards) + np.hypot(*backwards)) / size
    return float((miss / (0.3 + 0.6 * gap)) ** 2 + (np.log(size_after / size_before) / 0.2) ** 2)


def _unlike(tracks: Sequence[Track]) -> FloatArray:
    """(T, T) 1 less the cosine of the tracks' mean appearances, each less what all have in common; 0 without any."""
    means = np.array([track.appearance.mean(axis=0) for track in tracks])
    if not means.shape[1]:
        return np.zeros((len(tracks), len(tracks)))
    means -= np.concatenate([track.appearance for track in tracks]).mean(axis=0)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    unlike: FloatArray = 1.0 - means @ means.T
    return unlike


def _end_of(track: Track, *, last: bool) -> tuple[FloatArray, float, FloatArray]:
    """Centre (2,), body size and velocity (2,) in pixels at one end of a track, from half a second of it."""
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


def repair_swaps(track: Track, skeleton: Skeleton, penalty: float) -> Track:
    """Exchange left and right arms, or legs, in the frames where that makes the motion smoother.

    The choice for all frames together that minimises the limbs' accelerations, in body heights and weighted
    by score, plus `penalty` for every exchanged frame (Viterbi over pairs of frames). Frames more than 0.13 s
    apart are left alone: a leg may have swung back in that time.
    """
    keypoints, scores = track.keypoints.copy(), track.keypoint_scores.copy()
    origins = track.keypoint_origins.copy()
    ends = np.nonzero(np.diff(track.seconds) > _LONGEST_STEP)[0] + 1
    for names in _SWAPPING:
        sides = [f"left_{name}" for name in names]
        left = [i for i, name in enumerate(skeleton.keypoints) if name in sides]
        limb = [*left, *(skeleton.mirrored[i] for i in left)]
        other = [skeleton.mirrored[i] for i in limb]
        for stretch in np.split(np.arange(len(track.frames)), ends):
            if len(stretch) < 3:
                continue
            part = track.rows(stretch)
            exchanged = stretch[_exchanged(part, limb, other, penalty)][:, None]
            keypoints[exchanged, limb] = track.keypoints[exchanged, other]
            scores[exchanged, limb] = track.keypoint_scores[exchanged, other]
            origins[exchanged, limb] = track.keypoint_origins[exchanged, other]
    return replace(track, keypoints=keypoints, keypoint_scores=scores, keypoint_origins=origins)


def _exchanged(track: Track, limb: list[int], other: list[int], penalty: float) -> NDArray[np.bool_]:
    """(F,) the frames to exchange."""
    height = np.maximum((track.boxes[:, 2:] - track.boxes[:, :2]).max(axis=1), 1.0)
    # variant[s]: the limb as it is (s = 0) or exchanged (s = 1), (F, limb, 2).
    variant = np.stack([track.keypoints[:, limb], track.keypoints[:, other]])
    surety = np.minimum(track.keypoint_scores[:, limb], track.keypoint_scores[:, other]).clip(0, 1)
    surety = np.minimum(np.minimum(surety[2:], surety[1:-1]), surety[:-2])
    frames = len(height)
    best = np.array([[0.0, penalty], [penalty, 2 * penalty]])
    came_from = np.zeros((frames, 2, 2), dtype=int)
    cost = np.empty((2, 2, 2, frames - 2))
    for a, b, c in np.ndindex(2, 2, 2):
        bend = variant[c, 2:] - 2 * variant[b, 1:-1] + variant[a, :-2]
        cost[a, b, c] = (np.linalg.norm(bend, axis=2) * surety).sum(axis=1) / height[2:]
    for frame in range(2, frames):
        total = best[:, :, None] + cost[..., frame - 2] + penalty * np.arange(2)
        came_from[frame] = total.argmin(axis=0)
        best = total.min(axis=0)
    states = np.zeros(frames, dtype=int)
    states[-2:] = np.unravel_index(best.argmin(), (2, 2))
    for frame in range(frames - 1, 1, -1):
        states[frame - 2] = came_from[frame, states[frame - 1], states[frame]]
    return states.astype(bool)


def fill_keypoints(track: Track, longest: float, least_score: float) -> Track:
    """With the keypoints that score below `least_score` for up to `longest` seconds between two that do not.

    Places and scores come as in `fill_gaps`; never across a frame where the person is missing.
    """
    keypoints, scores = track.keypoints.copy(), track.keypoint_scores.copy()
    origins = track.keypoint_origins.copy()
    sure = scores >= least_score
    for stretch in np.split(np.arange(len(track.frames)), np.nonzero(np.diff(track.frames) > 1)[0] + 1):
        for keypoint in range(keypoints.shape[1]):
            known = stretch[sure[stretch, keypoint]]
            steps = np.diff(known)
            gaps = np.nonzero((steps > 1) & (np.diff(track.seconds[known]) <= longest))[0]
            if not len(gaps):
                continue
            curve = PchipInterpolator(track.seconds[known], track.keypoints[known, keypoint])
            for gap in gaps:
                rows = np.arange(known[gap] + 1, known[gap + 1])
                keypoints[rows, keypoint] = curve(track.seconds[rows])
                scores[rows, keypoint] = 0.5 * track.keypoint_scores[known[gap : gap + 2], keypoint].min()
                origins[rows, keypoint] = INTERPOLATED
    return replace(track, keypoints=keypoints, keypoint_scores=scores, keypoint_origins=origins)


def fill_gaps(track: Track, seconds: FloatArray, longest: float) -> Track:
    """With the frames of gaps of up to `longest` seconds; longer gaps stay open.

    Places come from a cubic through the two frames on either side (monotone, so it cannot overshoot),
    scores are half of the lesser side's. A keypoint that is absent on one side is absent in the gap.
    """
    parts = [track]
    for before in np.nonzero(np.diff(track.frames) > 1)[0]:
        if track.seconds[before + 1] - track.seconds[before] > longest:
            continue
        frames = np.arange(track.frames[before] + 1, track.frames[before + 1])
        knots = track.rows(slice(max(before - 1, 0), before + 3))
        sides = track.rows(slice(before, before + 2))
        at = seconds[frames]
        count = len(frames)
        absent = is_absent(knots.keypoints, knots.keypoint_scores)
        known = bridge_absent(knots.seconds, knots.keypoints, absent)
        keypoints = PchipInterpolator(knots.seconds, known)(at)
        keypoints[:, is_absent(sides.keypoints, sides.keypoint_scores).any(axis=0)] = 0.0
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
    return _concatenated(parts)


def _frames_of(
    tracks: Sequence[Track], count: int, keypoints: int, smoothing: Method | None, keypoint_score: float
) -> Iterator[TrackedPoses]:
    """`count` frames with the rows of `tracks`, by id."""
    smoothed = [
        track.keypoints
        if smoothing is None
        else smooth_track(smoothing, track.seconds, track.keypoints, track.keypoint_scores, keypoint_score)
        for track in tracks
    ]
    looks = tracks[0].appearance.shape[1] if tracks else 0
    rows: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for number, track in enumerate(tracks):
        for row, frame in enumerate(track.frames.tolist()):
            rows[frame].append((number, row))
    for people in rows:
        yield TrackedPoses(
            np.array([tracks[i].boxes[row] for i, row in people]).reshape(-1, 4),
            np.array([tracks[i].scores[row] for i, row in people], dtype=np.float64),
            np.array([tracks[i].keypoints[row] for i, row in people]).reshape(-1, keypoints, 2),
            np.array([tracks[i].keypoint_scores[row] for i, row in people]).reshape(-1, keypoints),
            np.array([tracks[i].id for i, _ in people], dtype=np.int64),
            np.array([smoothed[i][row] for i, row in people]).reshape(-1, keypoints, 2),
            origins=np.array([tracks[i].origins[row] for i, row in people], dtype=np.int8),
            keypoint_origins=np.array(
                [tracks[i].keypoint_origins[row] for i, row in people], dtype=np.int8
            ).reshape(-1, keypoints),
            appearance=np.array([tracks[i].appearance[row] for i, row in people]).reshape(len(people), looks),
        )
