"""IDF1, IDP and IDR of keypoints equal those that TrackEval gave (tests/golden/record_identity.py) and motmetrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np
import pytest

from posetrack_app.evaluation.posetrack.clear_mot import MotCounts, count_events
from posetrack_app.evaluation.posetrack.pairing import read_pairs
from posetrack_app.evaluation.posetrack.protocols import CORRECTED
from posetrack_app.evaluation.posetrack.scene import Scene, build_scene, find_candidates

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "eval"
RECORDED: dict[str, list[dict[str, float]]] = json.loads((GOLDEN / "identity.json").read_text())


def _counts(truth: Path, predicted: Path) -> tuple[Scene, MotCounts]:
    scene = build_scene(read_pairs(truth, predicted), CORRECTED)
    return scene, count_events(scene, find_candidates(scene, 0.5), CORRECTED)


@pytest.mark.parametrize("name", RECORDED)
def test_equal_to_trackeval(name: str) -> None:
    _, counts = _counts(GOLDEN / name / "gt", GOLDEN / name / "pred")
    kept = counts.identity.sum(axis=0)
    assert kept.tolist() == [joint["IDTP"] for joint in RECORDED[name]]
    assert (counts.objects.sum(axis=0) - kept).tolist() == [joint["IDFN"] for joint in RECORDED[name]]
    assert (counts.hypotheses.sum(axis=0) - kept).tolist() == [joint["IDFP"] for joint in RECORDED[name]]


def test_scores_from_the_counts() -> None:
    from posetrack_app.evaluation.evaluate import evaluate

    name = "poseval/s08_empty_pred"
    mot = evaluate(GOLDEN / name / "gt", GOLDEN / name / "pred", ["corrected"]).protocols["corrected"]["mot"]
    for key in ("IDF1", "IDP", "IDR"):
        expected = [100 * joint[key] for joint in RECORDED[name]]
        assert mot[key.lower()][:-1] == pytest.approx(expected, abs=1e-6)
        assert mot[key.lower()][-1] == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_random_crowds_equal_to_motmetrics(seed: int, write: Any, make_video: Any) -> None:
    """Tracks that break and swap in a crowd, where the best tracks are not those of the first frames."""
    rng = np.random.default_rng(seed)
    truth, predicted = [], []
    for frame in range(20):
        positions = rng.uniform(100, 160, (5, 2))
        truth.append([(k, *position) for k, position in enumerate(positions.tolist()) if rng.random() < 0.8])
        ids = rng.permutation(5) if rng.random() < 0.3 else np.arange(5) + 5 * (frame // 8)
        found = positions + rng.normal(0, 6, (5, 2))
        predicted.append(
            [(k, *p) for k, p in zip(ids.tolist(), found.tolist(), strict=True) if rng.random() < 0.9]
        )
    scene, counts = _counts(write("gt", make_video(truth)), write("pred", make_video(predicted)))
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame in range(len(scene.frame_video)):
        t, p = (np.flatnonzero(side.frame == frame) for side in (scene.truth, scene.predicted))
        offset = scene.truth.keypoints[t, None, 0] - scene.predicted.keypoints[None, p, 0]
        cost = np.sqrt((offset**2).sum(axis=2)) / scene.truth.head_sizes[t][:, None]
        cost[cost > 0.5] = np.nan
        accumulator.update(scene.truth.track[t].tolist(), scene.predicted.track[p].tolist(), cost)
    names = ["idtp", "idfp", "idfn"]
    expected = motmetrics.metrics.create().compute(accumulator, metrics=names, return_dataframe=False)
    kept = counts.identity[0, 0]
    assert [kept, counts.hypotheses[0, 0] - kept, counts.objects[0, 0] - kept] == [expected[n] for n in names]
