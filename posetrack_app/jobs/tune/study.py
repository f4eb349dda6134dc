"""One search: proposals by Optuna, trials that are clearly worse than the best stopped early."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from posetrack_app.core.config import Config
from posetrack_app.core.records import FloatArray
from posetrack_app.jobs.tune.objective import Objective, Parts, joined_parts, scores_by_video, total_scores
from posetrack_app.jobs.tune.search_space import KEYPOINT_THRESHOLD, Setting, values_of, with_values
from posetrack_app.jobs.tune.videos import VideoGroup

_P_VALUE = 0.05
"""A trial stops if it is worse than the best one with this probability of an error."""
_FEWEST_VIDEOS = 6
"""Before it has been scored on this many videos, no trial stops."""

_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Keypoint thresholds that are tried first: alone they often gain the most (the sweep of `posetrack evaluate`)."""
_FEWEST_FOR_THRESHOLDS = 25
"""With fewer trials a search does not start with them."""


@dataclass(frozen=True)
class Fold:
    """Numbers of groups of videos: the settings are searched on `searched` and then scored on `held_out`."""

    searched: tuple[int, ...]
    held_out: tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and the objective on the searched, the held-out and all videos; None if it stopped."""

    values: dict[str, float]
    searched: float | None
    held_out: float | None
    all_videos: float | None
    seconds: float


@dataclass(frozen=True)
class Problem:
    """What is searched: the start settings, the ranges, the objective, and the videos."""

    config: Config
    space: tuple[Setting, ...]
    objective: Objective
    groups: Sequence[VideoGroup]
    gt_boxes: bool = False

    def parts(self, config: Config, group: int) -> Parts:
        """What the objective of one group of videos is computed from."""
        measures = list(self.objective.weights)
        return self.groups[group].parts(config, measures, gt_boxes=self.gt_boxes)

    def value(self, parts: Sequence[Parts]) -> float:
        """The objective of the videos of these parts together."""
        protocol = self.objective.protocol
        return self.objective.combine(total_scores(joined_parts(parts), protocol))

    def values_by_video(self, parts: Parts) -> FloatArray:
        """(V,) the objective of each video alone."""
        return self.objective.combine_videos(scores_by_video(parts, self.objective.protocol))


def search(problem: Problem, fold: Fold, trials: int, seed: int) -> list[Trial]:
    """The trials of one search, the first of them with the settings as they are.

    The sampler sees the searched videos only. A trial that finishes is also scored on those held out, for the
    cross-validation and the final choice. Proposals are those of a multivariate tree-structured Parzen estimator
    (Bergstra et al., NeurIPS 2011); equal seeds give equal trials.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=min(20, trials // 4))
    study = optuna.create_study(sampler=sampler, direction="maximize")
    start = values_of(problem.config, problem.space)
    study.enqueue_trial(start)
    if trials >= _FEWEST_FOR_THRESHOLDS:
        for threshold in _THRESHOLDS:
            study.enqueue_trial({**start, KEYPOINT_THRESHOLD: threshold})
    done: list[Trial] = []
    best = _Best()
    for number in range(trials):
        proposal = study.ask()
        values = {setting.name: setting.suggest(proposal) for setting in problem.space}
        # The first trial is the settings as they are, also where they are outside the ranges.
        config = with_values(problem.config, values) if number else problem.config
        trial, estimate = _run(problem, config, values, fold, best)
        study.tell(proposal, estimate)
        done.append(trial)
    return done


@dataclass
class _Best:
    """The best trial so far: its objective, and that of each searched video in the order of the groups."""

    value: float = -np.inf
    by_video: FloatArray | None = None


def _run(
    problem: Problem, config: Config, values: dict[str, float], fold: Fold, best: _Best
) -> tuple[Trial, float]:
    """One trial, and its objective on the searched videos: for a stopped one, that of the best minus the mean loss."""
    started = time.process_time()
    parts: list[Parts] = []
    by_video: FloatArray = np.zeros(0)
    for group in fold.searched:
        parts.append(problem.parts(config, group))
        by_video = np.concatenate([by_video, problem.values_by_video(parts[-1])])
        if len(parts) < len(fold.searched) and best.by_video is not None:
            loss = best.by_video[: len(by_video)] - by_video
            if _is_clearly_worse(loss):
                stopped = Trial(values, None, None, None, time.process_time() - started)
                return stopped, best.value - float(loss.mean())
    searched = problem.value(parts)
    if searched > best.value:
        best.value, best.by_video = searched, by_video
    held_out = [problem.parts(config, group) for group in fold.held_out]
    done = Trial(
        values,
        searched,
        problem.value(held_out) if held_out else None,
        problem.value([*parts, *held_out]),
        time.process_time() - started,
    )
    return done, searched


def _is_clearly_worse(loss: FloatArray) -> bool:
    """Whether a one-sided Wilcoxon test on the differences (V,) of the same videos says so."""
    changed = loss[np.abs(loss) > 1e-9]
    if len(changed) < _FEWEST_VIDEOS or loss.mean() <= 0:
        return False
    return float(wilcoxon(changed, alternative="greater").pvalue) < _P_VALUE
