"""The people that a protocol scores, of all videos, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.evaluation.posetrack.ignore_regions import inside_any
from posetrack_app.evaluation.posetrack.protocols import Protocol
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS, PoseSequence

JOINTS = len(SCORED_KEYPOINTS)


@dataclass(frozen=True, eq=False)
class People:
    """The scored people of all videos, sorted by frame.

    `frame` (N,) is an index into the kept frames of all videos, `track` (N,) an index into `track_ids` (T,), the ids in the
    files. `person_ids` (N,) are the same in all videos, -1 if the files do not have them. `present` (N, 15) and `scores`
    (N, 15) are as in PoseSequence; `keypoints` (N, 15, 2) are NaN if not present. `head_sizes` (N,) are 0.6 times the
    diagonal of the head box, NaN without one.
    """

    frame: IntArray
    track: IntArray
    track_ids: IntArray
    person_ids: IntArray
    keypoints: FloatArray
    present: BoolArray
    scores: FloatArray
    head_sizes: FloatArray


@dataclass(frozen=True, eq=False)
class Scene:
    """Ground truth and predictions of all videos; arrays over frames have the kept frames only."""

    names: list[str]
    frame_video: IntArray
    frame_number: IntArray
    frame_names: list[str]
    truth: People
    predicted: People

    def place(self, frame: int) -> str:
        """Video, number and name of a kept frame, for messages."""
        video = self.names[self.frame_video[frame]]
        return f"{video}: frame {self.frame_number[frame]} ({self.frame_names[frame]})"

    def frames_per_video(self) -> IntArray:
        return np.bincount(self.frame_video, minlength=len(self.names))


@dataclass(frozen=True, eq=False)
class SequencePair:
    """One video: its ground truth and its predictions, frames paired."""

    truth: PoseSequence
    predicted: PoseSequence


def build_scene(
    pairs: Sequence[SequencePair], protocol: Protocol, keypoint_threshold: float | None = None
) -> Scene:
    """Keep the frames, people and keypoints that count, without predicted keypoints below the threshold.

    A predicted person without a keypoint above the threshold is dropped.
    """
    frame_video, frame_number, frame_names = [], [], []
    truths, predictions = [], []
    start = 0
    for video, pair in enumerate(pairs):
        keep = protocol.kept_frames(pair.truth)
        numbers = np.flatnonzero(keep)
        position = np.full(len(keep), -1)
        position[numbers] = start + np.arange(len(numbers))
        start += len(numbers)
        frame_video.append(np.full(len(numbers), video))
        frame_number.append(numbers)
        frame_names += [pair.truth.rows.frame_names[k] for k in numbers.tolist()]
        truths.append(_kept_people(pair.truth, pair.truth, position, protocol, None))
        predictions.append(_kept_people(pair.predicted, pair.truth, position, protocol, keypoint_threshold))
    scene = Scene(
        names=[pair.truth.name for pair in pairs],
        frame_video=np.concatenate([np.zeros(0, np.int64), *frame_video]),
        frame_number=np.concatenate([np.zeros(0, np.int64), *frame_number]),
        frame_names=frame_names,
        truth=_pool([pair.truth for pair in pairs], truths),
        predicted=_pool([pair.predicted for pair in pairs], predictions, protocol.cuts_integer_frames),
    )
    _check_head_boxes(scene, pairs, truths)
    return scene


@dataclass(frozen=True, eq=False)
class _Kept:
    rows: IntArray
    frame: IntArray
    present: BoolArray


def _kept_people(
    sequence: PoseSequence,
    truth: PoseSequence,
    position: IntArray,
    protocol: Protocol,
    threshold: float | None,
) -> _Kept:
    """People in kept frames with points; if the frame has ignore regions, with a point outside of them."""
    present = protocol.present(sequence)
    keep = sequence.has_points & (position[sequence.frame] >= 0)
    if threshold is not None:
        had_keypoints = present.any(axis=1)
        present = present & (sequence.scores >= threshold)
        keep &= present.any(axis=1) | ~had_keypoints
    if truth.ignore_regions:
        present = present.copy()
        bounds = np.searchsorted(sequence.frame, np.arange(sequence.frame_count + 1))
        for frame, polygons in truth.ignore_regions.items():
            here = slice(bounds[frame], bounds[frame + 1])
            if position[frame] >= 0 and here.start < here.stop:
                points = sequence.keypoints[here].reshape(-1, 2)
                present[here] &= ~inside_any(points, polygons).reshape(-1, JOINTS)
                keep[here] &= present[here].any(axis=1)
    rows = np.flatnonzero(keep)
    return _Kept(rows, position[sequence.frame[rows]], present[rows])


def _pool(
    sequences: Sequence[PoseSequence], kept: Sequence[_Kept], cuts_integer_frames: bool = False
) -> People:
    """The kept people of all videos; each track gets a number of its own."""
    parts = [
        _people(sequence, part, cuts_integer_frames) for sequence, part in zip(sequences, kept, strict=True)
    ]
    parts.append(_no_people())
    counts = [len(part.track_ids) for part in parts]
    first_tracks = np.cumsum(counts) - counts
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(People)
    }
    columns["track"] += np.repeat(first_tracks, [len(part.track) for part in parts])
    return People(**columns)


def _people(sequence: PoseSequence, kept: _Kept, cuts_integer_frames: bool) -> People:
    """The kept people of one video; `cuts_integer_frames` as the PoseTrack21 kit cuts scores (see `Protocol`)."""
    scores = sequence.scores[kept.rows]
    if cuts_integer_frames:
        scores = np.where(sequence.integer_frame[kept.rows, None], np.trunc(scores), scores)
    track_ids, track = np.unique(sequence.ids[kept.rows], return_inverse=True)
    keypoints = sequence.keypoints[kept.rows]
    keypoints[~kept.present] = np.nan
    boxes = sequence.head_boxes[kept.rows]
    sides = boxes[:, 2:] - boxes[:, :2]
    return People(
        frame=kept.frame,
        track=track.reshape(-1),
        track_ids=track_ids,
        person_ids=sequence.person_ids[kept.rows],
        keypoints=keypoints,
        present=kept.present,
        scores=scores,
        head_sizes=0.6 * np.sqrt(sides[:, 0] ** 2 + sides[:, 1] ** 2),
    )


def _no_people() -> People:
    """Empty columns, so that zero videos can be joined too."""
    none = np.zeros(0, np.int64)
    table = np.zeros((0, JOINTS))
    return People(none, none, none, none, np.zeros((0, JOINTS, 2)), table.astype(bool), table, np.zeros(0))


def _check_head_boxes(scene: Scene, pairs: Sequence[SequencePair], truths: Sequence[_Kept]) -> None:
    """Distances are in head sizes, so every person in a frame with predictions needs a head box."""
    predicted = np.zeros(len(scene.frame_video), bool)
    predicted[scene.predicted.frame] = True
    invalid = np.isnan(scene.truth.head_sizes) & predicted[scene.truth.frame]
    if invalid.any():
        first = int(np.flatnonzero(invalid)[0])
        video = scene.frame_video[scene.truth.frame[first]]
        earlier = sum(len(part.rows) for part in truths[:video])
        row = int(truths[video].rows[first - earlier])
        pairs[video].truth.rows.fail(
            row,
            "has no head box (PoseTrack18 'bbox_head', PoseTrack17 x1 y1 x2 y2); distances need it",
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of keypoints that are close enough to match, sorted by predicted person, then by true person.

    `truth` and `predicted` (E,) are rows of the scene's people; `joint` (E,); `distance` (E,) in head sizes.
    """

    truth: IntArray
    predicted: IntArray
    joint: IntArray
    distance: FloatArray

    def __getitem__(self, rows: BoolArray | IntArray) -> Candidates:
        return Candidates(self.truth[rows], self.predicted[rows], self.joint[rows], self.distance[rows])


