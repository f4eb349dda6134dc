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


def hota_parts(scene: Scene, candidates: Candidates, protocol: Protocol) -> HotaParts:
    """The components for every video and joint. InputError if the protocol cannot score the data."""
    _check_frames(scene, protocol)
    check_unique_tracks(scene, scene.truth, "ground-truth")
    similarity = 1 - candidates.distance / SIMILARITY_REACH
    near = similarity > 0
    candidates, similarity = candidates[near], similarity[near]
    chosen = best_matching(
        candidates.truth * JOINTS + candidates.joint,
        candidates.predicted * JOINTS + candidates.joint,
        similarity,
    )
    candidates, similarity = candidates[chosen], similarity[chosen]
    # hits[e]: the pair is a match for this many alphas, starting at the lowest
    hits = np.searchsorted(ALPHAS - _EPSILON, similarity, side="right")
    cell = scene.frame_video[scene.truth.frame[candidates.truth]] * JOINTS + candidates.joint
    cells = (len(scene.names), JOINTS)
    size = len(scene.names) * JOINTS

    positives = _by_alpha(cell, hits, None, size)
    summed = _by_alpha(cell, hits, similarity, size)
    truths, predictions = _keypoints(scene, scene.truth), _keypoints(scene, scene.predicted)
    padding = _padding(scene, truths) if protocol.pads_empty_frames else 0.0
    rates = _association(scene, candidates, hits, cell, size)
    rates = {name: total / np.maximum(1, positives) for name, total in rates.items()}
    rates["LocA"] = np.maximum(1e-10, summed) / np.maximum(1e-10, positives)
    shape = (len(ALPHAS), *cells)
    positives = positives.reshape(shape)
    return HotaParts(
        positives,
        truths - positives + padding,
        predictions - positives,
        {name: values.reshape(shape) for name, values in rates.items()},
        (truths > 0) | (not protocol.averages_annotated_joints),
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


def _keypoints(scene: Scene, people: People) -> FloatArray:
    """(V, 15) keypoints of each video."""
    count = np.zeros((len(scene.names), JOINTS))
    np.add.at(count, scene.frame_video[people.frame], people.present.astype(np.float64))
    return count


def _padding(scene: Scene, truths: FloatArray) -> FloatArray:
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


def _association(
    scene: Scene, candidates: Candidates, hits: IntArray, cell: IntArray, cells: int
) -> dict[str, FloatArray]:
    """(A, cells): sums over the matches of the association scores of their two tracks."""
    truth, predicted = scene.truth, scene.predicted
    true_track = truth.track[candidates.truth] * JOINTS + candidates.joint
    predicted_track = predicted.track[candidates.predicted] * JOINTS + candidates.joint
    both, pair = np.unique(
        true_track * (1 + predicted_track.max(initial=0)) + predicted_track, return_inverse=True
    )
    first = np.zeros(len(both), np.int64)
    first[pair] = np.arange(len(pair))
    true_length = _track_lengths(truth)[true_track[first]]
    predicted_length = _track_lengths(predicted)[predicted_track[first]]
    shared = _by_alpha(pair, hits, None, len(both))
    union = np.maximum(1, true_length + predicted_length - shared)

    def per_cell(values: FloatArray) -> FloatArray:
        return np.stack([np.bincount(cell[first], row, minlength=cells) for row in values])

    fragments = np.zeros_like(shared)
    order = np.lexsort((truth.frame[candidates.truth], true_track))
    for level in range(len(ALPHAS)):
        rows = order[hits[order] > level]
        starts = (np.diff(true_track[rows], prepend=-1) != 0) | (
            np.diff(predicted_track[rows], prepend=-1) != 0
        )
        lengths = np.diff(np.append(np.flatnonzero(starts), len(rows)))
        fragments[level] = np.bincount(pair[rows[starts]], lengths.astype(float) ** 2, minlength=len(both))
    return {
        "AssA": per_cell(shared**2 / union),
        "AssRe": per_cell(shared**2 / np.maximum(1, true_length)),
        "AssPr": per_cell(shared**2 / np.maximum(1, predicted_length)),
        "FragA": per_cell(fragments / union),
    }


def _track_lengths(people: People) -> FloatArray:
    """(T * 15,): the number of frames in which each track has each joint."""
    lengths = np.zeros((len(people.track_ids), JOINTS))
    np.add.at(lengths, people.track, people.present.astype(np.float64))
    return lengths.reshape(-1)


def hota_scores(parts: HotaParts) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Scores in 0..1 and counts, (A, 16) each: all videos combined, the 15 joints and their total.

    The total sums the counts of the joints and averages their rates. The average over videos is weighted by their
    matches. A joint that counts in no video is NaN.
    """
    counts, rates = _with_total(parts)
    combined = {name: values.sum(axis=1) for name, values in counts.items()}
    found = counts["HOTA_TP"]
    weight = np.maximum(1, combined["HOTA_TP"])
    averaged = {name: (values * found).sum(axis=1) / weight for name, values in rates.items()}
    averaged["LocA"] = np.where(combined["HOTA_TP"] > 0, averaged["LocA"], 1.0)
    known = np.append(parts.counts.any(axis=0), True)
    return {n: np.where(known, v, np.nan) for n, v in _final(combined, averaged).items()}, combined


def video_hota_scores(parts: HotaParts) -> dict[str, FloatArray]:
    """Scores in 0..1 of each video alone, (A, V, 16); the total is the mean of the joints, as in the kit."""
    joints = _final(_counts(parts), parts.rates)
    known = np.insert(parts.counts, JOINTS, True, axis=1)
    return {name: np.where(known, _with_mean(v, parts.counts), np.nan) for name, v in joints.items()}


def _counts(parts: HotaParts) -> dict[str, FloatArray]:
    return {"HOTA_TP": parts.true_positives, "HOTA_FN": parts.misses, "HOTA_FP": parts.false_positives}


def _with_total(parts: HotaParts) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Counts and rates (A, V, 16): in the last column, counts are summed and rates averaged."""
    summed = {
        n: np.concatenate([v, v.sum(axis=-1, keepdims=True)], axis=-1) for n, v in _counts(parts).items()
    }
    return summed, {n: _with_mean(v, parts.counts) for n, v in parts.rates.items()}


def _with_mean(joints: FloatArray, counts: BoolArray) -> FloatArray:
    """(A, V, 16): the joints and the mean of those that count; 0 if none does."""
    mean = np.where(counts, joints, 0.0).sum(axis=-1) / np.maximum(1, counts.sum(axis=-1))
    return np.concatenate([joints, mean[..., None]], axis=-1)


def _final(counts: dict[str, FloatArray], rates: dict[str, FloatArray]) -> dict[str, FloatArray]:
    hits, misses, false_positives = counts["HOTA_TP"], counts["HOTA_FN"], counts["HOTA_FP"]
    detection = hits / np.maximum(1, hits + misses + false_positives)
    recall = hits / np.maximum(1, hits + misses)
    association, fragments = rates["AssA"], rates["FragA"]
    return {
        "HOTA": np.sqrt(detection * association),
        "DetA": detection,
        "AssA": association,
        "DetRe": recall,
        "DetPr": hits / np.maximum(1, hits + false_positives),
        "AssRe": rates["AssRe"],
        "AssPr": rates["AssPr"],
        "LocA": rates["LocA"],
        "FragA": fragments,
        "RHOTA": np.sqrt(recall * association),
        "FA-HOTA": np.sqrt(detection * np.sqrt(association * fragments)),
        "FA-RHOTA": np.sqrt(recall * np.sqrt(association * fragments)),
    }
