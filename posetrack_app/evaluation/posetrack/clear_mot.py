"""CLEAR-MOT of keypoints (Bernardin and Stiefelhagen 2008), for all videos and joints at once.

The rules are those of the package motmetrics, which poseval uses; tests compare the two event by event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.evaluation.posetrack.average_precision import MATCH_DISTANCE
from posetrack_app.evaluation.posetrack.identity import identity_matches
from posetrack_app.evaluation.posetrack.matching import best_matching
from posetrack_app.evaluation.posetrack.protocols import Protocol
from posetrack_app.evaluation.posetrack.scene import (
    JOINTS,
    Candidates,
    People,
    Scene,
    check_unique_tracks,
)

_MANY = 1e4  # above any sum of distances in a frame, so that the number of pairs comes first


@dataclass(frozen=True, eq=False)
class Switches:
    """Keypoints that changed identity, one entry per event: rows of the scene's people, joint, previous track."""

    truth: IntArray
    predicted: IntArray
    joint: IntArray
    previous_track: IntArray


@dataclass(frozen=True, eq=False)
class MotCounts:
    """For each video and joint (V, 15): annotated and predicted keypoints, matches, switches, summed distance.

    `identity` (V, 15) counts the keypoints that keep their identity. `counted` (F,) are the frames that are tracked;
    `found_truth` and `found_predicted` (N, 15) the keypoints of the scene's people that are matched in them.
    """

    objects: IntArray
    hypotheses: IntArray
    matches: IntArray
    switches: IntArray
    distance: FloatArray
    identity: IntArray
    events: Switches
    counted: BoolArray
    found_truth: BoolArray
    found_predicted: BoolArray


@dataclass(frozen=True, eq=False)
class MotScores:
    """Scores in 0..1, NaN if undefined, in the shape of the counts."""

    mota: FloatArray
    motp: FloatArray
    precision: FloatArray
    recall: FloatArray


def count_events(scene: Scene, candidates: Candidates, protocol: Protocol) -> MotCounts:
    """Match all frames and count the events. InputError if the protocol cannot score the tracks."""
    per_video = scene.frames_per_video()
    step = np.arange(len(scene.frame_video)) - (np.cumsum(per_video) - per_video)[scene.frame_video]
    counted = _counted_frames(scene, step, protocol)
    check_unique_tracks(scene, scene.truth, "ground-truth")
    candidates = candidates[
        (candidates.distance <= MATCH_DISTANCE) & counted[scene.truth.frame[candidates.truth]]
    ]
    matched, switched, events = _follow(scene, candidates, step)
    objects, hypotheses = _present_keypoints(scene, counted, protocol)
    cell = _cells(scene, candidates)

    def per_cell(rows: BoolArray, weights: FloatArray | None = None) -> FloatArray:
        of_rows = None if weights is None else weights[rows]
        total = np.bincount(cell[rows], of_rows, minlength=objects.size)
        return total.reshape(objects.shape).astype(np.float64)

    return MotCounts(
        objects=objects,
        hypotheses=hypotheses,
        matches=per_cell(matched & ~switched).astype(np.int64),
        switches=per_cell(switched).astype(np.int64),
        distance=per_cell(matched, candidates.distance),
        identity=identity_matches(scene, candidates),
        events=events,
        counted=counted,
        found_truth=_marked(scene.truth, candidates.truth[matched], candidates.joint[matched]),
        found_predicted=_marked(scene.predicted, candidates.predicted[matched], candidates.joint[matched]),
    )


def _marked(people: People, rows: IntArray, joints: IntArray) -> BoolArray:
    """(N, 15): True at these people and joints."""
    marked = np.zeros(people.present.shape, bool)
    marked[rows, joints] = True
    return marked


def _counted_frames(scene: Scene, step: IntArray, protocol: Protocol) -> BoolArray:
    """(F,): the frames that are tracked; `step` (F,) counts the frames of each video."""
    if not protocol.drops_last_frame:
        return np.ones(len(step), bool)
    per_video = scene.frames_per_video()
    if (per_video == 1).any():
        name = scene.names[int(np.flatnonzero(per_video == 1)[0])]
        raise InputError(
            f"{name}: only one frame has people; poseval skips the last frame of a video, so none is left to track; "
            "use protocol corrected"
        )
    counted: BoolArray = step < per_video[scene.frame_video] - 1
    return counted


