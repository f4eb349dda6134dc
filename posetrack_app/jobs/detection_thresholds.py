"""Score thresholds for boxes of another detector, whose scores are not those of the embedded one."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from posetrack_app.core.config import Config, DetectorConfig, PersonScoreConfig, TrackerConfig
from posetrack_app.core.records import FloatArray
from posetrack_app.core.words import counted

_logger = logging.getLogger("posetrack")

_LOW_SHARE, _HIGH_SHARE = 0.2, 0.3
"""Of the highest score. A rule of thumb: docs/evaluation.md has what it gives on the sample."""


def fitted_thresholds(config: Config, scores: FloatArray, frames: int) -> Config:
    """The settings with thresholds from `scores` (N,), unless `config` changes one of the default thresholds.

    A log line says how many boxes of the `frames` frames pass which threshold.
    """
    if not len(scores):
        return config
    thresholds = config.detector.min_score, config.tracker.low_score, config.tracker.high_score
    defaults = DetectorConfig().min_score, TrackerConfig().low_score, TrackerConfig().high_score
    highest = float(scores.max())
    source = "as set"
    if thresholds == defaults and highest > 0:
        source = f"from these scores, {_LOW_SHARE:g} and {_HIGH_SHARE:g} of the highest; settings change them"
        low, high = (round(min(share * highest, 1.0), 3) for share in (_LOW_SHARE, _HIGH_SHARE))
        config = replace(
            config,
            detector=replace(config.detector, min_score=low),
            person_score=PersonScoreConfig(1.0, 0.0, 0.0),  # the default one is fitted to our own detector
            propagation=replace(config.propagation, min_score=low),
            tracker=replace(config.tracker, low_score=low, high_score=high),
        )
    low, high = config.tracker.low_score, config.tracker.high_score
    passing = [int(np.count_nonzero(scores >= value)) for value in (config.detector.min_score, low, high)]
    _logger.info(
        "detections: %s in %s, scores %.3g to %.3g; %d pass [detector] min_score %g, %d [tracker] low_score %g, "
        "%d [tracker] high_score %g (%s)",
        counted(len(scores), "box", "boxes"), counted(frames, "frame"), float(scores.min()), highest,
        passing[0], config.detector.min_score, passing[1], low, passing[2], high, source,
    )  # fmt: skip
    return config
