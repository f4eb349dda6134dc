"""The stages: what goes in comes out, in order, whatever the batches."""

from __future__ import annotations

import time

import fakes
import numpy as np
import pytest
from posetrack_trackers.oks_tracker import OksTracker

from posetrack_app.linking import link_poses
from posetrack_app.pipeline import StageClock, detect_people, drop_duplicates, estimate_poses
from posetrack_app.records import FloatArray, Frame, Poses
from posetrack_app.skeleton import POSETRACK

Script = list[tuple[FloatArray, FloatArray]]


def _boxes(*rows: tuple[float, float, float, float, float]) -> tuple[FloatArray, FloatArray]:
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return table[:, :4], table[:, 4]


def _detect(script: Script, **changes: float) -> list[tuple[Frame, FloatArray]]:
    options = {"min_score": 0.3, "box_overlap": 0.65, "max_people": 100, "batch": 2} | changes
    stream = detect_people(fakes.numbered_frames(len(script)), fakes.ScriptedDetector(script), **options)  # type: ignore[arg-type]
    return [(frame, np.column_stack([people.boxes, people.scores])) for frame, people in stream]


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([], []),
        ([(1, 1, 9, 9, 0.2)], []),
        ([(1, 1, 9, 9, 0.3)], [(1, 1, 9, 9, 0.3)]),
        ([(-5, -5, 9, 9, 0.9)], [(0, 0, 9, 9, 0.9)]),
        ([(70, 1, 80, 9, 0.9)], []),
        ([(1, 1, 9, 9, 0.5), (1, 1, 9, 10, 0.9)], [(1, 1, 9, 10, 0.9)]),
        ([(1, 1, 9, 9, 0.5), (7, 1, 15, 9, 0.9)], [(7, 1, 15, 9, 0.9), (1, 1, 9, 9, 0.5)]),
    ],
    ids=["nobody", "weak", "just", "clipped", "outside", "duplicate", "sorted"],
)
def test_detections(found: list[tuple[float, ...]], kept: list[tuple[float, ...]]) -> None:
    ((_, people),) = _detect([_boxes(*found)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(people, np.array(kept, dtype=np.float64).reshape(-1, 5))


def test_only_the_best_people_are_kept() -> None:
    ((_, people),) = _detect([_boxes((1, 1, 9, 9, 0.4), (20, 1, 29, 9, 0.8))], max_people=1)
    assert people[:, 4].tolist() == [0.8]


def _crowd(frames: int) -> Script:
    """0, 1, 2, 3, 0, 1, ... people who walk to the right."""
    script = []
    for index in range(frames):
        rows = [(5.0 + index, 12.0 * row, 13.0 + index, 12.0 * row + 10, 0.9) for row in range(index % 4)]
        script.append(_boxes(*rows))
    return script


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
def test_poses_do_not_depend_on_the_batch(batch: int) -> None:
    script = _crowd(11)
    people = detect_people(
        fakes.numbered_frames(11),
        fakes.ScriptedDetector(script),
        min_score=0.3,
        box_overlap=0.65,
        max_people=9,
        batch=3,
    )
    estimator = fakes.BoxEstimator()
    poses = list(estimate_poses(people, estimator, batch=batch))
    assert [frame.index for frame, _ in poses] == list(range(11))
    assert [len(found) for _, found in poses] == [index % 4 for index in range(11)]
    assert max(estimator.calls) <= batch
    for (boxes, _), (_, found) in zip(script, poses, strict=True):
        np.testing.assert_array_equal(found.keypoints[:, 0], boxes[:, :2])
        np.testing.assert_array_equal(found.keypoints[:, -1], boxes[:, 2:])


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_ids_do_not_depend_on_the_batch(batch: int) -> None:
    script = [_boxes((5.0 + i, 1, 15.0 + i, 40, 0.9), (50.0 - i, 1, 60.0 - i, 40, 0.8)) for i in range(12)]
    people = detect_people(
        fakes.numbered_frames(12),
        fakes.ScriptedDetector(script),
        min_score=0.3,
        box_overlap=0.65,
        max_people=9,
        batch=batch,
    )
    poses = estimate_poses(people, fakes.BoxEstimator(), batch=batch)
    linked = list(link_poses(poses, OksTracker(sigmas=POSETRACK.sigmas)))
    assert [tracked.ids.tolist() for _, tracked in linked[:3]] == [[1, 2]] * 3


def test_the_weaker_of_two_equal_poses_is_dropped() -> None:
    boxes, scores = _boxes((1, 1, 30, 40, 0.6), (1, 1, 30, 40, 0.9), (40, 1, 60, 40, 0.5))
    keypoints, keypoint_scores = fakes.BoxEstimator()([np.zeros((1, 1, 3), np.uint8)] * 3, list(boxes))
    frame = Frame(0, 0.0, np.zeros((48, 64, 3), np.uint8))
    stream = [(frame, Poses(boxes, scores, keypoints, keypoint_scores))]
    ((_, kept),) = drop_duplicates(stream, sigmas=POSETRACK.sigma_array, max_similarity=0.75)
    assert sorted(kept.scores.tolist()) == [0.5, 0.9]


def test_nobody_is_no_duplicate() -> None:
    frame = Frame(0, 0.0, np.zeros((48, 64, 3), np.uint8))
    nobody = Poses(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 17, 2)), np.zeros((0, 17)))
    ((_, kept),) = drop_duplicates([(frame, nobody)], sigmas=POSETRACK.sigma_array, max_similarity=0.75)
    assert len(kept) == 0


def test_the_clock_counts_nested_stages_once() -> None:
    clock = StageClock()
    inner = clock.pull("inner", (time.sleep(0.02) for _ in range(3)))
    outer = clock.pull("outer", (time.sleep(0.01) for _ in inner))
    assert len(list(outer)) == 3
    assert clock.seconds["inner"] >= 0.06
    assert clock.seconds["outer"] >= 0.03
    assert set(clock.seconds) == {"inner", "outer"}