def _cells(scene: Scene, candidates: Candidates) -> IntArray:
    """(E,): 15 * video + joint of every pair."""
    return scene.frame_video[scene.truth.frame[candidates.truth]] * JOINTS + candidates.joint


def _follow(scene: Scene, candidates: Candidates, step: IntArray) -> tuple[BoolArray, BoolArray, Switches]:
    """Match frame by frame: (E,) matched pairs, (E,) pairs that are switches, and the switch events."""
    truth, predicted = scene.truth, scene.predicted
    frame_step = step[truth.frame[candidates.truth]]
    order = np.lexsort((candidates.truth, frame_step))  # pairs are kept in the order of the ground truth
    bounds = np.searchsorted(frame_step[order], np.arange(int(step.max(initial=-1)) + 2))
    truth_key = candidates.truth * JOINTS + candidates.joint
    predicted_key = candidates.predicted * JOINTS + candidates.joint
    track_key = truth.track[candidates.truth] * JOINTS + candidates.joint
    track = predicted.track[candidates.predicted]

    last_track = np.full(len(truth.track_ids) * JOINTS, -1)
    taken_truth = np.zeros(truth.present.size, bool)
    taken_predicted = np.zeros(predicted.present.size, bool)
    matched = np.zeros(len(truth_key), bool)
    before = np.full(len(truth_key), -1)
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        pairs = order[start:stop]
        kept = pairs[last_track[track_key[pairs]] == track[pairs]]
        kept = kept[np.sort(np.unique(predicted_key[kept], return_index=True)[1])]
        taken_truth[truth_key[kept]] = taken_predicted[predicted_key[kept]] = True
        rest = pairs[~(taken_truth[truth_key[pairs]] | taken_predicted[predicted_key[pairs]])]
        new = rest[best_matching(truth_key[rest], predicted_key[rest], _MANY - candidates.distance[rest])]
        before[new] = last_track[track_key[new]]
        last_track[track_key[new]] = track[new]
        matched[kept] = matched[new] = True
    switched = before >= 0
    events = np.flatnonzero(switched)
    return (
        matched,
        switched,
        Switches(
            candidates.truth[events], candidates.predicted[events], candidates.joint[events], before[events]
        ),
    )


def _present_keypoints(scene: Scene, counted: BoolArray, protocol: Protocol) -> tuple[IntArray, IntArray]:
    """(V, 15) each: annotated and predicted keypoints in the counted frames."""
    frames = len(scene.frame_video)
    sides = [np.zeros((len(scene.names), JOINTS), np.int64) for _ in range(2)]
    empty = np.zeros(frames, bool)
    for people in (scene.truth, scene.predicted):
        empty |= np.bincount(people.frame, minlength=frames) == 0
    for people, total in zip((scene.truth, scene.predicted), sides, strict=True):
        use = counted[people.frame]
        if protocol.one_error_per_empty_frame:
            use &= ~empty[people.frame]
        np.add.at(total, scene.frame_video[people.frame[use]], people.present[use].astype(np.int64))
        if protocol.one_error_per_empty_frame:
            np.add.at(total, scene.frame_video[empty & counted], 1)
    return sides[0], sides[1]


def mot_scores(
    objects: IntArray | FloatArray,
    hypotheses: IntArray | FloatArray,
    matches: IntArray | FloatArray,
    switches: IntArray | FloatArray,
    distance: FloatArray,
    motp_without_truth: float = 0.0,
) -> MotScores:
    """MOTA, MOTP, precision and recall from counts of the same shape; counts may be weighted."""
    found = matches + switches
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = (objects - found) + switches + (hypotheses - found)
        mota = np.where(objects > 0, 1 - errors / objects, np.nan)
        motp = np.where(found > 0, 1 - distance / found, np.where(objects > 0, 0.0, motp_without_truth))
        return MotScores(mota, motp, found / hypotheses, found / objects)
