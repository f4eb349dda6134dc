"""Our CLEAR-MOT of keypoints equals motmetrics with one accumulator per joint."""

from __future__ import annotations

from typing import Any

import motmetrics
import numpy as np
import pytest

from posetrack_app.evaluation.posetrack.clear_mot import count_events
from posetrack_app.evaluation.posetrack.pairing import read_pairs
from posetrack_app.evaluation.posetrack.protocols import CORRECTED
from posetrack_app.evaluation.posetrack.scene import JOINTS, Scene, build_scene, find_candidates

METRICS = ["num_misses", "num_switches", "num_false_positives", "num_matches", "num_objects"]


def _by_motmetrics(scene: Scene, joint: int) -> dict[str, float]:
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    truth, predicted = scene.truth, scene.predicted
    for frame in range(len(scene.frame_video)):
        t = np.flatnonzero((truth.frame == frame) & truth.present[:, joint])
        p = np.flatnonzero((predicted.frame == frame) & predicted.present[:, joint])
        offset = truth.keypoints[t, None, joint] - predicted.keypoints[None, p, joint]
        cost = np.sqrt((offset**2).sum(axis=2)) / truth.head_sizes[t][:, None]
        cost[cost > 0.5] = np.nan
        accumulator.update(truth.track[t].tolist(), predicted.track[p].tolist(), cost)
    summary = motmetrics.metrics.create().compute(accumulator, metrics=METRICS, return_dataframe=False)
    return {name: float(summary[name]) for name in METRICS}


@pytest.mark.parametrize("seed", range(6))
def test_random_crowds(seed: int, write: Any, make_video: Any) -> None:
    """People stand within a head size, and their predictions swap, disappear and return: every rule is used."""
    rng = np.random.default_rng(seed)
    truth, predicted = [], []
    for _ in range(25):
        positions = rng.uniform(100, 160, (5, 2)) * (
            1,
            0.3,
        )  # almost on a line, so that many assignments cost the same
        truth.append([(k, *position) for k, position in enumerate(positions.tolist()) if rng.random() < 0.8])
        ids = rng.permutation(6) if rng.random() < 0.4 else np.arange(6)
        found = np.append(positions, [[130, 40]], axis=0) + rng.normal(0, 5, (6, 2))
        named = zip(ids.tolist(), found.tolist(), strict=True)
        predicted.append([(k, *position) for k, position in named if rng.random() < 0.8])
    pairs = read_pairs(write("gt", make_video(truth)), write("pred", make_video(predicted)))
    scene = build_scene(pairs, CORRECTED)
    counts = count_events(scene, find_candidates(scene, 0.5), CORRECTED)
    found_pairs = counts.matches + counts.switches
    ours = np.stack(
        [
            counts.objects - found_pairs,
            counts.switches,
            counts.hypotheses - found_pairs,
            counts.matches,
            counts.objects,
        ]
    )[:, 0]
    for joint in range(0, JOINTS, 5):
        theirs = _by_motmetrics(scene, joint)
        assert ours[:, joint].tolist() == [theirs[name] for name in METRICS]
    assert counts.switches.sum() > 0
