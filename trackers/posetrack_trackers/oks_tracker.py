"""Links the poses of a video by OKS and box overlap with the positions that a motion model predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posetrack_trackers.links import Expected, Ids, Links
from posetrack_trackers.matching import Indices, match_greedily, match_hungarian
from posetrack_trackers.motion import VAR, BodyFilters, Motion, X, Y
from posetrack_trackers.oks import Floats, box_area, box_iou

MIN_VISIBLE = 0.5
"""A lost track with a smaller share of its expected box in the frame has left."""
_EPSILON = 1e-12
"""Smallest denominator, and lowest similarity of a match whatever the settings."""


@dataclass(frozen=True)
class _Poses:
    """The N poses of one frame as the tracker needs them; K keypoints."""

    boxes: Floats
    scores: Floats
    points: Floats
    """(2, N, K + 2): keypoints, centre of the box, width and height of the box."""
    keypoint_scores: Floats
    """(N, K) from 0 to 1."""
    appearance: Floats | None
    """(N, D), rows of length 1."""

    def __len__(self) -> int:
        return len(self.boxes)


class OksTracker:
    """Links the poses of one video, frame by frame. Ids start at 1, increase, and are never reused.

    The similarity of a track and a pose is a weighted mean. Each keypoint adds its OKS term
    exp(-d^2 / (2 s^2 (k^2 + v))), where v is the variance of the predicted position: a track not seen for a while
    may be further off. Its weight is the product of the two keypoint scores. The boxes add their IoU with weight
    `box_weight`, which decides where keypoints score low.

    High-score poses are matched first; low-score poses may only continue the confirmed tracks left over, as in
    ByteTrack (arXiv 2110.06864). An unmatched high-score pose starts a tentative track. A track gets its id when it
    is confirmed, after `confirmations` sightings.

    Args:
        sigmas: (K,) OKS sigmas.
        high_score: lowest box score of a high-score pose.
        low_score: lowest box score of a low-score pose; poses below get no id.
        min_similarity: lowest similarity of a match with a high-score pose.
        min_low_score_similarity: lowest similarity of a match with a low-score pose.
        box_weight: weight of the boxes, where a keypoint of score 1 weighs 1.
        confirmations: sightings, within `delay` + 1 frames, that confirm a track; 1 gives every track its id at once.
        patience_seconds: a track not seen for longer than this and for more than `patience_frames` is removed.
        patience_frames: see `patience_seconds`.
        duplicate_similarity: a pose this similar to a matched track is a duplicate and starts no track.
        stale: how fast a lost track loses priority: similarities count 1 / (1 + stale * frames lost).
        appearance_weight: weight of the appearance, if it is given: (1 + cosine) / 2 of the appearance of track and
            pose, each minus the mean of all poses so far, so that only differences between people count.
        matching: "hungarian", or "greedy" as in published recipes.
        motion: how people move.

    Raises ValueError if `confirmations` or `matching` is invalid.
    """

    def __init__(
        self,
        *,
        sigmas: ArrayLike,
        high_score: float = 0.5,
        low_score: float = 0.1,
        min_similarity: float = 0.25,
        min_low_score_similarity: float = 0.4,
        box_weight: float = 3.0,
        confirmations: int = 3,
        patience_seconds: float = 3.0,
        patience_frames: int = 3,
        duplicate_similarity: float = 0.7,
        stale: float = 0.06,
        appearance_weight: float = 5.0,
        matching: Literal["hungarian", "greedy"] = "hungarian",
        motion: Motion | None = None,
    ) -> None:
        if confirmations < 1:
            raise ValueError(f"confirmations must be at least 1, got {confirmations}")
        if matching not in ("hungarian", "greedy"):
            raise ValueError(f"matching must be 'hungarian' or 'greedy', got {matching!r}")
        self.delay = 2 * (confirmations - 1)
        """Number of frames after which the ids of a frame are final."""
        self._keypoint_variances = (2.0 * np.asarray(sigmas, dtype=np.float64)) ** 2
        self._high_score, self._low_score = high_score, low_score
        self._min_similarity, self._min_low_score_similarity = min_similarity, min_low_score_similarity
        self._box_weight, self._appearance_weight = box_weight, appearance_weight
        self._confirmations = confirmations
        self._patience_seconds, self._patience_frames = patience_seconds, patience_frames
        self._duplicate_similarity, self._stale = duplicate_similarity, stale
        self._match = match_hungarian if matching == "hungarian" else match_greedily
        self._frame = -1
        self._first_frame = 0  # of this shot
        self._seconds = 0.0
        self._next_id = 1
        self._appearance_sum: Floats | float = 0.0
        self._appearance_count = 0
        # One entry per track, oldest first. Tentative tracks have id 0.
        self._bodies = BodyFilters(len(self._keypoint_variances), motion or Motion())
        self._ids: Ids = np.zeros(0, dtype=np.int64)
        self._last_seconds: Floats = np.zeros(0)
        self._last_frame: Ids = np.zeros(0, dtype=np.int64)
        self._scores: Floats = np.zeros(0)  # box scores of the last matched poses
        self._keypoint_scores: Floats = np.zeros((0, len(self._keypoint_variances)))
        self._appearance: Floats | None = None
        self._sightings: list[list[tuple[int, int]]] = []  # (frame, row), until the track is confirmed

    def update(
        self,
        boxes: Floats,
        scores: Floats,
        keypoints: Floats,
        keypoint_scores: Floats,
        seconds: float,
        *,
        camera_motion: Floats | None = None,
        appearance: Floats | None = None,
        frame_size: tuple[int, int] | None = None,
    ) -> Links:
        """Link the poses of the next frame. Call it for every frame, including frames without people.

        Args:
            boxes: (N, 4) x1 y1 x2 y2 in pixels.
            scores: (N,) box scores.
            keypoints: (N, K, 2) in pixels.
            keypoint_scores: (N, K), clipped to 0 to 1.
            seconds: time of the frame, not before the previous one.
            camera_motion: (2, 3) affine map from pixels of the previous frame to pixels of this frame.
            appearance: (N, D), similar for poses of the same person. Give it for all frames of a video or for none.
            frame_size: width and height; a track that is lost and expected outside the frame has left, and ends.

        Raises ValueError if `seconds` decreases.
        """
        elapsed = self._elapsed(seconds)
        self._frame += 1
        self._seconds = seconds
        if camera_motion is not None:
            self._bodies.move_camera(camera_motion)
        self._bodies.predict(elapsed)

        if appearance is not None:
            appearance = self._without_mean(appearance)
        poses = _as_poses(boxes, scores, keypoints, keypoint_scores, appearance)
        similarity = self._similarity(poses)
        tracks, rows = self._assign(similarity, poses.scores)
        self._update_tracks(tracks, rows, poses)
        new_rows = self._new_rows(tracks, rows, similarity, poses.scores)
        if len(new_rows):
            new_tracks = self._start_tracks(new_rows, poses)
            tracks, rows = np.append(tracks, new_tracks), np.append(rows, new_rows)
        earlier = self._add_sightings(tracks, rows)
        ids = np.zeros(len(poses), dtype=np.int64)
        ids[rows] = self._ids[tracks]
        self._remove_lost(frame_size)
        return Links(ids, earlier)

    def expect(self, seconds: float, *, camera_motion: Floats | None = None) -> Expected:
        """Where the tracks, tentative ones included, should be in the next frame; `update` is still to come.

        Args:
            seconds: time of the next frame.
            camera_motion: as for `update`.

        Raises ValueError if `seconds` decreases.
        """
        bodies = self._bodies.copy()
        if camera_motion is not None:
            bodies.move_camera(camera_motion)
        bodies.predict(self._elapsed(seconds))
        return Expected(
            bodies.boxes,
            bodies.keypoints,
            self._scores.copy(),
            self._keypoint_scores.copy(),
            seconds - self._last_seconds,
        )

    def finish(self) -> Links:
        """End the video or a shot of it; the ids that became known are in `earlier`, counted from the last frame.

        Confirms the tentative tracks that were seen in every frame since they started, except those seen in the last
        frame only (unless the shot has just that frame).
        """
        earlier: list[tuple[int, int, int]] = []
        for track in np.nonzero(self._ids == 0)[0].tolist():
            first, sightings = self._sightings[track][0][0], len(self._sightings[track])
            is_in_every_frame = sightings == self._frame - first + 1
            if is_in_every_frame and (sightings > 1 or first == self._first_frame):
                earlier += self._confirm(track)
        self.end_tracks()
        return Links(np.zeros(0, dtype=np.int64), earlier)

    def end_tracks(self) -> None:
        """Remove all tracks, as at a cut: everyone in the next frame gets a new id."""
        self._first_frame = self._frame + 1
        self._keep_tracks(np.zeros(len(self._ids), dtype=bool))

    def _elapsed(self, seconds: float) -> float:
        """Time since the previous frame."""
        elapsed = seconds - self._seconds if self._frame >= 0 else 0.0
        if elapsed < 0:
            raise ValueError(f"frame times must not decrease, got {seconds} s after {self._seconds} s")
        return elapsed

    def _without_mean(self, appearance: Floats) -> Floats:
        """`appearance` (N, D) minus the mean of all poses so far."""
        self._appearance_sum = self._appearance_sum + appearance.sum(axis=0)
        self._appearance_count += len(appearance)
        difference: Floats = appearance - self._appearance_sum / max(self._appearance_count, 1)
        return difference

    def _similarity(self, poses: _Poses) -> Floats:
        """Similarity (T, N) of tracks and poses; 0 for pairs that are far apart."""
        tracks, rows, area = self._near_pairs(poses)
        similarity = np.zeros((len(self._ids), len(poses)))
        similarity[tracks, rows] = self._pair_similarity(poses, tracks, rows, area)
        return similarity

    def _pair_similarity(self, poses: _Poses, tracks: Indices, rows: Indices, area: Floats) -> Floats:
        """Similarity (P,) of pairs of a track and a row; `area` (P,) is their s^2."""
        state, count = self._bodies.state, len(self._keypoint_variances)
        offset = state[X : Y + 1, tracks, :count] - poses.points[:, rows, :count]
        variances = self._keypoint_variances + state[VAR, tracks, :count]
        oks_terms = np.exp(-(offset**2).sum(axis=0) / (2.0 * area[:, None] * variances))
        weights = self._keypoint_scores[tracks] * poses.keypoint_scores[rows]
        iou = box_iou(self._bodies.boxes[tracks], poses.boxes[rows])
        total = (weights * oks_terms).sum(axis=1) + self._box_weight * iou
        total_weight = weights.sum(axis=1) + self._box_weight
        if self._appearance is not None and poses.appearance is not None:
            cosine = np.einsum("pd,pd->p", self._appearance[tracks], poses.appearance[rows])
            total += self._appearance_weight * 0.5 * (1.0 + cosine)
            total_weight += self._appearance_weight
        similarity: Floats = total / np.maximum(total_weight, _EPSILON)
        return similarity

    def _near_pairs(self, poses: _Poses) -> tuple[Indices, Indices, Floats]:
        """Tracks and rows (P,) of the pairs worth comparing, and their area (P,), the s^2 of the OKS.

        The centres of the boxes are at most 1.4 body sizes apart, or further if the prediction is uncertain.
        """
        centre = len(self._keypoint_variances)
        state = self._bodies.state
        offset = state[X : Y + 1, :, centre, None] - poses.points[:, None, :, centre]
        track_areas, pose_areas = self._bodies.sizes.prod(axis=0), poses.points[:, :, centre + 1].prod(axis=0)
        area = np.sqrt(track_areas)[:, None] * np.sqrt(pose_areas)  # geometric mean
        limit = area * (2.0 + 4.0 * state[VAR, :, centre, None])
        tracks, rows = np.nonzero((offset**2).sum(axis=0) < limit)
        return tracks, rows, area[tracks, rows]

    def _assign(self, similarity: Floats, scores: Floats) -> tuple[Indices, Indices]:
        """Match tracks with poses in three rounds; the tracks and rows of the matches."""
        is_confirmed, is_high = self._ids > 0, scores >= self._high_score
        rounds = (
            (is_confirmed, is_high, self._min_similarity),
            (is_confirmed, scores >= self._low_score, self._min_low_score_similarity),
            (~is_confirmed, is_high, self._min_similarity),
        )
        # Of two tracks that are equally similar to a pose, prefer the one seen more recently.
        frames_lost = self._frame - 1 - self._last_frame
        preference = similarity * (1.0 / (1.0 + self._stale * frames_lost))[:, None]
        row_of_track = np.full(len(self._ids), -1)
        is_free_row = np.ones(len(scores), dtype=bool)
        for tracks_of_round, rows_of_round, min_similarity in rounds:
            tracks = np.nonzero(tracks_of_round & (row_of_track < 0))[0]
            rows = np.nonzero(rows_of_round & is_free_row)[0]
            if len(tracks) == 0 or len(rows) == 0:
                continue
            table = np.ix_(tracks, rows)
            is_allowed = similarity[table] >= max(min_similarity, _EPSILON)
            matched_tracks, matched_rows = self._match(np.where(is_allowed, preference[table], 0.0))
            row_of_track[tracks[matched_tracks]] = rows[matched_rows]
            is_free_row[rows[matched_rows]] = False
        matched = np.nonzero(row_of_track >= 0)[0]
        return matched, row_of_track[matched]

    def _update_tracks(self, tracks: Indices, rows: Indices, poses: _Poses) -> None:
        """Correct the matched tracks by their poses."""
        scores = poses.keypoint_scores[rows]
        variances = self._bodies.measurement_variances(poses.scores[rows], scores)
        self._bodies.correct(tracks, poses.points[:, rows], variances)
        self._scores[tracks] = poses.scores[rows]
        self._keypoint_scores[tracks] += 0.5 * (scores - self._keypoint_scores[tracks])
        self._last_frame[tracks] = self._frame
        self._last_seconds[tracks] = self._seconds
        if self._appearance is not None and poses.appearance is not None:
            mean = 0.9 * self._appearance[tracks] + 0.1 * poses.appearance[rows]
            self._appearance[tracks] = _unit_rows(mean)

    def _new_rows(self, tracks: Indices, rows: Indices, similarity: Floats, scores: Floats) -> Indices:
        """Rows of the unmatched high-score poses, without duplicates of the matched `tracks`."""
        is_new = scores >= self._high_score
        is_new[rows] = False
        if len(tracks):
            is_new &= similarity[tracks].max(axis=0) < self._duplicate_similarity
        return np.nonzero(is_new)[0]

    def _start_tracks(self, rows: Indices, poses: _Poses) -> Indices:
        """Start a tentative track for each of `rows`; their indices."""
        scores = poses.keypoint_scores[rows]
        variances = self._bodies.measurement_variances(poses.scores[rows], scores)
        self._bodies.add(poses.points[:, rows], variances)
        self._ids = np.append(self._ids, np.zeros(len(rows), dtype=np.int64))
        self._last_seconds = np.append(self._last_seconds, np.full(len(rows), self._seconds))
        self._last_frame = np.append(self._last_frame, np.full(len(rows), self._frame))
        self._scores = np.append(self._scores, poses.scores[rows])
        self._keypoint_scores = np.concatenate([self._keypoint_scores, scores])
        self._sightings += [[] for _ in rows]
        if poses.appearance is not None:
            stored = poses.appearance[:0] if self._appearance is None else self._appearance
            self._appearance = np.concatenate([stored, poses.appearance[rows]])
        return np.arange(len(self._ids) - len(rows), len(self._ids))

    def _add_sightings(self, tracks: Indices, rows: Indices) -> list[tuple[int, int, int]]:
        """Count a sighting of each tentative track among `tracks`; confirm the tracks that have enough."""
        earlier: list[tuple[int, int, int]] = []
        for track, row in sorted(zip(tracks.tolist(), rows.tolist(), strict=True)):
            if self._ids[track] == 0:
                self._sightings[track].append((self._frame, row))
                if len(self._sightings[track]) == self._confirmations:
                    earlier += self._confirm(track)
        return earlier

    def _confirm(self, track: int) -> list[tuple[int, int, int]]:
        """Give a tentative track its id; (frames ago, row, id) of its sightings."""
        number = self._next_id
        self._next_id += 1
        self._ids[track] = number
        return [(self._frame - frame, row, number) for frame, row in self._sightings[track]]

    def _remove_lost(self, frame_size: tuple[int, int] | None) -> None:
        """Remove tracks not seen for too long, and tentative tracks that can no longer be confirmed in time."""
        frames_lost = self._frame - self._last_frame
        is_lost = (self._seconds - self._last_seconds > self._patience_seconds) & (
            frames_lost > self._patience_frames
        )
        if frame_size is not None:
            is_lost |= (frames_lost > 0) & (_visible_share(self._bodies.boxes, frame_size) < MIN_VISIBLE)
        for track in np.nonzero((self._ids == 0) & (frames_lost > 0))[0].tolist():
            sightings = self._sightings[track]
            frames_left = sightings[0][0] + self.delay - self._frame
            is_lost[track] = self._confirmations - len(sightings) > frames_left
        if is_lost.any():
            self._keep_tracks(~is_lost)

    def _keep_tracks(self, kept: NDArray[np.bool_]) -> None:
        """Remove the tracks for which `kept` (T,) is False."""
        self._bodies.keep(kept)
        self._ids = self._ids[kept]
        self._last_seconds = self._last_seconds[kept]
        self._last_frame = self._last_frame[kept]
        self._scores = self._scores[kept]
        self._keypoint_scores = self._keypoint_scores[kept]
        self._sightings = [self._sightings[track] for track in np.nonzero(kept)[0]]
        if self._appearance is not None:
            self._appearance = self._appearance[kept]


def _as_poses(
    boxes: Floats, scores: Floats, keypoints: Floats, keypoint_scores: Floats, appearance: Floats | None
) -> _Poses:
    """The columns of `update` as the tracker needs them."""
    low, high = boxes[:, :2].T, boxes[:, 2:].T
    centres, sizes = 0.5 * (low + high), np.maximum(high - low, 1.0)
    columns = [keypoints.transpose(2, 0, 1), centres[:, :, None], sizes[:, :, None]]
    points = np.concatenate(columns, axis=2, dtype=np.float64)
    if appearance is not None:
        appearance = _unit_rows(appearance)
    return _Poses(boxes, scores, points, np.clip(keypoint_scores, 0.0, 1.0), appearance)


def _unit_rows(rows: Floats) -> Floats:
    """Rows (N, D) scaled to length 1; zero rows stay zero."""
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-9)


def _visible_share(boxes: Floats, size: tuple[int, int]) -> Floats:
    """(T,) share of each box (T, 4) that lies in a frame of `size` (width, height)."""
    share: Floats = np.maximum(boxes[:, 2:].clip(0, size) - boxes[:, :2].clip(0, size), 0.0).prod(
        axis=1
    ) / box_area(boxes)
    return share
