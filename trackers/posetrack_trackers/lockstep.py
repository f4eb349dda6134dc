"""OksTracker on many videos at once, frame by frame: for searches that link the same videos a thousand times.

The arithmetic is that of OksTracker, on the tracks and poses of all videos together: the cost of NumPy calls, which is
most of the cost of a frame with ten people, is shared. Tests compare the ids with those of OksTracker.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from posetrack_trackers.links import Ids
from posetrack_trackers.matching import Indices
from posetrack_trackers.motion import VAR, X, Y
from posetrack_trackers.oks import Floats, box_area
from posetrack_trackers.oks_tracker import _EPSILON, MIN_VISIBLE, OksTracker, _as_poses, _Poses

_Pairs = tuple[Indices, Indices, Floats]
"""Tracks, rows and similarities (P,) of pairs of one video, sorted by track."""


class LockstepTracker(OksTracker):
    """Links V videos; frame k of all of them is one `step`. Poses have no appearance.

    `ids` (R,) are the ids of all poses, by the numbers that `step` gets; 0 without an identity. They are final after
    `end_video` of their video. Ids start at 1 in every video.

    Args:
        videos: V.
        rows: R.
        settings: as for OksTracker.
    """

    def __init__(self, videos: int, rows: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.ids: Ids = np.zeros(rows, dtype=np.int64)
        self._video: Ids = np.zeros(0, dtype=np.int64)  # of each track
        self._videos_seconds: Floats = np.zeros(videos)
        self._videos_first_frame = np.zeros(videos, dtype=np.int64)
        self._videos_next_id = np.ones(videos, dtype=np.int64)

    def step(
        self,
        numbers: Ids,
        video: Ids,
        boxes: Floats,
        scores: Floats,
        keypoints: Floats,
        keypoint_scores: Floats,
        seconds: Floats,
        camera_motion: Floats,
        frame_sizes: Floats,
    ) -> None:
        """Link the next frame of all videos.

        Args:
            numbers: (N,) the number of each pose.
            video: (N,) its video, rising.
            boxes: (N, 4), like the next three as for `OksTracker.update`.
            scores: (N,).
            keypoints: (N, K, 2).
            keypoint_scores: (N, K).
            seconds: (V,) time of the frame in each video.
            camera_motion: (V, 2, 3) from pixels of the previous frame.
            frame_sizes: (V, 2) width and height; infinite if unknown.
        """
        elapsed = seconds - self._videos_seconds if self._frame >= 0 else np.zeros(len(seconds))
        self._frame += 1
        self._videos_seconds = seconds
        if (camera_motion != np.eye(2, 3)).any():
            self._bodies.move_cameras(camera_motion[self._video])
        self._bodies.predict(elapsed[self._video][:, None])
        poses = _as_poses(boxes, scores, keypoints, keypoint_scores, None)
        pairs = self._similar_pairs(poses, video)
        row_of_track = self._assign_pairs(pairs, poses.scores, video)
        tracks = np.nonzero(row_of_track >= 0)[0]
        rows = row_of_track[tracks]
        self._update_tracks(tracks, rows, poses)
        new_rows = self._rows_of_new_tracks(pairs, row_of_track, poses.scores)
        if len(new_rows):
            new_tracks = self._start_tracks(new_rows, poses)
            self._video = np.append(self._video, video[new_rows])
            tracks, rows = np.append(tracks, new_tracks), np.append(rows, new_rows)
        self._last_seconds[tracks] = seconds[self._video[tracks]]
        self._sight(tracks, numbers[rows])
        self._remove_lost_tracks(frame_sizes)

    def end_video(self, video: int) -> None:
        """End a video or a shot of it, as `OksTracker.finish`."""
        for track in np.nonzero((self._video == video) & (self._ids == 0))[0].tolist():
            first, sightings = self._sightings[track][0][0], len(self._sightings[track])
            is_in_every_frame = sightings == self._frame - first + 1
            if is_in_every_frame and (sightings > 1 or first == self._videos_first_frame[video]):
                self._give_id(track)
        self._videos_first_frame[video] = self._frame + 1
        self._keep_tracks(self._video != video)

    def _similar_pairs(self, poses: _Poses, video: Ids) -> _Pairs:
        """The pairs worth comparing; see `OksTracker._near_pairs`."""
        first = np.searchsorted(video, self._video)
        count = np.searchsorted(video, self._video, side="right") - first
        tracks = np.repeat(np.arange(len(self._ids)), count)
        rows = np.arange(len(tracks)) - np.repeat(np.cumsum(count) - count - first, count)
        centre, state = len(self._keypoint_variances), self._bodies.state
        offset = state[X : Y + 1, tracks, centre] - poses.points[:, rows, centre]
        track_areas, pose_areas = self._bodies.sizes.prod(axis=0), poses.points[:, :, centre + 1].prod(axis=0)
        area = np.sqrt(track_areas)[tracks] * np.sqrt(pose_areas)[rows]
        is_near = (offset**2).sum(axis=0) < area * (2.0 + 4.0 * state[VAR, tracks, centre])
        tracks, rows, area = tracks[is_near], rows[is_near], area[is_near]
        return tracks, rows, self._pair_similarity(poses, tracks, rows, area)

    def _assign_pairs(self, pairs: _Pairs, scores: Floats, video: Ids) -> Indices:
        """(T,) the row of every track, -1 without one; the three rounds of `OksTracker._assign`."""
        tracks, rows, similarity = pairs
        is_confirmed, is_high = self._ids > 0, scores >= self._high_score
        preference = similarity * (1.0 / (1.0 + self._stale * (self._frame - 1 - self._last_frame)))[tracks]
        row_of_track = np.full(len(self._ids), -1)
        is_free_row = np.ones(len(scores), dtype=bool)
        for tracks_of_round, rows_of_round, lowest in (
            (is_confirmed, is_high, self._min_similarity),
            (is_confirmed, scores >= self._low_score, self._min_low_score_similarity),
            (~is_confirmed, is_high, self._min_similarity),
        ):
            use = (tracks_of_round & (row_of_track < 0))[tracks] & (rows_of_round & is_free_row)[rows]
            use &= (similarity >= max(lowest, _EPSILON)) & (preference > 0)
            chosen = np.nonzero(use)[0]
            chosen = chosen[self._matching(tracks[chosen], rows[chosen], preference[chosen], video)]
            row_of_track[tracks[chosen]] = rows[chosen]
            is_free_row[rows[chosen]] = False
        return row_of_track

    def _matching(self, tracks: Indices, rows: Indices, preference: Floats, video: Ids) -> Indices:
        """Which of the pairs are matched: those that nothing competes with at once, the rest video by video."""
        if len(tracks) == 0:
            return np.zeros(0, dtype=np.intp)
        is_alone = (np.bincount(tracks)[tracks] == 1) & (np.bincount(rows)[rows] == 1)
        rest = np.nonzero(~is_alone)[0]
        found = [np.nonzero(is_alone)[0]]
        of_video = video[rows[rest]]  # rising, or not, as the tracks are in the order of their starts
        for number in np.unique(of_video).tolist():
            part = rest[of_video == number]
            one, i = np.unique(tracks[part], return_inverse=True)
            other, j = np.unique(rows[part], return_inverse=True)
            table, pair = np.zeros((len(one), len(other))), np.full((len(one), len(other)), -1)
            table[i, j], pair[i, j] = preference[part], part
            found.append(pair[self._match(table)])
        return np.concatenate(found)

    def _rows_of_new_tracks(self, pairs: _Pairs, row_of_track: Indices, scores: Floats) -> Indices:
        """See `OksTracker._new_rows`."""
        tracks, rows, similarity = pairs
        is_new = scores >= self._high_score
        is_matched = row_of_track >= 0
        is_new[row_of_track[is_matched]] = False
        similar = is_matched[tracks] & (similarity >= self._duplicate_similarity)
        is_new[rows[similar]] = False
        return np.nonzero(is_new)[0]

    def _sight(self, tracks: Indices, numbers: Ids) -> None:
        """Count a sighting of each tentative track, confirm those that have enough, and write the ids."""
        tentative = self._ids[tracks] == 0
        for track, number in sorted(
            zip(tracks[tentative].tolist(), numbers[tentative].tolist(), strict=True)
        ):
            self._sightings[track].append((self._frame, number))
            if len(self._sightings[track]) == self._confirmations:
                self._give_id(track)
        self.ids[numbers] = self._ids[tracks]

    def _give_id(self, track: int) -> None:
        video = self._video[track]
        self._ids[track] = self._videos_next_id[video]
        self._videos_next_id[video] += 1
        self.ids[[number for _, number in self._sightings[track]]] = self._ids[track]

    def _remove_lost_tracks(self, frame_sizes: Floats) -> None:
        """See `OksTracker._remove_lost`."""
        seconds = self._videos_seconds[self._video]
        frames_lost = self._frame - self._last_frame
        is_lost = (seconds - self._last_seconds > self._patience_seconds) & (
            frames_lost > self._patience_frames
        )
        for track in np.nonzero((self._ids == 0) & (frames_lost > 0))[0].tolist():
            sightings = self._sightings[track]
            frames_left = sightings[0][0] + self.delay - self._frame
            is_lost[track] = self._confirmations - len(sightings) > frames_left
        sizes = np.tile(frame_sizes[self._video], 2)
        visible = np.minimum(np.maximum(self._bodies.boxes, 0.0), sizes)
        share = np.maximum(visible[:, 2:] - visible[:, :2], 0.0).prod(axis=1) / box_area(self._bodies.boxes)
        is_lost |= (frames_lost > 0) & np.isfinite(sizes[:, 0]) & (share < MIN_VISIBLE)
        if is_lost.any():
            self._keep_tracks(~is_lost)

    def _keep_tracks(self, kept: Any) -> None:
        super()._keep_tracks(kept)
        self._video = self._video[kept]
