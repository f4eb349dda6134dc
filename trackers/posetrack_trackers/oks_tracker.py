"""Identities from poses: OKS and box overlap with predicted poses, in two rounds of assignment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posetrack_trackers.matching import Indices, match_greedily, match_hungarian, without_rivals
from posetrack_trackers.motion import VAR, BodyFilters, Motion, X, Y
from posetrack_trackers.oks import Floats, box_iou

Ids = NDArray[np.int64]
_NOTHING: Indices = np.zeros(0, dtype=np.intp)
_LEAST = 1e-12
"""Pairs less similar than this never belong together, whatever the settings."""


@dataclass(frozen=True)
class Links:
    """What one frame's rows are: `ids` (N,), 0 for a row that is nobody (yet).

    `earlier` gives an id to rows of previous frames: (frames ago, row, id). A person is believed only after
    a few sightings, and then the first ones count too.
    """

    ids: Ids
    earlier: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class _Seen:
    """One frame's N people as the tracker needs them; K keypoints."""

    boxes: Floats
    scores: Floats
    points: Floats
    """(2, N, K + 2): keypoints, centre of the box, width and height of the box."""
    certainty: Floats
    """(N, K) keypoint scores within 0 to 1."""
    appearance: Floats | None
    """(N, D) of length 1."""

    def __len__(self) -> int:
        return len(self.boxes)


