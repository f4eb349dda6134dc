"""Bootstrap over sequences: every resample is what scoring those sequences gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posetrack_app.evaluation.compare import distinct_names
from posetrack_app.evaluation.evaluate import evaluate
from posetrack_app.evaluation.posetrack.pairing import read_pairs
from posetrack_app.evaluation.posetrack.protocols import CORRECTED, POSEVAL, Protocol
from posetrack_app.evaluation.posetrack.resampling import (
    draw_sequences,
    intervals,
    paired_differences,
    resampled_scores,
)
from posetrack_app.evaluation.posetrack.scene import SequencePair
from posetrack_app.evaluation.posetrack.score import score_poses
from posetrack_app.evaluation.report.tables import scores_as_json

SET = Path(__file__).resolve().parents[1] / "golden" / "eval" / "poseval" / "s08_empty_pred"


def _copy(pair: SequencePair, number: int) -> SequencePair:
    """The same video under another name."""
    sides = (
        replace(side, rows=replace(side.rows, path=side.path.with_name(f"{number}.json")))
        for side in (pair.truth, pair.predicted)
    )
    return SequencePair(*sides)


@pytest.mark.parametrize("protocol", [CORRECTED, POSEVAL], ids=lambda p: p.name)
@pytest.mark.parametrize("drawn", [(1, 1), (2, 0), (1, 2)])
def test_a_resample_is_the_score_of_its_sequences(protocol: Protocol, drawn: tuple[int, int]) -> None:
    pairs = read_pairs(SET / "gt", SET / "pred")
    sample = [pair for pair, times in zip(pairs, drawn, strict=True) for _ in range(times)]
    expected = scores_as_json(score_poses([_copy(pair, k) for k, pair in enumerate(sample)], protocol))
    found = resampled_scores(score_poses(pairs, protocol), np.array([drawn], float))
    assert found["mAP"][0] == pytest.approx(expected["ap"]["ap"][-1], abs=0.05)  # ties and levels of scores
    assert found["MOTA"][0] == pytest.approx(expected["mot"]["mota"][-1], abs=1e-6)
    assert found["MOTP"][0] == pytest.approx(expected["mot"]["motp"][-1], abs=1e-6)
    if protocol is CORRECTED:
        means = expected["hota"]["mean_over_alpha"]
        assert found["IDF1"][0] == pytest.approx(expected["mot"]["idf1"][-1], abs=1e-6)
        for name in ("HOTA", "DetA", "AssA"):
            assert found[name][0] == pytest.approx(means[name][-1], abs=1e-6)


def test_the_same_draws_every_time() -> None:
    weights = draw_sequences(7, 50)
    assert weights.sum(axis=1).tolist() == [7] * 50
    assert np.array_equal(weights, draw_sequences(7, 50))


def test_an_interval_is_where_95_percent_of_the_resamples_are() -> None:
    found = intervals({"mAP": np.arange(1001.0), "MOTA": np.full(3, np.nan)})
    assert (found["mAP"].low, found["mAP"].high) == (25.0, 975.0)
    assert (found["MOTA"].low, found["MOTA"].high) == (None, None)


def test_a_paired_test_sees_small_steady_differences() -> None:
    rng = np.random.default_rng(0)
    before = {"MOTA": rng.normal(50, 5, 1000)}
    steady = {"MOTA": before["MOTA"] + rng.normal(0.5, 0.1, 1000)}
    chance = {"MOTA": rng.normal(50.5, 5, 1000)}
    found = paired_differences(before, steady, {"MOTA": 0.5}, 50)["MOTA"]
    assert found.p == pytest.approx(2 / 1001)
    assert (found.low or 0) > 0.2
    assert (
        paired_differences(before, steady, {"MOTA": 0.5}, 3)["MOTA"].p == 0.25
    )  # three sequences prove little
    assert (paired_differences(before, chance, {"MOTA": 0.5}, 50)["MOTA"].p or 0) > 0.2
    assert paired_differences(before, before, {"MOTA": 0.0}, 50)["MOTA"].p == 1.0


def test_intervals_contain_the_total() -> None:
    result = evaluate(SET / "gt", SET / "pred", ["corrected"], with_intervals=True)
    for name, interval in result.intervals["corrected"].items():
        total = result.totals.get(f"corrected {name}")
        assert interval.low is not None
        assert interval.high is not None
        assert total is None or interval.low - 1e-6 <= total <= interval.high + 1e-6


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("runs/a/predictions", "runs/b/predictions"), ["a", "b"]),
        (("runs/a/x", "runs/b/y"), ["a/x", "b/y"]),
        (("old.json", "new.json"), ["old", "new"]),
        (("a", "a"), ["a", "a (2)"]),
    ],
)
def test_short_names(paths: tuple[str, ...], names: list[str]) -> None:
    assert distinct_names([Path(path) for path in paths]) == names
