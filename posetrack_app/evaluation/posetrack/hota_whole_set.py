"""HOTA with identities that are the same in all videos: Protocol 2 of the PoseTrack21 leader board.

Doering et al., "PoseTrack21", CVPR 2022: `person_id` takes the place of `track_id`, and all videos are one. A person
who is in two videos should have the same id in both. Each alpha is matched on its own: as many matches as possible
first, then the largest sum of similarities. The total is the mean of the joints.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posetrack_app.core.records import FloatArray
from posetrack_app.evaluation.posetrack.hota import (
    ALPHAS,
    count_keypoints,
    extra_misses,
    fragment_lengths,
    similarities,
    track_lengths,
)
from posetrack_app.evaluation.posetrack.hota_scores import final_scores
from posetrack_app.evaluation.posetrack.matching import best_matching
from posetrack_app.evaluation.posetrack.protocols import Protocol
from posetrack_app.evaluation.posetrack.scene import JOINTS, Candidates, People, Scene

_EPSILON = np.finfo(np.float64).eps
_MANY = 1000.0  # above any sum of similarities in a frame, so that the number of matches comes first


def has_person_ids(scene: Scene) -> bool:
    """Whether every annotated and predicted person has a `person_id`."""
    sides = (scene.truth, scene.predicted)
    return all(len(people.person_ids) > 0 and bool((people.person_ids >= 0).all()) for people in sides)


def whole_set_scores(scene: Scene, candidates: Candidates, protocol: Protocol) -> dict[str, FloatArray]:
    """Scores in 0..1, (A, 16): the 15 joints and their mean."""
    scene = replace(scene, truth=_by_person(scene.truth), predicted=_by_person(scene.predicted))
    pairs, similarity = similarities(candidates)
    truths = count_keypoints(scene, scene.truth)
    padding = extra_misses(scene, truths).sum(axis=0) if protocol.pads_empty_frames else 0.0
    predictions = count_keypoints(scene, scene.predicted).sum(axis=0)
    levels = [_one_alpha(scene, pairs, similarity, alpha) for alpha in ALPHAS.tolist()]
    rates = {name: np.stack([level[name] for level in levels]) for name in levels[0]}
    found = rates.pop("HOTA_TP")
    counts = {
        "HOTA_TP": found,
        "HOTA_FN": truths.sum(axis=0) + padding - found,
        "HOTA_FP": predictions - found,
    }
    scores = final_scores(counts, rates)
    return {n: np.concatenate([v, v.mean(axis=1, keepdims=True)], axis=1) for n, v in scores.items()}


def _by_person(people: People) -> People:
    """The same people; a track is everything with one `person_id`."""
    ids, track = np.unique(people.person_ids, return_inverse=True)
    return replace(people, track=track.reshape(-1), track_ids=ids)


def _one_alpha(
    scene: Scene, pairs: Candidates, similarity: FloatArray, alpha: float
) -> dict[str, FloatArray]:
    """HOTA_TP, LocA and the association rates of one alpha, (15,) each."""
    is_match = similarity >= alpha - _EPSILON
    chosen = best_matching(
        pairs.truth * JOINTS + pairs.joint,
        pairs.predicted * JOINTS + pairs.joint,
        similarity + _MANY * is_match,
    )
    matches = pairs[chosen & is_match]
    true_track = scene.truth.track[matches.truth] * JOINTS + matches.joint
    predicted_track = scene.predicted.track[matches.predicted] * JOINTS + matches.joint
    order = np.lexsort((scene.truth.frame[matches.truth], true_track))
    true_track, predicted_track, joint = true_track[order], predicted_track[order], matches.joint[order]
    key = true_track * (1 + predicted_track.max(initial=0)) + predicted_track
    pair, shared = np.unique(key, return_inverse=True, return_counts=True)[1:]
    together = shared[pair.reshape(-1)].astype(np.float64)
    true_length = track_lengths(scene.truth)[true_track]
    predicted_length = track_lengths(scene.predicted)[predicted_track]
    union = true_length + predicted_length - together
    lengths, starts = fragment_lengths(true_track, predicted_track)
    found = np.bincount(joint, minlength=JOINTS).astype(np.float64)

    def mean(values: FloatArray) -> FloatArray:
        return np.bincount(joint, values, minlength=JOINTS) / np.maximum(1, found)

    located = np.bincount(matches.joint, similarity[chosen & is_match], minlength=JOINTS)
    fragments = np.bincount(joint[starts], lengths**2 / union[starts], minlength=JOINTS)
    return {
        "HOTA_TP": found,
        "LocA": np.maximum(1e-10, located) / np.maximum(1e-10, found),
        "AssA": mean(together / union),
        "AssRe": mean(together / true_length),
        "AssPr": mean(together / predicted_length),
        "FragA": fragments / np.maximum(1, found),
    }