_PAIRS_PER_BLOCK = 1 << 16  # limits the memory: the distances of a block take 8 MB


def find_candidates(scene: Scene, limit: float) -> Candidates:
    """All pairs of a true and a predicted keypoint of the same frame and joint within `limit` head sizes."""
    truth, predicted = scene.truth, scene.predicted
    first = np.searchsorted(truth.frame, predicted.frame)
    per_prediction = np.searchsorted(truth.frame, predicted.frame, side="right") - first
    ends = np.cumsum(per_prediction)
    blocks = []
    start = 0
    while start < len(per_prediction):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_PER_BLOCK, side="right")))
        counts = per_prediction[start:stop]
        p = np.repeat(np.arange(start, stop), counts)
        g = np.arange(len(p)) - np.repeat(ends[start:stop] - counts - done, counts) + first[p]
        with np.errstate(divide="ignore", invalid="ignore"):  # a head box may have no size
            offset = truth.keypoints[g] - predicted.keypoints[p]
            offset *= offset
            distance = np.sqrt(offset[..., 0] + offset[..., 1]) / truth.head_sizes[g][:, None]
            pair, joint = np.nonzero(distance <= limit)
        blocks.append(Candidates(g[pair], p[pair], joint, distance[pair, joint]))
        start = stop
    if not blocks:
        none = np.zeros(0, np.int64)
        return Candidates(none, none, none, np.zeros(0))
    return Candidates(
        *(np.concatenate(parts) for parts in zip(*(vars(b).values() for b in blocks), strict=True))
    )


def check_unique_tracks(scene: Scene, people: People, whose: str) -> None:
    """InputError if two people of one kept frame share a track id."""
    order = np.lexsort((people.track, people.frame))
    frame, track = people.frame[order], people.track[order]
    repeated = np.flatnonzero((frame[1:] == frame[:-1]) & (track[1:] == track[:-1]))
    if len(repeated):
        where, track_id = scene.place(frame[repeated[0]]), people.track_ids[track[repeated[0]]]
        raise InputError(
            f"{where}: two {whose} people share the track id {track_id}; an id may occur once per frame"
        )
