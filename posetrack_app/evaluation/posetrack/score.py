"""Score PoseTrack predictions: AP and CLEAR-MOT (poseval), HOTA and PosemAP (PoseTrack21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FloatArray
from posetrack_app.evaluation.posetrack.average_precision import (
    ApScores,
    RankedJoints,
    joint_scores,
    rank_joints,
    video_scores,
)
from posetrack_app.evaluation.posetrack.clear_mot import MotCounts, count_events
from posetrack_app.evaluation.posetrack.hota import SIMILARITY_REACH, HotaParts, hota_parts
from posetrack_app.evaluation.posetrack.hota_whole_set import has_person_ids, whole_set_scores
from posetrack_app.evaluation.posetrack.pairing import paired_by_image_id
from posetrack_app.evaluation.posetrack.protocols import POSETRACK21, POSEVAL, Protocol
from posetrack_app.evaluation.posetrack.scene import (
    Candidates,
    Scene,
    SequencePair,
    build_scene,
    find_candidates,
)


@dataclass(frozen=True, eq=False)
class PoseTrackScores:
    """The scores of one protocol.

    `tracking` or `hota` is None if the protocol does not have it or cannot score it; `problem` then says why.
    `whole_set` is HOTA with the identities of PoseTrack21, if the files have them. `candidates` are the pairs of
    keypoints within a match of any kind.
    """

    protocol: Protocol
    scene: Scene
    candidates: Candidates
    ranked: RankedJoints
    ap: ApScores
    ap_by_video: ApScores
    tracking: MotCounts | None
    hota: HotaParts | None
    whole_set: dict[str, FloatArray] | None
    problem: InputError | None


def score_poses(
    pairs: Sequence[SequencePair], protocol: Protocol, keypoint_threshold: float | None = None
) -> PoseTrackScores:
    """Score all videos together. InputError if not even the poses can be scored."""
    _check_pairs(pairs, protocol)
    if protocol.pairs_by_image_id:
        pairs = [paired_by_image_id(pair) for pair in pairs]
    scene = build_scene(pairs, protocol, keypoint_threshold)
    candidates = find_candidates(scene, SIMILARITY_REACH)
    tracking, hota, whole_set, problem = None, None, None, None
    try:
        if protocol is not POSETRACK21:
            tracking = count_events(scene, candidates, protocol)
        if protocol is not POSEVAL:
            hota = hota_parts(scene, candidates, protocol)
        if protocol is POSETRACK21 and has_person_ids(scene):
            whole_set = whole_set_scores(scene, candidates, protocol)
    except InputError as error:
        if protocol is POSETRACK21:  # the kit scores everything or nothing
            raise
        problem = error
    ranked = rank_joints(scene, candidates)
    return PoseTrackScores(
        protocol,
        scene,
        candidates,
        ranked,
        joint_scores(ranked, protocol.ap_without_truth),
        video_scores(ranked, protocol.ap_without_truth),
        tracking,
        hota,
        whole_set,
        problem,
    )


def _check_pairs(pairs: Sequence[SequencePair], protocol: Protocol) -> None:
    """Raise InputError for what only the tool of this protocol refuses."""
    for pair in pairs:
        if protocol.largest_track_id is not None:
            for sequence in (pair.truth, pair.predicted):
                large = np.flatnonzero(sequence.ids > protocol.largest_track_id)
                if len(large):
                    sequence.rows.fail(
                        int(large[0]),
                        f"has the track id {sequence.ids[large[0]]}; poseval takes ids up to "
                        f"{protocol.largest_track_id} only",
                    )
        if protocol.positive_coordinates and not np.array_equal(
            pair.truth.image_ids, pair.predicted.image_ids
        ):
            raise InputError(
                f"{pair.predicted.path}: the image ids differ from those of {pair.truth.path}; "
                "the PoseTrack21 kit needs the same ids in the same order"
            )
