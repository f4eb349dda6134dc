"""Kinds of AP errors on poses made by hand, and the errors of sequences and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.evaluation.error_analysis import ErrorAnalysis
from posetrack_app.evaluation.evaluate import evaluate

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "eval"
KNEE, OTHER_KNEE = POSETRACK.keypoints.index("left_knee"), POSETRACK.keypoints.index("right_knee")


def _analyse(truth: Path, predicted: Path) -> ErrorAnalysis:
    errors = evaluate(truth, predicted, ["corrected"], errors=True).errors
    assert errors is not None
    return errors


def _found(errors: ErrorAnalysis) -> dict[str, int]:
    return {loss.kind: loss.keypoints for loss in errors.losses if loss.keypoints}


def _move(person: dict[str, Any], keypoint: int, x: float, y: float) -> None:
    person["keypoints"][3 * keypoint : 3 * keypoint + 2] = [x, y]


@pytest.mark.parametrize(
    ("offset", "kind"),
    [((14.0, 0.0), None), ((16.0, 0.0), "localisation"), ((31.0, 0.0), "far off")],
    ids=["a half head size", "more", "a head size"],
)
def test_a_keypoint_at_a_distance(offset: Any, kind: str | None, write: Any, make_video: Any) -> None:
    """The head size is 30 pixels."""
    truth, predicted = make_video([[(0, 100.0)]]), make_video([[(0, 100.0)]])
    y = 100 + 10 * KNEE
    for content in (truth, predicted):
        _move(content["annotations"][0], OTHER_KNEE, 900, 900)
    _move(predicted["annotations"][0], KNEE, 100 + offset[0], y + offset[1])
    found = _found(_analyse(write("gt", truth), write("pred", predicted)))
    assert found == ({} if kind is None else {kind: 1})


def test_left_for_right_is_an_inversion(write: Any, make_video: Any) -> None:
    truth, predicted = make_video([[(0, 100.0)]]), make_video([[(0, 100.0)]])
    for content, (left, right) in ((truth, (50, 600)), (predicted, (600, 50))):
        _move(content["annotations"][0], KNEE, left, 700)
        _move(content["annotations"][0], OTHER_KNEE, right, 700)
    assert _found(_analyse(write("gt", truth), write("pred", predicted))) == {"inversion": 2}


def test_at_the_knee_of_another_person_is_a_swap(write: Any, make_video: Any) -> None:
    frames = [[(0, 100.0), (1, 400.0)]]
    predicted = make_video(frames)
    _move(predicted["annotations"][0], KNEE, 400, 100 + 10 * KNEE)
    assert _found(_analyse(write("gt", make_video(frames)), write("pred", predicted))) == {"swap": 1}


def test_duplicates_background_and_missed_people(write: Any, make_video: Any) -> None:
    truth = [[(0, 100.0), (1, 400.0)]]
    predicted = [[(0, 100.0), (1, 102.0), (2, 900.0)]]
    errors = _analyse(write("gt", make_video(truth)), write("pred", make_video(predicted)))
    assert _found(errors) == {"duplicate": 15, "background": 15, "missed": 15}


def test_a_keypoint_that_is_not_annotated(write: Any, make_video: Any) -> None:
    frames = [[(0, 100.0)], [(0, 100.0)]]
    truth = make_video(frames)
    truth["annotations"][0]["keypoints"][3 * KNEE : 3 * KNEE + 3] = [0, 0, 0]
    assert _found(_analyse(write("gt", truth), write("pred", make_video(frames)))) == {"not annotated": 1}


@pytest.mark.parametrize(
    "name", ["s08_empty_pred", "s14_ignore17", "s12_joint_never", "s19_all_ignored_frames"]
)
def test_what_is_lost_adds_up(name: str) -> None:
    """With joints that are never annotated, mended AP is that of the annotated ones, as is the protocol's."""
    folder = GOLDEN / "poseval" / name
    result = evaluate(folder / "gt", folder / "pred", ["corrected"], errors=True)
    assert result.errors is not None
    lost = sum(loss.in_turn for loss in result.errors.losses)
    assert lost == pytest.approx(100 - (result.totals["corrected mAP"] or 0), abs=1e-6)
    assert all(loss.alone >= -1e-9 for loss in result.errors.losses)


@pytest.mark.parametrize("name", ["s08_empty_pred", "s14_ignore17"])
def test_errors_of_sequences_are_those_of_clear_mot(name: str) -> None:
    folder = GOLDEN / "poseval" / name
    result = evaluate(folder / "gt", folder / "pred", ["corrected"], errors=True)
    assert result.errors is not None
    for row in result.errors.sequences:
        counts = result.protocols["corrected"]["mot_per_sequence"][row.sequence]["counts"]
        names = ("num_misses", "num_false_positives", "num_switches")
        assert [row.misses, row.false_positives, row.switches] == [sum(counts[key]) for key in names]
    assert sum(row.share for row in result.errors.sequences) == pytest.approx(1)
    shares = [row.share for row in result.errors.sequences]
    assert shares == sorted(shares, reverse=True)


def test_the_worst_frame_is_named(write: Any, make_video: Any) -> None:
    here, there = (0, 100.0), (1, 400.0)
    truth = [[here, there]] * 12
    predicted = [[here, there]] * 7 + [[here]] + [[here, there]] * 2 + [[(1, 100.0), (0, 400.0)]] * 2
    frames = _analyse(write("gt", make_video(truth)), write("pred", make_video(predicted))).frames
    assert [(f.frame, f.misses, f.false_positives, f.switches) for f in frames] == [(10, 0, 0, 30)]
    assert frames[0].frame_name.endswith("000010.jpg")


def test_without_people_nothing_is_lost(write: Any, make_video: Any) -> None:
    errors = _analyse(write("gt", make_video([[], []])), write("pred", make_video([[(0, 100.0)], []])))
    assert _found(errors) == {"background": 15}
    assert np.array([loss.in_turn for loss in errors.losses]).tolist() == [0.0] * 8
