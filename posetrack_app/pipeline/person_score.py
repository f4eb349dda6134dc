"""The score of a person, from the scores of the box and of the keypoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from posetrack_app.core.config import PersonScoreConfig
from posetrack_app.core.records import FloatArray, Frame, Poses

_LIMIT = 1e-4
"""Scores are cut to between this and 1 minus this, because the logit of 0 and 1 is infinite."""


def score_people(
    stream: Iterable[tuple[Frame, Poses]], settings: PersonScoreConfig
) -> Iterator[tuple[Frame, Poses]]:
    """The same poses; the box scores become person scores (see `person_scores`)."""
    for frame, poses in stream:
        scores = person_scores(poses.scores, poses.keypoint_scores.mean(axis=1), settings)
        yield frame, replace(poses, scores=scores)


def person_scores(
    box_scores: FloatArray, keypoint_scores: FloatArray, settings: PersonScoreConfig
) -> FloatArray:
    """(N,) probability that a box (N,), with this mean keypoint score (N,), is a person.

    Logistic regression on the two logits (Platt scaling; Platt, 1999). A reflection or a coat on a hook may have the box
    score of a person, but its keypoints do not.
    """
    logit = (
        settings.box_weight * _logit(box_scores)
        + settings.keypoint_weight * _logit(keypoint_scores)
        + settings.offset
    )
    scores: FloatArray = 1.0 / (1.0 + np.exp(-logit))
    return scores


def _logit(scores: FloatArray) -> FloatArray:
    cut = np.clip(scores, _LIMIT, 1.0 - _LIMIT)
    logit: FloatArray = np.log(cut / (1.0 - cut))
    return logit
