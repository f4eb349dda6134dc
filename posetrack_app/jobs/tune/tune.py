"""`posetrack tune`: searches in parallel, their cross-validation, and the settings that are best on all videos."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from posetrack_app.core.choices import PROTOCOLS as _PROTOCOLS
from posetrack_app.core.config import Config, with_file
from posetrack_app.core.cores import usable_cores
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import check_output_file, refuse_to_replace, write_atomic
from posetrack_app.core.json_file import json_files
from posetrack_app.core.words import counted
from posetrack_app.evaluation.posetrack.protocols import POSETRACK21, PROTOCOLS
from posetrack_app.jobs.benchmark_poses import StoredPoses, open_stored_poses
from posetrack_app.jobs.tune.objective import (
    MEASURES,
    Objective,
    joined_parts,
    read_objective,
    total_scores,
)
from posetrack_app.jobs.tune.preset import preset_text
from posetrack_app.jobs.tune.search_space import search_space, with_values
from posetrack_app.jobs.tune.study import Fold, Problem, Trial, search
from posetrack_app.jobs.tune.videos import TuneVideo, VideoGroup, read_videos

_logger = logging.getLogger("posetrack")

NO_GAIN = "no gain is expected on other videos: these are too few, or the settings were good already"
_VIDEOS_PER_GROUP = 12
"""About so many are linked together, which saves time; after each group a trial may stop."""


@dataclass(frozen=True)
class FoldScore:
    """Cross-validation on one fold: the objective on its videos, which the search did not see."""

    videos: tuple[str, ...]
    before: float
    after: float


@dataclass(frozen=True)
class TuneReport:
    """What a tuning found. Scores are percentages; `before` and `after` are on all videos, so `after` is optimistic;
    `folds` is what to expect on other videos.
    """

    out: Path
    objective: str
    config: Config
    before: Mapping[str, float]
    after: Mapping[str, float]
    objective_before: float
    objective_after: float
    folds: tuple[FoldScore, ...]
    trials: int
    stopped: int
    trial_seconds: float

    @property
    def expected_gain(self) -> float | None:
        """The mean gain on held-out videos, in points of the objective, weighted by the videos of the folds."""
        if not self.folds:
            return None
        weights = [len(fold.videos) for fold in self.folds]
        gains = [fold.after - fold.before for fold in self.folds]
        return float(np.average(gains, weights=weights))

    def summary(self) -> str:
        """Some lines for the user."""
        lines = [
            f"{self.out}: {self.objective} {self.objective_before:.2f} -> {self.objective_after:.2f} on all videos "
            f"({counted(self.trials, 'trial')}, {self.stopped} stopped early, {self.trial_seconds:.2f} s of CPU each)"
        ]
        if self.expected_gain is None:
            lines.append("one video cannot be cross-validated: expect less on others")
        else:
            lines.append(
                f"on videos that the search did not see: {self.expected_gain:+.2f} points "
                f"({', '.join(f'{fold.after - fold.before:+.2f}' for fold in self.folds)} in the folds)"
            )
            if self.expected_gain <= 0:
                lines.append(NO_GAIN)
        lines += [f"  {name} {self.before[name]:.2f} -> {self.after[name]:.2f}" for name in self.before]
        return "\n".join(lines)


def tune(
    truth: Path,
    poses: Path,
    out: Path,
    *,
    objective: str = "MOTA",
    config: Path | None = None,
    protocol: str = "corrected",
    trials: int = 300,
    folds: int = 4,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
) -> TuneReport:
    """Search the thresholds and tracker settings that score best, and write them as a TOML file: `posetrack tune`.

    Args:
        truth: the folder with the annotations of a split, as for `posetrack evaluate`.
        poses: the output folder of `posetrack benchmark` on this split.
        out: the TOML file to write.
        objective: "MOTA", "HOTA", "mAP", or a weighted mean such as "MOTA=2,mAP=1".
        config: a TOML file with changes to the settings of the benchmark, from which the search starts.
        protocol: "corrected" or "poseval".
        trials: how many settings to try, in all folds together.
        folds: parts of the videos for the cross-validation by sequence.
        seed: equal seeds give equal results, with any number of workers.
        workers: processes; default: the cores.
        force: overwrite `out`.

    Raises InputError for files that cannot be read, written or scored, and if Optuna is not installed.
    """
    check_output_file(out)
    if not force:
        refuse_to_replace(out)
    if find_spec("optuna") is None:
        raise InputError("tuning needs Optuna: pip install 'posetrack-app[tune]'")
    if protocol not in PROTOCOLS or PROTOCOLS[protocol] is POSETRACK21:
        names = [name for name in _PROTOCOLS if PROTOCOLS[name] is not POSETRACK21]
        raise InputError(f"the protocol must be one of {', '.join(names)}, got {protocol}", option="protocol")
    if trials < 2 or folds < 2:
        raise InputError(
            "there must be at least 2 trials and 2 folds", option="trials" if trials < 2 else "folds"
        )
    task = _Task(truth, poses, config, objective, protocol, folds, seed)
    problem, parts = task.prepare()
    shares = [len(share) for share in np.array_split(np.arange(trials), len(parts))]
    searches = _run_searches(task, shares, workers, (problem, parts))
    return _report(task, problem, parts, searches, out)


@dataclass(frozen=True)
class _Task:
    """The input of a tuning, as every process reads it."""

    truth: Path
    poses: Path
    config: Path | None
    objective: str
    protocol: str
    folds: int
    seed: int

    def prepare(self) -> tuple[Problem, list[Fold]]:
        """Read the videos, and divide them."""
        objective = read_objective(self.objective, PROTOCOLS[self.protocol])
        stored = open_stored_poses(self.poses)
        config = self._start(stored)
        videos = list(read_videos(self._files(), stored, config))
        order = np.random.default_rng(self.seed).permutation(len(videos))
        folds = min(self.folds, len(videos))
        groups, parts = _divide(order.tolist(), folds)
        space = search_space(float(stored.made_with["lowest_score"]))
        scored = [_group(videos, members, objective) for members in groups]
        return Problem(config, space, objective, scored, bool(stored.made_with["gt_boxes"])), parts

    def _start(self, stored: StoredPoses) -> Config:
        config = stored.settings()
        if self.config is not None:
            config = with_file(config, self.config)
        stored.check(config)
        if config.tracker.method == "flow":
            raise InputError(
                'the tracker "flow" needs the images in every trial; tune settings with [tracker] method = "kalman"'
            )
        # The pose network would have to run where a tracker expects people, differently in every trial.
        return replace(config, propagation=replace(config.propagation, max_seconds=0.0))

    def _files(self) -> list[Path]:
        if not self.truth.exists():
            raise InputError(f"{self.truth}: no such file or folder")
        files = [self.truth] if self.truth.is_file() else json_files(self.truth)
        if not files:
            raise InputError(
                f"{self.truth} has no .json file; give the folder with the annotations of the split"
            )
        return files


def _group(videos: Sequence[TuneVideo], members: Sequence[int], objective: Objective) -> VideoGroup:
    return VideoGroup([videos[k] for k in members], objective.protocol)


def _divide(order: Sequence[int], folds: int) -> tuple[list[Sequence[int]], list[Fold]]:
    """The videos in groups, and the folds, which hold out some groups each; one fold without any for a single video."""
    if folds == 1:
        return [order], [Fold((0,), ())]
    groups: list[Sequence[int]] = []
    owned: list[list[int]] = []
    for share in np.array_split(np.array(order), folds):
        owned.append([])
        for part in np.array_split(share, max(1, round(len(share) / _VIDEOS_PER_GROUP))):
            owned[-1].append(len(groups))
            groups.append(part.tolist())
    parts = []
    for held in owned:
        searched = [group for group in range(len(groups)) if group not in held]
        parts.append(Fold(tuple(searched), tuple(held)))
    return groups, parts


_prepared: dict[str, tuple[_Task, Problem, list[Fold]]] = {}
"""What this worker process has read."""


def _start_worker(task: _Task) -> None:
    _prepared["task"] = (task, *task.prepare())


def _search_fold(number: int, trials: int) -> list[Trial]:
    task, problem, parts = _prepared["task"]
    return search(problem, parts[number], trials, task.seed * 1000 + number)


def _run_searches(
    task: _Task, shares: Sequence[int], workers: int | None, prepared: tuple[Problem, list[Fold]]
) -> list[list[Trial]]:
    """The search of every fold; they are independent, so the number of workers does not change the result.

    A single worker is this process, which uses what is `prepared`.
    """
    count = min(len(shares), workers or usable_cores())
    _logger.info("%s in %s, %s", counted(sum(shares), "trial"), counted(len(shares), "search", "searches"),
                 counted(count, "process", "processes"))  # fmt: skip
    if count == 1:
        _prepared["task"] = (task, *prepared)
        return [_search_fold(number, trials) for number, trials in enumerate(shares)]
    with ProcessPoolExecutor(count, get_context("spawn"), _start_worker, (task,)) as pool:
        running = [pool.submit(_search_fold, number, trials) for number, trials in enumerate(shares)]
        results = []
        for number, future in enumerate(running, 1):
            results.append(future.result())
            _logger.info("search %d of %d is done", number, len(shares))
    return results


def _report(
    task: _Task, problem: Problem, parts: Sequence[Fold], searches: Sequence[Sequence[Trial]], out: Path
) -> TuneReport:
    trials = [trial for found in searches for trial in found]
    # Of equal ones the first: the settings as they are, unless others are better.
    best = max(trials, key=lambda trial: -np.inf if trial.all_videos is None else trial.all_videos)
    start = searches[0][0]
    config = problem.config if best is start else with_values(problem.config, best.values)
    measures = [name for name in MEASURES if not (name == "HOTA" and task.protocol == "poseval")]
    report = TuneReport(
        out,
        str(problem.objective),
        config,
        _all_scores(problem, problem.config, measures),
        _all_scores(problem, config, measures),
        float(start.all_videos or 0.0),
        float(best.all_videos or 0.0),
        tuple(_fold_scores(problem, parts, searches)),
        len(trials),
        sum(trial.all_videos is None for trial in trials),
        float(np.mean([trial.seconds for trial in trials])),
    )
    write_atomic(out, preset_text(report, str(task.truth), str(task.poses), task.protocol, task.seed))
    return report


def _all_scores(problem: Problem, config: Config, measures: Sequence[str]) -> dict[str, float]:
    parts = [group.parts(config, measures, gt_boxes=problem.gt_boxes) for group in problem.groups]
    return total_scores(joined_parts(parts), problem.objective.protocol)


def _fold_scores(
    problem: Problem, parts: Sequence[Fold], searches: Sequence[Sequence[Trial]]
) -> list[FoldScore]:
    """For each fold, the settings that are best without it, on it."""
    scores = []
    for fold, trials in zip(parts, searches, strict=True):
        if not fold.held_out:
            continue
        chosen = max(trials, key=lambda trial: -np.inf if trial.searched is None else trial.searched)
        names = [video.truth.name for group in fold.held_out for video in problem.groups[group].videos]
        scores.append(FoldScore(tuple(names), float(trials[0].held_out or 0), float(chosen.held_out or 0)))
    return scores