class OksTracker:
    """Links the poses of one video, frame by frame; ids start at 1, rise, and are never used again.

    The similarity of a track and a pose is a vote: each keypoint votes exp(-d^2 / (2 s^2 (k^2 + v))) (its
    term in OKS, with v the variance of the prediction, so that a long unseen person may be further off)
    with the product of the two keypoint scores as weight, and the boxes vote their IoU with weight
    `box_weight`. Sure keypoints decide; unsure ones leave it to the boxes. Confident poses are assigned
    first, weak ones to the tracks left over, as in ByteTrack (arXiv 2110.06864).

    sigmas: (K,) OKS sigmas. confident: least box score of the first round and of a new person. weak: least
    box score of the second round; poses below it are nobody. min_similarity, min_weak_similarity: least
    similarity of a match in the two rounds. box_weight: the boxes' vote, counted in keypoints.
    confirmations: sightings within `delay` + 1 frames that make a person. patience_seconds,
    patience_frames: a track unseen for longer than both ends. duplicate_similarity: a new pose this like a
    track that has its pose already is no new person. appearance_weight: vote, counted in keypoints, of the
    appearance columns where those are given: half of 1 plus the cosine of track and pose, each less the mean
    of all seen so far, so that only what tells people apart counts. matching: "hungarian", or "greedy" as published
    recipes do.
    """

    def __init__(
        self,
        *,
        sigmas: ArrayLike,
        confident: float = 0.5,
        weak: float = 0.1,
        min_similarity: float = 0.25,
        min_weak_similarity: float = 0.4,
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
            raise ValueError(f"confirmations must be 1 or more, got {confirmations}")
        if matching not in ("hungarian", "greedy"):
            raise ValueError(f"matching must be 'hungarian' or 'greedy', got {matching!r}")
        self.delay = 0 if confirmations == 1 else 2 * (confirmations - 1)
        """Frames after which no row's id changes any more."""
        self._keypoint_variances = (2.0 * np.asarray(sigmas, dtype=np.float64)) ** 2
        self._all_variances = np.append(self._keypoint_variances, [1.0, 1.0])
        self._confident, self._weak = confident, weak
        self._min_similarity, self._min_weak_similarity = min_similarity, min_weak_similarity
        self._box_weight, self._appearance_weight = box_weight, appearance_weight
        self._confirmations = confirmations
        self._patience_seconds, self._patience_frames = patience_seconds, patience_frames
        self._duplicate_similarity, self._stale = duplicate_similarity, stale
        self._match = match_hungarian if matching == "hungarian" else match_greedily
        self._bodies = BodyFilters(len(self._keypoint_variances), motion or Motion())
        self._frame = -1
        self._shot = 0  # its first frame
        self._seconds = 0.0
        self._next_id = 1
        # One entry a track, in the order of birth; id 0 is a candidate that is not believed yet.
        self._ids: Ids = np.zeros(0, dtype=np.int64)
        self._last_seconds: Floats = np.zeros(0)
        self._last_frame: Ids = np.zeros(0, dtype=np.int64)
        self._certainty: Floats = np.zeros((0, len(self._keypoint_variances)))
        self._appearance: Floats | None = None
        self._appearance_sum: Floats | float = 0.0
        self._appearance_count = 0
        self._sightings: list[list[tuple[int, int]]] = []

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
    ) -> Links:
        """Link the next frame's people; call it for every frame, also where there is nobody.

        boxes (N, 4) x1 y1 x2 y2, scores (N,), keypoints (N, K, 2) and keypoint_scores (N, K) 0 to 1, pixels
        of the frame. seconds: when the frame is shown; never before the previous one. camera_motion: (2, 3)
        affine map of the previous frame's pixels to this one's. appearance: (N, D), rows that are alike for
        the same person; give it for all frames of a video or for none.
        """
        elapsed = seconds - self._seconds if self._frame >= 0 else 0.0
        if elapsed < 0:
            raise ValueError(f"frame at {seconds} s came after the frame at {self._seconds} s")
        self._frame += 1
        self._seconds = seconds
        if camera_motion is not None:
            self._bodies.move_camera(camera_motion)
        self._bodies.predict(elapsed)

        if appearance is not None:
            appearance = self._less_the_mean(appearance)
        seen = _seen(boxes, scores, keypoints, keypoint_scores, appearance)
        similarity = self._similarity(seen)
        tracks, rows = self._assign(similarity, seen.scores)
        self._continue(tracks, rows, seen)
        newborn = self._newborn(tracks, rows, similarity, seen.scores)
        if len(newborn):
            tracks = np.append(tracks, np.arange(len(newborn)) + len(self._ids))
            rows = np.append(rows, newborn)
            self._give_birth(newborn, seen)
        earlier = self._confirm(tracks, rows)
        ids = np.zeros(len(boxes), dtype=np.int64)
        ids[rows] = self._ids[tracks]
        self._bury()
        return Links(ids, earlier)

    def finish(self) -> Links:
        """The video, or a shot of it, is over: candidates seen in every frame since their first become people after all.

        Not so who was seen in the last frame only, unless that is the shot's first, too.
        `earlier` counts from the last frame, which is 0 frames ago.
        """
        earlier: list[tuple[int, int, int]] = []
        for track in np.nonzero(self._ids == 0)[0].tolist():
            first, seen = self._sightings[track][0][0], len(self._sightings[track])
            if seen == self._frame - first + 1 and (seen > 1 or first == self._shot):
                earlier += self._believe(track)
        self.end_tracks()
        return Links(np.zeros(0, dtype=np.int64), earlier)

    def end_tracks(self) -> None:
        """Forget everybody, as at a cut in the film: whoever comes next is new."""
        self._shot = self._frame + 1
        self._keep(np.zeros(len(self._ids), dtype=bool))

    def _less_the_mean(self, appearance: Floats) -> Floats:
        """`appearance` (N, D) without what everybody seen so far has in common."""
        self._appearance_sum = self._appearance_sum + appearance.sum(axis=0)
        self._appearance_count += len(appearance)
        rest: Floats = appearance - self._appearance_sum / max(self._appearance_count, 1)
        return rest

    def _similarity(self, seen: _Seen) -> Floats:
        """Similarity (T, N) of tracks and people near each other; others have 0."""
        similarity = np.zeros((len(self._ids), len(seen)))
        if similarity.size == 0:
            return similarity
        state, count = self._bodies.state, len(self._keypoint_variances)
        centre, size = state[X : Y + 1, :, count], np.maximum(state[X : Y + 1, :, count + 1], 1.0)
        seen_size = seen.points[:, :, count + 1]
        away = centre[:, :, None] - seen.points[:, None, :, count]
        away *= away
        away[0] += away[1]
        area = np.sqrt(size[0] * size[1])[:, None] * np.sqrt(seen_size[0] * seen_size[1])
        reach = 2.0 + 4.0 * state[VAR, :, count]
        pairs = (away[0] < area * reach[:, None]).ravel().nonzero()[0]
        if len(pairs) == 0:
            return similarity
        track = pairs // len(seen)
        row = pairs - track * len(seen)

        # All K + 2 points are taken, the box's two for nothing, since whole rows are quicker than parts.
        spread = state[VAR].take(track, axis=0)
        spread += self._all_variances
        spread *= (-2.0 * area.take(pairs))[:, None]
        apart = state[: Y + 1].take(track, axis=1)
        apart -= seen.points.take(row, axis=1)
        apart *= apart
        apart[0] += apart[1]
        apart[0] /= spread
        weights = self._certainty.take(track, axis=0)
        weights *= seen.certainty.take(row, axis=0)
        near = np.exp(apart[0, :, :count])
        near *= weights
        size *= 0.5
        boxes = np.empty((4, len(self._ids)))
        np.subtract(centre, size, out=boxes[:2])
        np.add(centre, size, out=boxes[2:])
        overlap = box_iou(boxes.take(track, axis=1).T, seen.boxes.T.take(row, axis=1).T)
        overlap *= self._box_weight
        votes = np.add.reduce(near, axis=1)
        votes += overlap
        voters = np.add.reduce(weights, axis=1)
        voters += self._box_weight
        if seen.appearance is not None and self._appearance is not None:
            alike = np.einsum("pd,pd->p", self._appearance[track], seen.appearance[row])
            votes += self._appearance_weight * 0.5 * (1.0 + alike)
            voters += self._appearance_weight
        similarity.ravel()[pairs] = votes / np.maximum(voters, _LEAST)
        return similarity

    def _assign(self, similarity: Floats, scores: Floats) -> tuple[Indices, Indices]:
        """Tracks and rows that belong together: people and confident poses, weak poses, then candidates."""
        is_person, is_confident = self._ids > 0, scores >= self._confident
        rounds = (
            (is_person, is_confident, self._min_similarity),
            (is_person, scores >= self._weak, self._min_weak_similarity),
            (~is_person, is_confident, self._min_similarity),
        )
        free_track, free_row = np.ones(len(is_person), dtype=bool), np.ones(len(scores), dtype=bool)
        all_tracks, all_rows, left = [_NOTHING], [_NOTHING], len(scores)
        for of_tracks, of_rows, least in rounds:
            rows = (of_rows & free_row).nonzero()[0]
            if len(rows) == 0:
                continue
            tracks = (of_tracks & free_track).nonzero()[0]
            if len(tracks) == 0:
                continue
            table = similarity.take(tracks, axis=0).take(rows, axis=1)
            allowed = table >= max(least, _LEAST)
            chosen = without_rivals(allowed)
            if chosen is None:
                table *= allowed
                # Of two tracks that fit a pose alike, it is rather the one that was not lost.
                lost = self._frame - 1 - self._last_frame.take(tracks)
                table *= (1.0 / (1.0 + self._stale * lost))[:, None]
                chosen = self._match(table)
            tracks, rows = tracks.take(chosen[0]), rows.take(chosen[1])
            all_tracks.append(tracks)
            all_rows.append(rows)
            left -= len(rows)
            if left == 0:
                break
            free_track[tracks] = False
            free_row[rows] = False
        return np.concatenate(all_tracks), np.concatenate(all_rows)

    def _continue(self, tracks: Indices, rows: Indices, seen: _Seen) -> None:
        """Correct the matched tracks by what was seen of them."""
        if len(tracks) == 0:
            return
        certainty = seen.certainty.take(rows, axis=0)
        noise = self._bodies.noise_of(seen.scores[rows], certainty)
        self._bodies.correct(tracks, seen.points.take(rows, axis=1), noise)
        before = self._certainty.take(tracks, axis=0)
        certainty -= before
        certainty *= 0.5
        certainty += before
        self._certainty[tracks] = certainty
        self._last_frame[tracks] = self._frame
        self._last_seconds[tracks] = self._seconds
        if seen.appearance is not None and self._appearance is not None:
            self._appearance[tracks] = _unit(0.9 * self._appearance[tracks] + 0.1 * seen.appearance[rows])

    def _newborn(self, tracks: Indices, rows: Indices, similarity: Floats, scores: Floats) -> Indices:
        """Rows of confident poses that continue no track and do not repeat one that has its pose already."""
        is_new = scores >= self._confident
        is_new[rows] = False
        if len(tracks) and is_new.any():
            is_new &= similarity[tracks].max(axis=0) < self._duplicate_similarity
        return np.nonzero(is_new)[0]

    def _give_birth(self, rows: Indices, seen: _Seen) -> None:
        """Start a candidate for each of `rows`."""
        certainty = seen.certainty[rows]
        self._bodies.add(seen.points[:, rows], self._bodies.noise_of(seen.scores[rows], certainty))
        self._ids = np.append(self._ids, np.zeros(len(rows), dtype=np.int64))
        self._last_seconds = np.append(self._last_seconds, np.full(len(rows), self._seconds))
        self._last_frame = np.append(self._last_frame, np.full(len(rows), self._frame))
        self._certainty = np.concatenate([self._certainty, certainty])
        self._sightings += [[] for _ in rows]
        if seen.appearance is not None:
            known = seen.appearance[:0] if self._appearance is None else self._appearance
            self._appearance = np.concatenate([known, seen.appearance[rows]])

    def _confirm(self, tracks: Indices, rows: Indices) -> list[tuple[int, int, int]]:
        """Note the candidates' sightings; those with enough become people."""
        earlier: list[tuple[int, int, int]] = []
        is_candidate = self._ids[tracks] == 0
        if not is_candidate.any():
            return earlier
        pairs = zip(tracks[is_candidate].tolist(), rows[is_candidate].tolist(), strict=True)
        for track, row in sorted(pairs):
            self._sightings[track].append((self._frame, row))
            if len(self._sightings[track]) == self._confirmations:
                earlier += self._believe(track)
        return earlier

    def _believe(self, track: int) -> list[tuple[int, int, int]]:
        """Give a candidate its id; (frames ago, row, id) of its sightings."""
        number = self._next_id
        self._next_id += 1
        self._ids[track] = number
        return [(self._frame - frame, row, number) for frame, row in self._sightings[track]]

    def _bury(self) -> None:
        """End tracks unseen for too long, and candidates that cannot be confirmed in time any more."""
        missed = self._last_frame < self._frame
        if not missed.any():
            return
        is_dead = (self._seconds - self._last_seconds > self._patience_seconds) & (
            self._frame - self._last_frame > self._patience_frames
        )
        for track in np.nonzero(missed & (self._ids == 0))[0].tolist():
            frames_left = self._sightings[track][0][0] + self.delay - self._frame
            is_dead[track] = self._confirmations - len(self._sightings[track]) > frames_left
        if is_dead.any():
            self._keep(~is_dead)

    def _keep(self, alive: NDArray[np.bool_]) -> None:
        """Forget the tracks that are not `alive` (T,)."""
        self._bodies.keep(alive)
        self._ids = self._ids[alive]
        self._last_seconds = self._last_seconds[alive]
        self._last_frame = self._last_frame[alive]
        self._certainty = self._certainty[alive]
        self._sightings = [self._sightings[track] for track in np.nonzero(alive)[0]]
        if self._appearance is not None:
            self._appearance = self._appearance[alive]


def _seen(
    boxes: Floats, scores: Floats, keypoints: Floats, keypoint_scores: Floats, appearance: Floats | None
) -> _Seen:
    """The columns of `update` as the tracker needs them."""
    people, count = keypoint_scores.shape
    points = np.empty((2, people, count + 2))
    points[:, :, :count] = keypoints.transpose(2, 0, 1)
    corners = boxes.T.reshape(2, 2, people)
    points[:, :, count] = 0.5 * (corners[0] + corners[1])
    points[:, :, count + 1] = np.maximum(corners[1] - corners[0], 1.0)
    certainty = np.minimum(np.maximum(keypoint_scores, 0.0), 1.0)
    return _Seen(boxes, scores, points, certainty, None if appearance is None else _unit(appearance))


def _unit(rows: Floats) -> Floats:
    """Rows (N, D) scaled to length 1; rows of zeros stay."""
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-9)
