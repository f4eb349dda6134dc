"""Which settings are searched, in which ranges, and the preset that a choice of values gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from posetrack_app.core.config import Config

if TYPE_CHECKING:
    from optuna.trial import Trial

Values = Mapping[str, float]
"""Setting, such as "tracker.high_score" -> its value."""


@dataclass(frozen=True)
class Setting:
    """One searched setting; a whole number if `is_integer`; `is_log`: small values are searched more finely."""

    name: str
    lowest: float
    highest: float
    is_integer: bool = False
    is_log: bool = False

    def suggest(self, trial: Trial) -> float:
        """The value that the sampler proposes."""
        if self.is_integer:
            return trial.suggest_int(self.name, int(self.lowest), int(self.highest))
        return trial.suggest_float(self.name, self.lowest, self.highest, log=self.is_log)

    def clipped(self, value: float) -> float:
        """The nearest value in the range."""
        return min(max(value, self.lowest), self.highest)


def search_space(lowest_score: float) -> tuple[Setting, ...]:
    """The searched settings of poses that were stored for boxes of at least `lowest_score`."""
    return (
        Setting("detector.min_score", lowest_score, 0.95),
        Setting(KEYPOINT_THRESHOLD, 0.0, 0.95),
        Setting("duplicates.max_similarity", LOWEST_SIMILARITY, 1.0),
        Setting("tracker.high_score", 0.05, 0.99),
        Setting("tracker.low_score", 0.05, 0.99),
        Setting("tracker.min_similarity", 0.02, 0.7),
        Setting("tracker.min_low_score_similarity", 0.02, 0.9),
        Setting("tracker.box_weight", 0.0, 10.0),
        Setting("tracker.confirmations", 1, 6, is_integer=True),
        Setting("tracker.patience_seconds", 0.05, 6.0, is_log=True),
        Setting("tracker.duplicate_similarity", 0.3, 1.0),
    )


KEYPOINT_THRESHOLD = "pose.min_score"
LOWEST_SIMILARITY = 0.4
"""[duplicates] max_similarity is searched from here up."""


def values_of(config: Config, space: tuple[Setting, ...]) -> dict[str, float]:
    """The values that these settings have now, moved into their ranges."""
    return {
        setting.name: setting.clipped(getattr(getattr(config, section), name))
        for setting in space
        for section, name in [setting.name.split(".")]
    }


def with_values(config: Config, values: Values) -> Config:
    """`config` with these values, rounded as they are written to a file; low_score is at most high_score."""
    rounded = {name: value if isinstance(value, int) else round(value, 4) for name, value in values.items()}
    if "tracker.low_score" in rounded:
        low = min(rounded["tracker.low_score"], rounded["tracker.high_score"])
        rounded["tracker.low_score"] = low
    for name, value in rounded.items():
        section, field = name.split(".")
        changed = replace(getattr(config, section), **{field: value})
        config = replace(config, **{section: changed})
    return config
