"""The differences of the corrected protocol, on videos small enough to count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posetrack_app.evaluation.evaluate import Evaluation, evaluate

HERE, THERE = (0, 100.0), (1, 400.0)
BOTH = ("corrected", "poseval")


def _score(
    write: Any, make_video: Any, truth: Any, predicted: Any, protocols: Any = BOTH, **options: Any
) -> Evaluation:
    labelled = options.pop("labelled", None)
    return evaluate(
        write("gt", make_video(truth, labelled)), write("pred", make_video(predicted)), protocols, **options
    )


def _count(result: Evaluation, protocol: str, name: str) -> int:
    counts: list[int] = result.protocols[protocol]["mot"]["counts"][name]
    assert len(set(counts)) == 1  # all joints are the same
    return counts[0]


def test_perfect_predictions(write: Any, make_video: Any) -> None:
    frames = [[HERE, THERE]] * 3
    result = _score(write, make_video, frames, frames, (*BOTH, "posetrack21"))
    assert list(result.totals.values()) == [pytest.approx(100)] * len(result.totals)
    assert result.id_switches == []


def test_the_last_frame_counts(write: Any, make_video: Any) -> None:
    result = _score(write, make_video, [[HERE]] * 3, [[HERE], [HERE], []])
    assert [_count(result, p, "num_misses") for p in BOTH] == [1, 0]
    assert [_count(result, p, "num_objects") for p in BOTH] == [3, 2]


def test_a_frame_without_predictions_misses_all_people(write: Any, make_video: Any) -> None:
    people = [HERE, THERE, (2, 700.0)]
    result = _score(write, make_video, [people] * 3, [people, [], people])
    assert [_count(result, p, "num_misses") for p in BOTH] == [3, 1]
    assert [_count(result, p, "num_false_positives") for p in BOTH] == [0, 1]


def test_false_positives_in_a_labelled_frame_without_people_count(write: Any, make_video: Any) -> None:
    truth = [[HERE], [], [HERE], [HERE]]
    predicted = [[HERE], [HERE, THERE], [HERE], [HERE]]
    result = _score(write, make_video, truth, predicted)
    assert [_count(result, p, "num_false_positives") for p in BOTH] == [2, 0]
    unlabelled = _score(write, make_video, truth, predicted, labelled=[True, False, True, True])
    assert _count(unlabelled, "corrected", "num_false_positives") == 0


def test_a_joint_without_annotations_does_not_count(write: Any, make_video: Any) -> None:
    truth, predicted = make_video([[HERE]] * 3), make_video([[HERE]] * 3)
    for content in (truth, predicted):
        for person in content["annotations"]:
            person["keypoints"][:3] = [0, 0, 0]  # the nose
    result = evaluate(write("gt", truth), write("pred", predicted), (*BOTH, "posetrack21"))
    ours = [value for name, value in result.totals.items() if name.startswith("corrected")]
    assert ours == [pytest.approx(100)] * 5  # mAP, MOTA, MOTP, IDF1, HOTA
    assert result.totals["poseval mAP"] == pytest.approx(100 * 14 / 15)
    assert (result.totals["posetrack21 HOTA"] or 0) < 100
    hota = result.protocols["corrected"]["hota"]["mean_over_alpha"]["HOTA"]
    assert [value is None for value in hota] == [k == 0 for k in range(16)]


def test_frames_are_paired_by_image_id(write: Any, make_video: Any) -> None:
    frames = [[HERE], [THERE], [(0, 700.0)]]
    predicted = make_video(frames)
    predicted["images"] = [predicted["images"][k] for k in (1, 2, 0)]
    result = evaluate(write("gt", make_video(frames)), write("pred", predicted), BOTH)
    assert result.totals["corrected mAP"] == pytest.approx(100)
    assert result.totals["poseval mAP"] == 0


def test_an_identity_switch_is_listed_at_its_frame(write: Any, make_video: Any) -> None:
    truth = [[HERE, THERE]] * 4
    swapped = [(1, 100.0), (0, 400.0)]
    result = _score(write, make_video, truth, [[HERE, THERE], [HERE, THERE], swapped, swapped])
    assert [(s.frame, s.truth_id, s.before, s.after, len(s.keypoints)) for s in result.id_switches] == [
        (2, 0, 0, 1, 15),
        (2, 1, 1, 0, 15),
    ]
    assert _count(result, "corrected", "num_switches") == 2


def test_hota_counts_a_frame_without_predictions_by_its_own_keypoints(write: Any, make_video: Any) -> None:
    frames = [[HERE, THERE]] * 4
    result = _score(
        write, make_video, frames, [frames[0], [], frames[0], frames[0]], ("corrected", "posetrack21")
    )
    misses = {n: np.array(c["hota"]["counts_by_alpha"]["HOTA_FN"])[0, 0] for n, c in result.protocols.items()}
    assert misses == {"corrected": 2, "posetrack21": 8}


def test_hota_equals_the_kit_if_every_frame_has_predictions(write: Any, make_video: Any) -> None:
    rng = np.random.default_rng(3)
    frames = [[(k, float(100 + 60 * k + rng.normal(0, 5))) for k in range(4)] for _ in range(8)]
    predicted = [[(k, x + float(rng.normal(0, 6)), float(rng.normal(0, 6))) for k, x in f] for f in frames]
    result = _score(write, make_video, frames, predicted, ("corrected", "posetrack21"))
    ours, theirs = (result.protocols[name]["hota"] for name in ("corrected", "posetrack21"))
    assert ours == theirs
    assert 0 < ours["mean_over_alpha"]["HOTA"][-1] < 100


def test_the_threshold_drops_keypoints_and_people_without_keypoints(write: Any, make_video: Any) -> None:
    predicted = make_video([[HERE, THERE]] * 3)
    for person in predicted["annotations"]:
        if person["track_id"] == 1:
            person["scores"] = [0.1] * 17
    truth, folder = write("gt", make_video([[HERE]] * 3)), write("pred", predicted)
    before, after = (evaluate(truth, folder, ["corrected"], threshold) for threshold in (None, 0.3))
    assert _count(before, "corrected", "num_false_positives") == 3
    assert _count(after, "corrected", "num_false_positives") == 0
    assert after.protocols["corrected"]["ap_before_threshold"] == before.protocols["corrected"]["ap"]


def test_a_dropped_person_leaves_an_empty_frame(write: Any, make_video: Any) -> None:
    truth = [[HERE, THERE]] * 3
    result = _score(write, make_video, truth, [[HERE, THERE]] * 3, keypoint_threshold=0.9)
    assert [_count(result, p, "num_misses") for p in BOTH] == [6, 2]


def test_posetrack21_cuts_the_scores_of_frames_with_integer_coordinates(
    write: Any, make_video: Any, caplog: pytest.LogCaptureFixture
) -> None:
    truth = make_video([[HERE], [HERE]])
    predicted = make_video([[HERE, THERE], [HERE, THERE]])
    for one in predicted["annotations"]:
        one["scores"] = [0.9 if one["track_id"] == HERE[0] else 0.4] * 17
        one["keypoints"] = [int(value) for value in one["keypoints"]]
    result = evaluate(write("gt", truth), write("pred", predicted), ("posetrack21", "corrected"))
    # As in the kit: one array of a frame's keypoints, whose third column is replaced by the scores.
    people = [one for one in predicted["annotations"] if one["image_id"] == 1000]
    stored = np.array([one["keypoints"] for one in people]).reshape(-1, 17, 3)
    stored[:, :, 2] = [one["scores"] for one in people]
    assert not stored[:, :, 2].any()
    # All scores tie at 0: THERE, the later person, ranks first.
    assert result.totals["posetrack21 mAP"] == pytest.approx(50)
    assert result.totals["corrected mAP"] == pytest.approx(100)
    assert "in 2 of 2 predicted frames all keypoint numbers are integers" in caplog.text

    caplog.clear()
    for one in predicted["annotations"][1::2]:  # one decimal point in a frame makes its array one of floats
        one["keypoints"][0] = float(one["keypoints"][0])
    again = evaluate(write("gt", truth), write("pred", predicted), ("posetrack21",))
    assert again.totals["posetrack21 mAP"] == pytest.approx(100)
    assert not caplog.text
