"""Where a result loses: kinds of AP errors, errors of every sequence, and the worst frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from posetrack_app.core.records import BoolArray
from posetrack_app.evaluation.posetrack.ap_errors import EXPLANATIONS, KINDS, ApErrors, analyse_ap
from posetrack_app.evaluation.posetrack.frame_errors import (
    FrameErrors,
    WorstFrame,
    frame_errors,
    worst_frames,
)
from posetrack_app.evaluation.posetrack.score import PoseTrackScores
from posetrack_app.formats.posetrack.sequence import SCORED_KEYPOINTS

_WORST_FRAMES = 20


@dataclass(frozen=True)
class ApLoss:
    """One kind of error: its keypoints, and the mAP points that mending it alone, or after the kinds before it, gains."""

    kind: str
    explanation: str
    keypoints: int
    alone: float
    in_turn: float
    by_joint: dict[str, int]
    worst_sequence: str | None


@dataclass(frozen=True)
class SequenceErrors:
    """Keypoint errors of tracking in one sequence, and its share of all errors (0..1)."""

    sequence: str
    misses: int
    false_positives: int
    switches: int
    share: float


@dataclass(frozen=True, eq=False)
class ErrorAnalysis:
    """`losses` are in the order of mending; `sequences` and `frames` have the worst first, and need tracks."""

    protocol: str
    losses: list[ApLoss]
    sequences: list[SequenceErrors]
    frames: list[WorstFrame]
    missed_keypoints: BoolArray | None

    def as_json(self) -> dict[str, Any]:
        """Everything except the arrays."""
        frames = [asdict(frame) for frame in self.frames]
        for frame in frames:
            del frame["scene_frame"]
        return {
            "protocol": self.protocol,
            "ap_lost_to": [asdict(loss) for loss in self.losses],
            "sequences": [asdict(sequence) for sequence in self.sequences],
            "frames": frames,
        }


def analyse_errors(scores: Mapping[str, PoseTrackScores]) -> ErrorAnalysis:
    """The errors of the first protocol that scores tracks, or of the first protocol."""
    name = next((n for n, found in scores.items() if found.tracking is not None), next(iter(scores)))
    chosen = scores[name]
    losses = _losses(chosen.scene.names, analyse_ap(chosen.scene, chosen.candidates, chosen.protocol))
    if chosen.tracking is None:
        return ErrorAnalysis(name, losses, [], [], None)
    errors = frame_errors(chosen.scene, chosen.tracking)
    return ErrorAnalysis(
        name,
        losses,
        _sequences(chosen, errors),
        worst_frames(chosen.scene, errors, _WORST_FRAMES),
        chosen.scene.truth.present & ~chosen.tracking.found_truth,
    )


def _losses(names: list[str], found: ApErrors) -> list[ApLoss]:
    losses = []
    for k, kind in enumerate(KINDS[1:], 1):
        by_video, by_joint = found.counts[k].sum(axis=1), found.counts[k].sum(axis=0)
        losses.append(
            ApLoss(
                kind,
                EXPLANATIONS[kind],
                int(by_video.sum()),
                round(float(found.alone[k]), 9),
                round(float(found.in_turn[k]), 9),
                dict(zip(SCORED_KEYPOINTS, by_joint.tolist(), strict=True)),
                names[int(by_video.argmax())] if by_video.sum() else None,
            )
        )
    return losses


def _sequences(scores: PoseTrackScores, errors: FrameErrors) -> list[SequenceErrors]:
    names, video = scores.scene.names, scores.scene.frame_video
    columns = [
        np.bincount(video, values, minlength=len(names)).astype(int)
        for values in (errors.misses, errors.false_positives, errors.switches)
    ]
    total = np.sum(columns, axis=0)
    share = total / max(1, total.sum())
    rows = [
        SequenceErrors(names[k], int(columns[0][k]), int(columns[1][k]), int(columns[2][k]), float(share[k]))
        for k in np.argsort(-total, kind="stable").tolist()
    ]
    return rows
