"""HOTA of keypoints, as the PoseTrack21 kit defines it.

Luiten et al., "HOTA", IJCV 2021; Doering et al., "PoseTrack21", CVPR 2022. There is one score per joint. Each frame is
matched on its own, for the largest sum of similarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import BoolArray, FloatArray, IntArray
from posetrack_app.evaluation.posetrack.matching import best_matching
from posetrack_app.evaluation.posetrack.protocols import Protocol
from posetrack_app.evaluation.posetrack.scene import JOINTS, Candidates, People, Scene, check_unique_tracks

ALPHAS = np.arange(1, 20) * 0.05
SIMILARITY_REACH = 0.5001
"""Similarity falls from 1 to 0 over this many head sizes."""
_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class HotaParts:
    """The components of HOTA, (A, V, 15) each: alpha, video, joint. Rates are in 0..1.

    `counts` (V, 15): which joints of which videos enter the mean of the rates.
    """

    true_positives: FloatArray
    misses: FloatArray
    false_positives: FloatArray
    rates: dict[str, FloatArray]
    counts: BoolArray


@dataclass(frozen=True, eq=False)
class _Matches:
    """The matched keypoints: `pairs`, their `similarity` (E,), and for how many alphas they match, from the lowest up.

    `cell` (E,) is 15 * video + joint.
    """

    pairs: Candidates
    similarity: FloatArray
    alphas: IntArray
    cell: IntArray


def hota_parts(scene: Scene, candidates: Candidates, protocol: Protocol) -> HotaParts:
    """The components for every video and joint. InputError if the protocol cannot score the data."""
    _check_frames(scene, protocol)
    check_unique_tracks(scene, scene.truth, "ground-truth")
    shape = (len(ALPHAS), len(scene.names), JOINTS)
    size = shape[1] * shape[2]
    matches = _match(scene, candidates)
    positives = _by_alpha(matches.cell, matches.alphas, None, size)
    summed = _by_alpha(matches.cell, matches.alphas, matches.similarity, size)
    rates = {name: total / np.maximum(1, positives) for name, total in _association(scene, matches).items()}
    rates["LocA"] = np.maximum(1e-10, summed) / np.maximum(1e-10, positives)
    positives = positives.reshape(shape)
    truths, predictions = count_keypoints(scene, scene.truth), count_keypoints(scene, scene.predicted)
    padding = extra_misses(scene, truths) if protocol.pads_empty_frames else 0.0
    return HotaParts(
        positives,
        truths - positives + padding,
        predictions - positives,
        {name: values.reshape(shape) for name, values in rates.items()},
        (truths > 0) | (not protocol.averages_annotated_joints),
    )


def similarities(candidates: Candidates) -> tuple[Candidates, FloatArray]:
    """The pairs whose similarity is above 0, and the similarity (E,)."""
    similarity = 1 - candidates.distance / SIMILARITY_REACH
    near = similarity > 0
    return candidates[near], similarity[near]


def _match(scene: Scene, candidates: Candidates) -> _Matches:
    """Match every frame and joint for the largest sum of similarities."""
    pairs, similarity = similarities(candidates)
    chosen = best_matching(
        pairs.truth * JOINTS + pairs.joint, pairs.predicted * JOINTS + pairs.joint, similarity
    )
    pairs, similarity = pairs[chosen], similarity[chosen]
    return _Matches(
        pairs,
        similarity,
        np.searchsorted(ALPHAS - _EPSILON, similarity, side="right"),
        scene.frame_video[scene.truth.frame[pairs.truth]] * JOINTS + pairs.joint,
    )


def _check_frames(scene: Scene, protocol: Protocol) -> None:
    """The PoseTrack21 kit fails at a frame without ground-truth people (after ignore regions are applied)."""
    if not protocol.pads_empty_frames:
        return
    people = np.bincount(scene.truth.frame, minlength=len(scene.frame_video))
    if (people == 0).any():
        raise InputError(
            f"{scene.place(int(np.argmin(people)))}: a labelled frame has no ground-truth people to score, "
            "which the PoseTrack21 kit cannot evaluate; use protocol corrected"
        )


def count_keypoints(scene: Scene, people: People) -> FloatArray:
    """(V, 15) keypoints of each video."""
    count = np.zeros((len(scene.names), JOINTS))
    np.add.at(count, scene.frame_video[people.frame], people.present.astype(np.float64))
    return count


def extra_misses(scene: Scene, truths: FloatArray) -> FloatArray:
    """Extra misses of the kit: a frame without predictions misses all keypoints of the video, not only its own.

    A video without any prediction is counted correctly.
    """
    frames = len(scene.frame_video)
    predicted = np.bincount(scene.predicted.frame, minlength=frames)
    empty = np.bincount(scene.frame_video[predicted == 0], minlength=len(scene.names))
    own_keypoints = np.zeros_like(truths)
    rows = predicted[scene.truth.frame] == 0
    np.add.at(
        own_keypoints,
        scene.frame_video[scene.truth.frame[rows]],
        scene.truth.present[rows].astype(np.float64),
    )
    has_predictions = (empty < scene.frames_per_video())[:, None]
    return np.where(has_predictions, empty[:, None] * truths - own_keypoints, 0.0)


def _by_alpha(cell: IntArray, hits: IntArray, weights: FloatArray | None, cells: int) -> FloatArray:
    """(A, cells): sums over the pairs that match at each alpha."""
    levels = len(ALPHAS) + 1
    table = np.bincount(hits * cells + cell, weights, minlength=levels * cells).reshape(levels, cells)
    return np.cumsum(table[::-1], axis=0)[::-1][1:].astype(np.float64)


def _association(scene: Scene, matches: _Matches) -> dict[str, FloatArray]:
    """(A, 15 V): sums over the matches of the association scores of their two tracks."""
    pairs, alphas = matches.pairs, matches.alphas
    true_track = scene.truth.track[pairs.truth] * JOINTS + pairs.joint
    predicted_track = scene.predicted.track[pairs.predicted] * JOINTS + pairs.joint
    both, first, pair = np.unique(
        true_track * (1 + predicted_track.max(initial=0)) + predicted_track,
        return_index=True,
        return_inverse=True,
    )
    pair = pair.reshape(-1)
    order = np.lexsort((scene.truth.frame[pairs.truth], true_track))
    true_length = track_lengths(scene.truth)[true_track[first]]
    predicted_length = track_lengths(scene.predicted)[predicted_track[first]]
    shared = _by_alpha(pair, alphas, None, len(both))
    union = np.maximum(1, true_length + predicted_length - shared)
    fragments = np.zeros_like(shared)
    for level in range(len(ALPHAS)):
        rows = order[alphas[order] > level]
        lengths, starts = fragment_lengths(true_track[rows], predicted_track[rows])
        fragments[level] = np.bincount(pair[rows[starts]], lengths**2, minlength=len(both))

    def per_cell(values: FloatArray) -> FloatArray:
        size = len(scene.names) * JOINTS
        return np.stack([np.bincount(matches.cell[first], row, minlength=size) for row in values])

    return {
        "AssA": per_cell(shared**2 / union),
        "AssRe": per_cell(shared**2 / np.maximum(1, true_length)),
        "AssPr": per_cell(shared**2 / np.maximum(1, predicted_length)),
        "FragA": per_cell(fragments / union),
    }


def fragment_lengths(true_track: IntArray, predicted_track: IntArray) -> tuple[FloatArray, IntArray]:
    """The lengths of the fragments of matches sorted by true track and frame, and the index of the first match of each.

    A fragment ends where the true track continues with another predicted track.
    """
    changes = (np.diff(true_track, prepend=-1) != 0) | (np.diff(predicted_track, prepend=-1) != 0)
    starts = np.flatnonzero(changes)
    return np.diff(np.append(starts, len(true_track))).astype(np.float64), starts


def track_lengths(people: People) -> FloatArray:
    """(T * 15,): the number of frames in which each track has each joint."""
    lengths = np.zeros((len(people.track_ids), JOINTS))
    np.add.at(lengths, people.track, people.present.astype(np.float64))
    return lengths.reshape(-1)
